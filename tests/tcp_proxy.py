"""A way to a server that a test may close, freeze and cut, when the server itself belongs to all."""

import asyncio
import threading
from concurrent.futures import Future
from contextlib import suppress

SECONDS = 10
AT_A_TIME = 65_536


class TcpProxy:
    """Listens on a port of loopback and hands on what comes, until it is told otherwise.

    It runs in a thread of its own; each of its methods returns when what it says is done.
    """

    def __init__(self, target: tuple[str, int] | str) -> None:
        """`target` is a host and a port, or the path of a Unix socket."""
        self.target = target
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        # One for the connections there are; those that `forget` was called for keep theirs.
        self._flows = asyncio.Event()
        self._flows.set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.open()

    def open(self) -> None:
        """Listen, on the same port each time."""
        self._do(self._open())

    def close(self) -> None:
        """The server is gone: connections are reset, and new ones refused."""
        self._do(self._close())

    def cut(self) -> None:
        """Reset all connections; new ones are welcome."""
        self._do(self._cut())

    def freeze(self) -> None:
        """The server hangs: it is there, takes connections, and says nothing until `thaw`."""
        self._do(self._set(flows=False))

    def thaw(self) -> None:
        """Hand on what was held back, and what comes."""
        self._do(self._set(flows=True))

    def forget(self) -> None:
        """Half-open: nothing passes on today's connections any more, and nobody is told."""
        self._do(self._forget())

    def end(self) -> None:
        """Close it for good and end its thread."""
        self.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(SECONDS)

    def _do(self, work: object) -> None:
        future: Future = asyncio.run_coroutine_threadsafe(work, self._loop)
        future.result(SECONDS)

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._cut()

    async def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _set(self, *, flows: bool) -> None:
        (self._flows.set if flows else self._flows.clear)()

    async def _forget(self) -> None:
        self._flows.clear()
        self._flows = asyncio.Event()
        self._flows.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        flows = self._flows
        self._writers.add(writer)
        try:
            if isinstance(self.target, str):
                there, back = await asyncio.open_unix_connection(self.target)
            else:
                there, back = await asyncio.open_connection(*self.target)
        except OSError:
            writer.transport.abort()
            return
        self._writers.add(back)
        await asyncio.gather(
            self._hand_on(reader, back, flows), self._hand_on(there, writer, flows)
        )

    async def _hand_on(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, flows: asyncio.Event
    ) -> None:
        with suppress(OSError):
            while data := await source.read(AT_A_TIME):
                await flows.wait()
                sink.write(data)
                await sink.drain()
            await flows.wait()
        sink.close()
