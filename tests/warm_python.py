"""Start Python processes by fork from a process that has imported Django, Celery and PRAW.

A worker imports for 1.9 s of processor time, of which 1.4 s are other people's packages. Here they are
imported once. What a test starts is a real process all the same: it has its own session and process
group, environment, folder and output, it reads Lurker's settings and modules itself, and a signal ends
it as any other. Only its parent differs, so this module says how it ended.

    python -m tests.warm_python FILE_DESCRIPTOR

serves requests on a socket. A request and an answer are one JSON object a line.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Nothing here reads a setting or an environment variable of ours when it is imported.
PACKAGES = (
    "celery.apps.worker",
    "celery.bin.celery",
    "celery.bin.worker",
    "celery.concurrency.prefork",
    "celery.worker.consumer",
    "django.contrib.admin.options",
    "django.core.management",
    "django.db.backends.postgresql.base",
    "django.db.models",
    "django.template.defaulttags",
    "django.test",
    "django.views.debug",
    "kombu.transport.redis",
    "praw",
    "requests",
)


class WarmPython:
    """The client's side: a process that forks others on request."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self._lock = threading.RLock()
        self._socket = ours
        self._received = b""
        self._answers: list[int] = []
        self._ended: dict[int, int] = {}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.warm_python", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                cwd=Path(__file__).parent.parent,
            )

    def start(
        self, arguments: list[str], *, output: Path, environment: Mapping[str, str], cwd: Path
    ) -> "WarmProcess":
        """Start `python ARGUMENTS`, which are `-m MODULE ...` or `-c PROGRAM ...`."""
        request = {
            "arguments": arguments,
            "output": str(output),
            "environment": dict(environment),
            "cwd": str(cwd),
        }
        with self._lock:
            self._send({"start": request})
            while not self._answers:
                self._receive(None)
            return WarmProcess(self, self._answers.pop(), arguments)

    def status(self, pid: int, timeout: float) -> int | None:
        """The exit status of a process as Popen gives it; None if it still runs."""
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            with self._lock:  # for a moment each time: other threads have processes of their own
                while pid not in self._ended and self._receive(min(max(left, 0), 0.05)):
                    pass
                if pid in self._ended or left <= 0:
                    return self._ended.get(pid)

    def forget(self, pid: int) -> None:
        """Let the system use the process id again."""
        with self._lock:
            self._send({"forget": pid})

    def close(self) -> None:
        """End the forking process. What it has started goes on."""
        self._socket.close()
        self._process.wait(10)

    def _send(self, message: dict[str, Any]) -> None:
        self._socket.sendall(json.dumps(message).encode() + b"\n")

    def _receive(self, timeout: float | None) -> bool:
        readable, _, _ = select.select([self._socket], [], [], timeout)
        if not readable:
            return False
        data = self._socket.recv(65_536)
        if not data:
            raise RuntimeError("tests.warm_python has ended; its error stands above.")
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "started" in message:
                self._answers.append(message["started"])
            else:
                self._ended[message["ended"]] = message["status"]
        return True


class WarmProcess:
    """A started process, with the part of Popen's interface that the tests use."""

    def __init__(self, server: WarmPython, pid: int, arguments: list[str]) -> None:
        self._server = server
        self.pid = pid
        self.args = [sys.executable, *arguments]
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit status, negative for a signal, or None."""
        return self._look(0)

    def wait(self, timeout: float) -> int:
        """The exit status; raise TimeoutExpired if the process does not end in time."""
        if self._look(timeout) is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def _look(self, timeout: float) -> int | None:
        if self.returncode is None:
            self.returncode = self._server.status(self.pid, timeout)
            if self.returncode is not None:
                self._server.forget(self.pid)
        return self.returncode


def serve(requests: socket.socket) -> dict[str, Any]:
    """Fork for each request. Returns the request in the child, and never in the parent."""
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(woken)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for pytest, which closes the socket.
    running: set[int] = set()
    received = b""
    while True:
        readable, _, _ = select.select([requests, wake], [], [])
        if wake in readable:
            with contextlib.suppress(BlockingIOError):
                os.read(wake, 65_536)
            for pid in list(running):
                # The id stays taken until the test has seen the end: it may still signal the group.
                end = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if end is not None:
                    running.remove(pid)
                    by_signal = end.si_code != os.CLD_EXITED
                    _tell(
                        requests, ended=pid, status=-end.si_status if by_signal else end.si_status
                    )
        if requests not in readable:
            continue
        data = requests.recv(65_536)
        if not data:
            os._exit(0)
        *lines, received = (received + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "forget" in message:
                os.waitpid(message["forget"], 0)
                continue
            ready, tells = os.pipe()
            pid = os.fork()
            if not pid:
                os.setsid()
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                signal.signal(signal.SIGINT, signal.default_int_handler)
                requests.close()
                for descriptor in (wake, woken, ready, tells):
                    os.close(descriptor)
                return message["start"]
            os.close(tells)
            os.read(ready, 1)  # returns when the child has a process group of its own
            os.close(ready)
            running.add(pid)
            _tell(requests, started=pid)


def _tell(requests: socket.socket, **message: int) -> None:
    requests.sendall(json.dumps(message).encode() + b"\n")


def run(request: dict[str, Any]) -> None:
    """Do what `python ARGUMENTS` does; the interpreter itself handles how it ends."""
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    os.chdir(request["cwd"])
    with Path(os.devnull).open("rb") as nothing, Path(request["output"]).open("ab") as output:
        os.dup2(nothing.fileno(), 0)
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    sys.stdout.reconfigure(line_buffering=False, write_through=unbuffered)
    option, what, *arguments = request["arguments"]
    sys.path[0] = request["cwd"] if option == "-m" else ""
    sys.argv = [option, *arguments]
    if option == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
        return
    program = types.ModuleType("__main__")
    sys.modules["__main__"] = program
    exec(compile(what, "<string>", "exec"), program.__dict__)


def main() -> None:
    """Import the packages and serve; in each child, run what was asked for."""
    for name in PACKAGES:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # A child's collector must not copy these pages.
    request = serve(socket.socket(fileno=int(sys.argv[1])))
    run(request)


if __name__ == "__main__":
    main()
