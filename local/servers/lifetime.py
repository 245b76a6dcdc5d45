"""The lifetime of an embedded server: as long as any process uses it.

Each user holds a shared `flock` on the server's `.users` file. The kernel drops the lock however
the process dies; a list of process ids on disk cannot promise that. A forked child shares its
parent's lock. A process that starts, checks or stops a server holds the exclusive lock on the
`.lock` file meanwhile.

At a normal exit, each user tries to take the lock on `.users` exclusively. If it succeeds, it was
the last user, and stops the server. If the last user was killed, the server stays; the next user
uses it, and stops it in the end.
"""

import atexit
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from local.servers.errors import EmbeddedServerError

LOCK_SECONDS = 60

# Open files that hold this process's shared locks. Closing a file releases its lock.
_in_use: dict[Path, IO[bytes]] = {}


@contextmanager
def exclusively(data_dir: Path) -> Iterator[None]:
    """Hold the lock for starting, checking and stopping a server.

    Raises `EmbeddedServerError` if another process holds it for LOCK_SECONDS.
    """
    path = data_dir.with_suffix(".lock")
    with path.open("ab") as stream:
        deadline = time.monotonic() + LOCK_SECONDS
        while not _try_lock(stream, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise EmbeddedServerError(
                    f"Another process has held {path} for {LOCK_SECONDS} seconds",
                    remedy="End it (`fuser` names it) or wait until it has started the server.",
                )
            time.sleep(0.05)
        yield


def use(data_dir: Path, stop: Callable[[], object]) -> None:
    """Make this process a user of a server until the process ends; call it inside `exclusively`.

    `stop` is called at exit if no other process uses the server then.
    """
    if data_dir in _in_use:
        return
    stream = _users_file(data_dir)
    # Only a stop takes this lock exclusively, and a stop also holds the `.lock` file.
    fcntl.flock(stream, fcntl.LOCK_SH)
    _in_use[data_dir] = stream
    atexit.register(_leave, data_dir, stop, os.getpid())


def is_used_here(data_dir: Path) -> bool:
    """Return whether this process uses the server."""
    return data_dir in _in_use


def is_used(data_dir: Path) -> bool:
    """Return whether any process, including this one, uses the server."""
    with _users_file(data_dir) as stream:
        return not _try_lock(stream, fcntl.LOCK_EX)


def _leave(data_dir: Path, stop: Callable[[], object], pid: int) -> None:
    if os.getpid() != pid:
        return  # a forked child: its parent still uses the server
    stream = _in_use.pop(data_dir, None)
    if stream is None:
        return
    stream.close()
    if not data_dir.parent.is_dir():
        return  # `make clean` has removed everything
    with exclusively(data_dir):
        # Test by a new file description. Through the old one, a lock that forked children share
        # could be converted although they still hold it.
        if not is_used(data_dir):
            stop()


def _users_file(data_dir: Path) -> IO[bytes]:
    return data_dir.with_suffix(".users").open("ab")


def _try_lock(stream: IO[bytes], operation: int) -> bool:
    try:
        fcntl.flock(stream, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
