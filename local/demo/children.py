"""The demo's processes. Each has its own process group and log file, and ends with the demo.

A process that ends by itself is started again.
"""

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
# Seconds until a process that ended is started again: the first time, the second time and so on.
# After the last pause the demo gives up on the process.
RESTART_PAUSES = (1, 2, 4, 8, 16)
# A process that ran for so many seconds starts again with the first pause.
SETTLED_SECONDS = 60


class ChildError(Exception):
    """A process did not start, or ends again and again; the message shows the end of its log."""


class Restarts:
    """Decides when a process that ended starts again, and when to give up."""

    def __init__(self, name: str, log: Path, say: Callable[[str], None]) -> None:
        self._name = name
        self._log = log
        self._say = say
        self._count = 0
        self._at: float | None = None
        self._started_at = time.monotonic()

    def are_due(self, end: str) -> bool:
        """Return whether to start the process now; `end` says how it ended.

        Prints a line at the first call after an end. Raises `ChildError` after too many restarts in
        a row.
        """
        if self._at is None:
            self._at = time.monotonic() + self._next_pause(end)
        return time.monotonic() >= self._at

    def started(self) -> None:
        """Record that the process was started."""
        self._started_at = time.monotonic()
        self._at = None

    def _next_pause(self, end: str) -> float:
        if time.monotonic() - self._started_at >= SETTLED_SECONDS:
            self._count = 0
        if self._count == len(RESTART_PAUSES):
            raise ChildError(
                f"{self._name} {end} again, after {self._count} restarts. The demo gives up."
                f" The end of its log:\n{tail(self._log)}"
            )
        pause = RESTART_PAUSES[self._count]
        self._count += 1
        progress = f"restart {self._count} of {len(RESTART_PAUSES)}"
        self._say(f"{self._name} {end}; it starts again in {pause:g} s ({progress}).")
        return pause


def tail(log: Path) -> str:
    """Return the last lines of a log."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join(f"  {line}" for line in lines[-LOG_LINES:])


def free_port(wanted: int) -> int:
    """Return the wanted port if it is free, else another free port; raise `ChildError` if none is."""
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
    """One process, which the constructor starts."""

    def __init__(
        self,
        name: str,
        command: list[str],
        *,
        log: Path,
        environment: Mapping[str, str],
        say: Callable[[str], None],
    ) -> None:
        self.name = name
        self.log = log
        self.restarts = Restarts(name, log, say)
        self._command = command
        self._environment = environment
        log.unlink(missing_ok=True)
        self.process = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", *self._command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | self._environment,
                cwd=BASE_DIR,
                # A group of its own: the terminal's Ctrl-C reaches only the demo, which then ends
                # its processes in order.
                start_new_session=True,
            )

    def restart(self) -> None:
        """Kill the rest of its process group and start the process again, with the same log."""
        _kill_group(self.process.pid)
        self.process.wait()
        self.process = self._start()
        self.restarts.started()

    def end(self) -> str:
        """Return how the process ended, in words."""
        status = self.process.returncode
        if status >= 0:
            return f"ended with status {status}"
        with contextlib.suppress(ValueError):
            return f"was killed by {signal.Signals(-status).name}"
        return f"was killed by signal {-status}"


class Children:
    """All processes of the demo. Processes that a killed demo left behind are ended first."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        """Keep logs in the folder; `say` prints a line for each process that ends."""
        self._folder = folder
        self._say = say
        self._register = folder / "processes.json"
        self._all: list[Child] = []
        folder.mkdir(parents=True, exist_ok=True)
        self._end_leftovers()

    def start(self, name: str, *command: str, **environment: str) -> Child:
        """Start `python -m <command>`."""
        log = self._folder / f"{name}.log"
        child = Child(name, list(command), log=log, environment=environment, say=self._say)
        self._all.append(child)
        self._write_register()
        return child

    def check(self) -> None:
        """Restart processes that have ended; raise `ChildError` if a process ends again and again."""
        for child in self._all:
            if child.process.poll() is not None and child.restarts.are_due(child.end()):
                child.restart()
                self._write_register()

    def wait_until(self, child: Child, is_ready: Callable[[], bool], *, seconds: float) -> None:
        """Return when the process is ready; raise `ChildError` if that takes too long."""
        deadline = time.monotonic() + seconds
        while not is_ready():
            self.check()
            if time.monotonic() > deadline:
                raise ChildError(
                    f"{child.name} was not ready within {seconds:.0f} s.\n{tail(child.log)}"
                )
            time.sleep(0.1)

    def _write_register(self) -> None:
        created = {str(c.process.pid): _created(c.process.pid) for c in self._all}
        self._register.write_text(json.dumps(created))

    def stop(self) -> None:
        """End all processes, the last started first: by SIGTERM, and later by SIGKILL."""
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
            # Another process may have the number now; the time of its start decides.
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
