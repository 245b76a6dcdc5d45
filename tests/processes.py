"""Real processes for tests: workers, beats, web servers, on the database and broker of the test."""

import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from config.environment import BASE_DIR
from tests.warm_python import WarmPython

Ready = str | Callable[["Process"], bool]


class ProcessError(AssertionError):
    """A process ended, or did not do what it should have done in time; shows what it wrote."""


def wait_until(condition: Callable[[], bool], *, seconds: float = 20, what: str = "") -> None:
    """Return as soon as the condition holds; fail after the given time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"Not within {seconds} s: {what or condition}")
        time.sleep(0.05)


@functools.cache
def warm_python() -> WarmPython:
    """The process that Python processes are forked from."""
    return WarmPython()


# Python, Celery and kombu read variables with these beginnings when they start or are imported.
READ_AT_IMPORT = ("PYTHON", "REMAP_SIGTERM", "AUTOSCALE_", "KOMBU_", "C_", "MP_", "PICKLE_", "TZ")


def _starts_warm(command: list[str], environment: Mapping[str, str]) -> bool:
    """Whether a fork of the warm process does what the command does."""

    def read_at_import(variables: Mapping[str, str]) -> dict[str, str]:
        names = {name for name in variables if name.startswith(READ_AT_IMPORT)}
        return {name: variables[name] for name in names - {"PYTHONUNBUFFERED"}}

    return (
        command[0] == sys.executable
        and command[1] in ("-m", "-c")
        and read_at_import(environment) == read_at_import(os.environ)
    )


class Process:
    """A started process, in a process group of its own, with its output in a file."""

    def __init__(
        self,
        command: list[str],
        *,
        name: str,
        output: Path,
        environment: Mapping[str, str],
        cwd: Path = BASE_DIR,
    ) -> None:
        self.name = name
        self.output_file = output
        if _starts_warm(command, environment):
            output.touch()
            self.popen = warm_python().start(
                command[1:], output=output, environment=environment, cwd=cwd
            )
        else:
            with output.open("ab") as stream:
                self.popen = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    env=dict(environment),
                    cwd=cwd,
                    start_new_session=True,
                )
        self.pid = self.popen.pid

    @property
    def output(self) -> str:
        """What it has written so far, on both its streams."""
        return self.output_file.read_text(errors="replace")

    @property
    def is_running(self) -> bool:
        """Whether the started process itself lives; its children may outlive it."""
        return self.popen.poll() is None

    def children(self) -> list[psutil.Process]:
        """All processes below this one, such as those of a worker's pool."""
        return psutil.Process(self.pid).children(recursive=True)

    def wait_for(self, ready: Ready, *, seconds: float = 30) -> None:
        """Return once the text was written or the condition holds; fail if it ends before."""
        deadline = time.monotonic() + seconds
        while True:
            if ready in self.output if isinstance(ready, str) else ready(self):
                return
            if not self.is_running:
                self._fail(f"ended with status {self.popen.returncode} before {ready!r}")
            if time.monotonic() > deadline:
                self._fail(f"took longer than {seconds} s for {ready!r}")
            time.sleep(0.05)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process, not to its children."""
        self.popen.send_signal(number)

    def wait(self, *, seconds: float = 20) -> int:
        """Wait for the end and return the exit status (negative: the signal that ended it)."""
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self._fail(f"has not ended within {seconds} s")
            raise

    def terminate(self, *, seconds: float = 20) -> int:
        """SIGTERM, as a container's stop does, and wait for the end."""
        self.send(signal.SIGTERM)
        return self.wait(seconds=seconds)

    def kill(self) -> None:
        """SIGKILL to the process and all its children at once, as when a machine dies."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.popen.wait(10)

    def _fail(self, problem: str) -> None:
        raise ProcessError(f"{self.name} {problem}. It wrote:\n{self.output[-6000:]}")


class Processes:
    """Starts processes with one environment and ends them all, whatever happens meanwhile."""

    def __init__(self, *, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.environment = dict(environment)
        self.started: list[Process] = []

    def start(
        self,
        *command: str,
        name: str = "",
        ready: Ready | None = None,
        seconds: float = 30,
        environment: Mapping[str, str] | None = None,
        cwd: Path = BASE_DIR,
    ) -> Process:
        """Start a command; return when it is ready, or at once if nothing says when that is.

        A command that begins with an option (`-m`) is run by this Python.
        """
        arguments = [sys.executable, *command] if command[0].startswith("-") else list(command)
        name = name or f"{Path(arguments[0]).name}-{len(self.started)}"
        process = Process(
            arguments,
            name=name,
            output=self.folder / f"{name}.log",
            environment=self.environment | dict(environment or {}),
            cwd=cwd,
        )
        self.started.append(process)
        if ready is not None:
            process.wait_for(ready, seconds=seconds)
        return process

    def worker(
        self,
        *options: str,
        name: str = "",
        queues: str = "default,scraping,cleanup",
        concurrency: int = 1,
        application: str = "config",
        environment: Mapping[str, str] | None = None,
    ) -> Process:
        """Start a Celery worker and return when it takes messages."""
        name = name or f"worker-{len(self.started)}"
        return self.start(
            *("-m", "celery", "-A", application, "worker", "--queues", queues),
            # On RabbitMQ a worker's name is also that of a queue of its own, and a test that runs
            # at the same time has workers, too.
            *("--concurrency", str(concurrency), "--hostname", f"{name}-{os.getpid()}@%h"),
            *("--without-gossip", "--without-mingle", *options),
            name=name,
            ready=" ready.",
            environment=environment,
        )

    def beat(self, *options: str, name: str = "", ready: Ready = "beat: Starting...") -> Process:
        """Start a Celery beat."""
        name = name or f"beat-{len(self.started)}"
        pid_file = self.folder / f"{name}.pid"
        return self.start(
            *("-m", "celery", "-A", "config", "beat", "--pidfile", str(pid_file), *options),
            name=name,
            ready=ready,
        )

    def end(self) -> None:
        """Kill every process group that was started, including what its leader left behind.

        `make test-coverage` asks the processes to end first: a killed one saves no coverage.
        """
        if "COVERAGE_PROCESS_CONFIG" in os.environ:
            for process in self.started:
                process.send(signal.SIGTERM)
            for process in self.started:
                with suppress(subprocess.TimeoutExpired):
                    process.popen.wait(10)
        for process in self.started:
            process.kill()
        self.started.clear()


@contextmanager
def running_processes(*, folder: Path, environment: Mapping[str, str]) -> Iterator[Processes]:
    """`Processes` that are ended at the end of the block."""
    processes = Processes(folder=folder, environment=environment)
    try:
        yield processes
    finally:
        processes.end()
