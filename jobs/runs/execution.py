"""The steps around a job's body: the claim before it, and the end after it.

Each step waits while the database is down. If the database stays down, the worker returns the
message to the broker, and the next worker that gets the message takes over the run.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypedDict, TypeVar

import psycopg2
from celery.app.task import Context
from celery.exceptions import Reject, SoftTimeLimitExceeded
from django.conf import settings
from django.db import Error, InterfaceError, OperationalError, connection
from kombu.utils.json import dumps

from jobs.job import Job
from jobs.runs import liveness, store, sweep, transitions
from jobs.runs.transitions import Claim

logger = logging.getLogger(__name__)

T = TypeVar("T")

DATABASE_AWAY = (
    OperationalError,
    InterfaceError,
    psycopg2.OperationalError,
    psycopg2.InterfaceError,
)
# A worker that cannot claim returns its message soon: another worker may reach the database.
CLAIM_PATIENCE_SECONDS = 10
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.05, 3

# A sooner retry is sent at once with a countdown; the sweep sends the later ones. A delayed message
# waits in the memory of a worker, and the broker delivers it again if it waits too long.
LONGEST_COUNTDOWN_SECONDS = 30


def result_patience_seconds() -> float:
    """Return the seconds that the end of a run waits for the database.

    It is half the visibility time-out, and at most 15 minutes.
    """
    options = settings.CELERY_BROKER_TRANSPORT_OPTIONS
    visibility_timeout: float = options.get("visibility_timeout", 1800)
    return min(visibility_timeout, 1800) / 2


def is_away(error: BaseException) -> bool:
    """Return whether the database was unreachable, and not whether a statement was wrong.

    psycopg2 raises a plain DatabaseError for a server that is killed during a statement. A server's
    own complaint about a statement has a code (SQLSTATE); this error has none.
    """
    if isinstance(error, DATABASE_AWAY):
        return True
    cause = error.__cause__ if isinstance(error, Error) else error
    return type(cause) is psycopg2.DatabaseError and cause.pgcode is None


def patiently(operation: Callable[[], T], *, seconds: float) -> T:
    """Run `operation`, repeating it while the database is down, for at most so many seconds.

    Raises Django's OperationalError if the database stays down.
    """
    deadline = time.monotonic() + seconds
    pause = 0.0
    while True:
        try:
            return operation()
        except (Error, psycopg2.Error) as error:
            if not is_away(error):
                raise
            if time.monotonic() + pause > deadline:
                raise OperationalError(str(error)) from error
            # The first error may only be a connection that broke while it was idle.
            if pause:
                logger.warning(
                    "The database is away, trying again: %s", transitions.one_line(str(error))
                )
                time.sleep(pause)
            pause = min(max(pause * 2, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
            with suppress(Error, psycopg2.Error):
                connection.close()


def claim(
    job: Job, request: Context, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Claim | None:
    """Claim the run of a message; return None if this message has nothing to run.

    Raises `Reject` if the database stays down; the broker keeps the message.
    """
    try:
        return patiently(lambda: _claim(job, request, args, kwargs), seconds=CLAIM_PATIENCE_SECONDS)
    except (*DATABASE_AWAY, SoftTimeLimitExceeded) as error:
        logger.warning("Run %s goes back to the queue, the database is away: %s", request.id, error)
        raise Reject(error, requeue=True) from error


class _Claimant(TypedDict):
    task: str
    worker: str
    holder: int


def _claim(
    job: Job, request: Context, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Claim | None:
    run_id = request.id
    if run_id is None:  # every message has an id
        return None
    who: _Claimant = {
        "task": job.name,
        "worker": request.hostname or "",
        "holder": liveness.number(),
    }
    taken = transitions.claim(run_id, **who)
    if taken is None:
        meta = store.first_meta(
            queue=(request.delivery_info or {}).get("routing_key") or job.queue_name,
            trigger="message",
        )
        named = dict(zip(job.parameters.by_name, args, strict=False)) | dict(kwargs)
        taken = transitions.claim_without_row(run_id, meta=meta, kwargs=dumps(named), **who)
    if taken is None and sweep.close_lost([run_id]):
        taken = transitions.claim(run_id, **who)
    return taken


def write_end(claim: Claim, write: Callable[[], bool]) -> bool:
    """Write how a run ended, waiting while the database is down.

    Raises `Reject` if it stays down. The broker then keeps the message. The next worker that gets
    it finds this process's liveness lock gone, and may run the job again.
    """
    deadline = time.monotonic() + result_patience_seconds()
    while True:
        try:
            return patiently(write, seconds=deadline - time.monotonic())
        except SoftTimeLimitExceeded:
            continue  # The body finished in time; only the database is late.
        except DATABASE_AWAY as error:
            liveness.abandon()
            logger.critical("The result of run %s could not be written: %s", claim.task_id, error)
            raise Reject(error, requeue=True) from error


def publish_retry(claim: Claim, job: Job, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Send the message of a run's next attempt, unless the sweep is to send it."""
    delay = claim.retry_delay or 0
    if delay > LONGEST_COUNTDOWN_SECONDS:
        return
    run = store.RunRequest(
        task=job.name,
        kwargs=job.parameters.bind(args, kwargs),
        queue=claim.meta.get("queue") or job.queue_name,
        trigger=claim.meta.get("trigger", ""),
        task_id=claim.task_id,
    )
    store.publish([run], countdown=delay)


def sweep_after_retry(delay: float) -> float:
    """Return the seconds until the sweep has to send a retry."""
    if delay > LONGEST_COUNTDOWN_SECONDS:
        return delay
    return delay + transitions.LOST_AFTER_SECONDS
