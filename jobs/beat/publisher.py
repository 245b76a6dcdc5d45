"""Sends recorded runs from a thread of its own, so that a broker that hangs never delays a tick.

Nothing is lost with what it does not send: the runs stand in the database as PENDING.
"""

import logging
import queue
import threading
from collections.abc import Sequence

from celery import Celery

from jobs.beat.error_log import ErrorLog
from jobs.runs import requests as runs
from jobs.runs.requests import RunRequest

logger = logging.getLogger(__name__)

# Runs that may wait to be sent. More are left to the sweep: their broker is away or far too slow.
MOST_WAITING = 20_000
# Seconds that the end of a process waits for what is still to be sent.
CLOSING_SECONDS = 5.0


class Publisher:
    """A queue of runs and the thread that sends them."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._waiting: queue.Queue[Sequence[RunRequest] | None] = queue.Queue()
        self._count = 0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._broker_is_away = False
        self._errors = ErrorLog(logger)
        self._idle = threading.Event()
        self._idle.set()

    def put(self, batch: Sequence[RunRequest]) -> None:
        """Send these soon; return at once."""
        if not batch:
            return
        with self._lock:
            if self._count + len(batch) > MOST_WAITING:
                self._set_away(f"{self._count} runs wait to be sent")
                return
            self._count += len(batch)
            self._idle.clear()
            self._waiting.put(batch)
        self._have_a_thread()

    def _have_a_thread(self) -> None:
        """Start the thread, again if it ended. If it cannot start, the runs go to the next one."""
        if not self._is_working():
            thread = threading.Thread(target=self._work, name="publisher", daemon=True)
            thread.start()
            self._thread = thread

    def _is_working(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def drain(self, seconds: float = CLOSING_SECONDS) -> bool:
        """Wait until all has been tried, for so many seconds at most; whether it has."""
        return self._idle.wait(seconds if self._is_working() else 0)

    def close(self) -> None:
        """Send what waits, within `CLOSING_SECONDS`, and end the thread."""
        self.drain()
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join(1)
            self._thread = None

    def _work(self) -> None:
        self._app.set_current()
        while (batch := self._waiting.get()) is not None:
            try:
                self._send(batch)
            finally:
                with self._lock:
                    self._count -= len(batch)
                    if not self._count:
                        self._idle.set()

    def _send(self, batch: Sequence[RunRequest]) -> None:
        for run in batch:
            try:
                runs.send(run)
            except runs.BROKER_ERRORS as error:
                self._set_away(str(error))
                return
            except Exception as error:  # noqa: BLE001 - logged
                self._errors.failed(
                    f"sending runs of schedule {run.schedule}", error, outcome="they stay PENDING"
                )
            else:
                self._errors.worked(f"sending runs of schedule {run.schedule}")
                if self._broker_is_away:
                    self._broker_is_away = False
                    logger.warning("the broker takes runs again")

    def _set_away(self, why: str) -> None:
        if not self._broker_is_away:
            self._broker_is_away = True
            logger.error("runs stay PENDING, the broker does not take them: %s", why)
