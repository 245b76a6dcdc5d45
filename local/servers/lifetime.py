"""How long an embedded server lives: as long as a process that uses it.

Every user holds a shared `flock` on the server's `.users` file. The kernel drops it with the
process, however that dies, which a list of process ids on disk cannot promise; a forked child
shares its parent's. Whoever starts, checks or stops a server holds the exclusive lock on the
`.lock` file meanwhile.

At a normal exit each user tries to take the users' lock exclusively: who succeeds was the last one
and stops the server. A server whose last user was killed stays, to be used (and in the end
stopped) by the next one.
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

# Open files that carry this process's shared locks; closing one gives its lock up.
_in_use: dict[Path, IO[bytes]] = {}


@contextmanager
def exclusively(data_dir: Path) -> Iterator[None]:
    """Hold the lock under which a server is started, checked and stopped."""
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
    """Count this process among the users of a server until it ends; call `exclusively`.

    `stop` is called at exit if no other process uses the server then.
    """
    if data_dir in _in_use:
        return
    stream = _users_file(data_dir)
    # Only another stop holds it exclusively, and that one would hold the `.lock` file, too.
    fcntl.flock(stream, fcntl.LOCK_SH)
    _in_use[data_dir] = stream
    atexit.register(_leave, data_dir, stop, os.getpid())


def is_used_here(data_dir: Path) -> bool:
    """Whether this process uses the server."""
    return data_dir in _in_use


def is_used(data_dir: Path) -> bool:
    """Whether any process, this one included, uses the server."""
    with _users_file(data_dir) as stream:
        return not _try_lock(stream, fcntl.LOCK_EX)


def _leave(data_dir: Path, stop: Callable[[], object], pid: int) -> None:
    if os.getpid() != pid:
        return  # a forked child: its parent is still there
    stream = _in_use.pop(data_dir, None)
    if stream is None:
        return
    stream.close()
    if not data_dir.parent.is_dir():
        return  # removed with everything in it by `make clean`
    with exclusively(data_dir):
        # A new file description: a lock that forked children share could be converted through
        # the old one, although they still hold it.
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
