"""The demo's processes: each in a group of its own, with a log file, all of them ended with it."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from config.environment import BASE_DIR

LOG_LINES = 15
STOP_SECONDS = 15


class ChildError(Exception):
    """A process did not start, or ended by itself; the message shows the end of its log."""


def free_port(wanted: int) -> int:
    """Return the port if nobody listens on it, else a free one."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            number: int = probe.getsockname()[1]
            return number
    raise ChildError("No port of 127.0.0.1 is free.")


class Child:
    """One process, started at once."""

    def __init__(
        self, name: str, command: list[str], *, log: Path, environment: Mapping[str, str]
    ) -> None:
        self.name = name
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | environment,
                cwd=BASE_DIR,
                # A group of its own: the terminal's Ctrl-C reaches the demo alone, which then ends
                # its processes in order.
                start_new_session=True,
            )

    def wait_until(self, is_ready: Callable[[], bool], *, seconds: float) -> None:
        """Return once it is ready; raise `ChildError` if it ends before or takes too long."""
        deadline = time.monotonic() + seconds
        while not is_ready():
            self.check()
            if time.monotonic() > deadline:
                raise ChildError(
                    f"{self.name} was not ready within {seconds:.0f} s.\n{self.tail()}"
                )
            time.sleep(0.1)

    def check(self) -> None:
        """Raise `ChildError` if it has ended."""
        if self.process.poll() is not None:
            raise ChildError(
                f"{self.name} ended with status {self.process.returncode}.\n{self.tail()}"
            )

    def tail(self) -> str:
        """The last lines that it wrote."""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-LOG_LINES:])


class Children:
    """All of them. Those that an earlier demo could not end, because it was killed, end first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._register = folder / "processes.json"
        self._all: list[Child] = []
        folder.mkdir(parents=True, exist_ok=True)
        self._end_leftovers()

    def start(self, name: str, *command: str, **environment: str) -> Child:
        """Start `python -m <command>`."""
        log = self._folder / f"{name}.log"
        child = Child(name, list(command), log=log, environment=environment)
        self._all.append(child)
        created = {str(c.process.pid): _created(c.process.pid) for c in self._all}
        self._register.write_text(json.dumps(created))
        return child

    def check(self) -> None:
        """Raise `ChildError` if any has ended."""
        for child in self._all:
            child.check()

    def stop(self) -> None:
        """End them, the last started first, by SIGTERM and after a while by SIGKILL."""
        for child in reversed(self._all):
            if child.process.poll() is None:
                child.process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.process.wait(STOP_SECONDS)
            _kill_group(child.process.pid)
            child.process.wait()
        self._register.unlink(missing_ok=True)

    def _end_leftovers(self) -> None:
        if not self._register.exists():
            return
        for pid, created in json.loads(self._register.read_text() or "{}").items():
            # The same number may be another process by now; its time of birth tells.
            if created is not None and _created(int(pid)) == created:
                _kill_group(int(pid))
        self._register.unlink()


def _created(pid: int) -> float | None:
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return None


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
