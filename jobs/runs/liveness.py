"""The liveness lock of a process that runs jobs: an advisory lock with a number of its own.

A started run names the number. PostgreSQL frees the lock when the process dies, however it dies. So
everybody can see which started runs have lost their process: no heartbeat is written, and no clocks
are compared. A thread takes the lock again after PostgreSQL has restarted.
"""

import contextlib
import logging
import os
import select
import threading
import time
import uuid

import psycopg2

from jobs import locks

logger = logging.getLogger(__name__)

CHECK_SECONDS = 10
# A restarted server has no locks. The sweep calls runs dead only when the server has been up this
# long, so that live processes have taken their locks again.
SETTLE_SECONDS = 15
RETRY_SECONDS = (0.1, 0.5, 1, 2)


class LivenessLock:
    """Holds the lock of this process until the process ends."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        key = f"{locks.RESERVED_PREFIX}process:{uuid.uuid4().hex}"
        self.number = locks.lock_id(key)
        self._lock = locks.Lock(key)
        self._lock.acquire(wait=5)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="liveness", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Give up the lock: from now on the runs that this process started count as dead."""
        self._ended.set()
        self._lock.release()

    def _watch(self) -> None:
        while not self._ended.is_set():
            # The server sends nothing on this connection by itself, except its end.
            with contextlib.suppress(OSError, ValueError):
                select.select([self._lock.fileno()], [], [], CHECK_SECONDS)
            if not self._ended.is_set() and not self._lock.is_alive():
                self._take_again()

    def _take_again(self) -> None:
        logger.warning("The liveness lock of process %s was lost; taking it again.", self.pid)
        attempt = 0
        while not self._ended.is_set():
            try:
                self._lock.acquire(wait=5)
            except (psycopg2.Error, locks.LockHeld):
                time.sleep(RETRY_SECONDS[min(attempt, len(RETRY_SECONDS) - 1)])
                attempt += 1
            else:
                return


_current: LivenessLock | None = None
_guard = threading.Lock()


def number() -> int:
    """Return this process's number; the first call takes the lock.

    Raises psycopg2's OperationalError when the database is down.
    """
    global _current
    sign = _current
    if sign is None:
        with _guard:
            sign = _current = _current or LivenessLock()
    return sign.number


def abandon() -> None:
    """Give up the number: the runs that this process started count as dead.

    A process calls this if it cannot write how a run ended. It continues under another number.
    """
    global _current
    with _guard:
        if _current is not None:
            _current.end()
        _current = None


def _begin_anew_in_child() -> None:
    # The number and the connection belong to the parent. psycopg2 does not close a connection that
    # another process made when the object is dropped.
    global _current, _guard
    _current = None
    _guard = threading.Lock()


os.register_at_fork(after_in_child=_begin_anew_in_child)
