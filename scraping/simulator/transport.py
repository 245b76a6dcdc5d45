"""Let a fault reach below HTTP: the ASGI scope carries the connection's transport."""

import socket
import struct
from collections.abc import MutableMapping
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

KEY = "simulator.transport"


class ExposingProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with the transport added to each request's scope."""

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        # The scope is a plain dict; uvicorn's annotation names only the keys of ASGI's standard.
        self.scope[KEY] = self.transport  # type: ignore[literal-required]


def reset(scope: MutableMapping[str, Any]) -> None:
    """Close the connection with a TCP reset and no answer."""
    transport = scope[KEY]
    connection: socket.socket = transport.get_extra_info("socket")
    # Lingering for zero seconds turns the close into a reset.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
