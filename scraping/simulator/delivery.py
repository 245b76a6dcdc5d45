"""Responses that do not arrive as they should."""

import asyncio

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from . import transport
from .faults import Fault


async def _until_closed(receive: Receive) -> None:
    # If the application returned early, uvicorn would take that for a mistake and answer 500.
    while (await receive())["type"] != "http.disconnect":
        pass


class ResetResponse(Response):
    """No answer: the connection is reset."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reset the connection."""
        transport.reset(scope)
        await _until_closed(receive)


class DripResponse(Response):
    """A body that is sent a few bytes at a time, too quickly for a read timeout to end it."""

    piece = 1
    interval = 0.5

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the body slowly."""
        headers = self.raw_headers
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        body = bytes(self.body)
        for start in range(0, len(body), self.piece):
            part = body[start : start + self.piece]
            await send({"type": "http.response.body", "body": part, "more_body": True})
            await asyncio.sleep(self.interval)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class TruncatedResponse(Response):
    """The connection is closed before the body is complete."""

    keep: int | None = None
    chunked = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send a part of the body, then close the connection."""
        headers = self.raw_headers
        if self.chunked:
            headers = [entry for entry in headers if entry[0] != b"content-length"]
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        body = bytes(self.body)
        keep = len(body) // 2 if self.keep is None else min(self.keep, max(len(body) - 1, 0))
        await send({"type": "http.response.body", "body": body[:keep], "more_body": True})
        scope[transport.KEY].close()
        await _until_closed(receive)


def deliver(response: Response, fault: Fault | None) -> Response:
    """Return the response in the form in which the fault sends it."""
    if fault is None:
        return response
    faulty: Response
    match fault.kind:
        case "reset":
            faulty = ResetResponse()
        case "drip":
            faulty = drip = DripResponse()
            drip.piece, drip.interval = fault.parameters["bytes"], fault.parameters["interval"]
        case _:
            faulty = cut = TruncatedResponse()
            cut.keep, cut.chunked = fault.parameters["keep"], fault.parameters["chunked"]
    faulty.status_code, faulty.body = response.status_code, response.body
    faulty.raw_headers = response.raw_headers
    return faulty
