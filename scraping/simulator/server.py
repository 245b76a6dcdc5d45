"""Runs a simulator: in the foreground, in a thread of a test, or in a process of a benchmark."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvicorn

from .app import Application, Simulator
from .clock import VirtualClock
from .config import SimulatorConfig
from .control import control_routes
from .load import LoadError, load
from .transport import ExposingProtocol
from .world import World

_READY = "Reddit simulator ready at "


class SimulatorError(RuntimeError):
    """The simulator could not be started; the message names the cause and the remedy."""


class _Server(uvicorn.Server):
    """A server that stops at once and leaves the process's exit status alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        kept = {
            number: signal.signal(number, self.handle_exit)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in kept.items():
                signal.signal(number, handler)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        # A client that holds a connection open, or reads a slow drip, must not keep us alive.
        for task in list(self.server_state.tasks):
            task.cancel()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)


def build(config: SimulatorConfig) -> Simulator:
    """Return the simulator that a configuration describes."""
    clock = VirtualClock(config.start, speed=config.speed)
    if config.load:
        return Simulator(config, _loaded(config, clock))
    world = World.generated(
        seed=config.seed,
        clock=clock,
        subreddits=config.subreddits,
        posts_per_hour=config.posts_per_hour,
        comments_per_post=config.comments_per_post,
        history_hours=config.history_hours,
        cache_bytes=config.cache_bytes,
    )
    return Simulator(config, world)


def _loaded(config: SimulatorConfig, clock: VirtualClock) -> World:
    try:
        world, report = load(
            config.load,
            clock=clock if config.start is not None else None,
            cache_bytes=config.cache_bytes,
        )
    except LoadError as failure:
        raise SimulatorError(str(failure)) from failure
    world.clock.set_speed(config.speed)
    for problem in report.problems:
        sys.stderr.write(f"Left out {problem}\n")
    sys.stderr.write(
        f"Loaded {report.posts} posts and {report.comments} comments; "
        f"{report.rejected} bad lines, {report.duplicates} duplicates.\n"
    )
    return world


def listen(config: SimulatorConfig) -> socket.socket:
    """Return the listening socket. Raises SimulatorError if the address is not available."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((config.host, config.port))
        listener.listen(512)
    except OSError as failure:
        listener.close()
        message = (
            f"Cannot listen on {config.host} port {config.port}: {failure.strerror}. "
            f"Stop what uses port {config.port}, or choose another with --port (0: any free one)."
        )
        raise SimulatorError(message) from failure
    listener.setblocking(False)
    return listener


def url_of(listener: socket.socket) -> str:
    """Return the address at which clients on this machine reach a listener."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - a comparison, not a binding
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _server(simulator: Simulator) -> _Server:
    return _Server(
        uvicorn.Config(
            Application(simulator, control_routes(simulator) if simulator.config.control else ()),
            http=ExposingProtocol,
            loop="uvloop",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            timeout_keep_alive=75,
        )
    )


def serve(config: SimulatorConfig, *, announce: Callable[[str], None] | None = None) -> None:
    """Serve in the foreground until SIGINT or SIGTERM.

    ``announce`` gets the one line with the address; by default, the line is printed. Raises
    SimulatorError if the port is taken or a file cannot be read.
    """
    simulator = build(config)
    with listen(config) as listener:
        line = _READY + url_of(listener)
        if announce is not None:
            announce(line)
        else:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
        _server(simulator).run(sockets=[listener])


class SimulatorServer:
    """A simulator beside the running program, as a context manager.

    It runs in a thread. With ``process=True`` it runs in a process of its own, on ``cpus`` if the
    system can pin processes. Keyword arguments are fields of SimulatorConfig. Without ``config``, the
    port defaults to a free port.
    """

    def __init__(
        self,
        config: SimulatorConfig | None = None,
        *,
        process: bool = False,
        cpus: set[int] | None = None,
        **options: Any,
    ) -> None:
        self.config = replace(config or SimulatorConfig(port=0), **options)
        self._own_process = process
        self._cpus = cpus
        self.url = ""
        self.simulator: Simulator | None = None
        """The simulator itself, if it runs in a thread."""
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        raised: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start, and return when the simulator answers requests."""
        if self._own_process:
            self._start_process()
        else:
            self._start_thread()

    def _start_thread(self) -> None:
        self.simulator = build(self.config)
        listener = listen(self.config)
        self.url = url_of(listener)
        self._server = _server(self.simulator)
        ready = threading.Event()
        server = self._server

        async def run() -> None:
            asyncio.get_running_loop().call_soon(ready.set)
            await server.serve(sockets=[listener])

        def main() -> None:
            with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
                runner.run(run())

        self._thread = threading.Thread(target=main, name="reddit-simulator", daemon=True)
        self._thread.start()
        ready.wait(10)

    def _start_process(self) -> None:
        command = [sys.executable, "-m", "scraping.simulator", *_command_line(self.config)]
        root = Path(__file__).resolve().parents[2]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root
        )
        if self._cpus and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(self._process.pid, self._cpus)
        assert self._process.stdout is not None  # noqa: S101 - asked for above
        assert self._process.stderr is not None  # noqa: S101 - asked for above
        line = self._process.stdout.readline()
        if not line.startswith(_READY):
            self._process.wait(10)
            message = self._process.stderr.read().strip() or "The simulator ended at its start."
            self.stop()
            raise SimulatorError(message)
        self.url = line.removeprefix(_READY).strip()

    def stop(self) -> None:
        """Stop the simulator; safe to call twice."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(10)
            self._server = self._thread = None
        if self._process is not None:
            self._process.terminate()
            self._process.communicate(timeout=10)
            self._process = None

    def control(self, path: str, payload: Any = None, *, method: str | None = None) -> Any:
        """Call a control endpoint and return its JSON: POST if there is a payload, else GET.

        Raises ValueError with the server's explanation if the server refuses.
        """
        body = None if payload is None else json.dumps(payload).encode()
        request = urllib.request.Request(  # noqa: S310 - our own server
            f"{self.url}/control/{path.lstrip('/')}",
            data=body,
            headers={"content-type": "application/json"},
            method=method or ("GET" if body is None else "POST"),
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:  # noqa: S310
                return json.load(reply)
        except urllib.error.HTTPError as refusal:
            with refusal:
                raise ValueError(refusal.read().decode(errors="replace")) from None


_FLAGS = {"clients": "client", "users": "user", "refresh_tokens": "refresh-token"}


def _command_line(config: SimulatorConfig) -> list[str]:
    """Return the options that start the same simulator in another process."""
    arguments: list[str] = []
    for entry in fields(SimulatorConfig):
        value = getattr(config, entry.name)
        flag = "--" + _FLAGS.get(entry.name, entry.name.replace("_", "-"))
        if entry.name == "control":
            arguments += [flag] if value else []
        elif entry.name == "budget" and value is None:
            arguments.append("--unlimited")
        elif isinstance(value, tuple):
            if entry.name == "load" and value:
                arguments += [flag, *map(str, value)]
            elif entry.name != "load":
                for each in value:
                    arguments += [flag, each]
        elif value is not None:
            arguments += [flag, str(value)]
    return arguments
