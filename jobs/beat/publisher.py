"""Sends recorded runs from its own thread, so that a hanging broker never delays a tick.

An unsent run is not lost: its row stays PENDING in the database, and the sweep sends it.
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

# The most runs that may wait here. The sweep sends the others: the broker is down or far too slow.
MOST_WAITING = 20_000
# Seconds that a process waits at its end for the remaining runs to be sent.
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
        """Queue these runs for sending; return at once."""
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
        """Start the thread if it is not running. If it cannot start, the runs wait for the next thread."""
        if not self._is_working():
            thread = threading.Thread(target=self._work, name="publisher", daemon=True)
            thread.start()
            self._thread = thread

    def _is_working(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def drain(self, seconds: float = CLOSING_SECONDS) -> bool:
        """Wait for at most so many seconds until every run was tried; return whether it was."""
        return self._idle.wait(seconds if self._is_working() else 0)

    def close(self) -> None:
        """Send the waiting runs, within `CLOSING_SECONDS`, and end the thread."""
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
