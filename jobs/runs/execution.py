"""What a worker does round a job's body: claim before it, write after it, however long it takes.

A database that is away is waited for. Who waits in vain hands the message back, and the run to
whoever comes next.
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
# A message that cannot be claimed is handed back soon: whoever gets it next may be luckier.
CLAIM_PATIENCE_SECONDS = 10
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.05, 3

# Retries that come sooner are sent at once, for their time; the sweep sends the others. A broker
# keeps messages for later in the memory of a worker, and hands them out again when it is long.
LONGEST_COUNTDOWN_SECONDS = 30


def result_patience_seconds() -> float:
    """How long the end of a run waits for the database: well below the visibility time-out."""
    options = settings.CELERY_BROKER_TRANSPORT_OPTIONS
    visibility_timeout: float = options.get("visibility_timeout", 1800)
    return min(visibility_timeout, 1800) / 2


def is_away(error: BaseException) -> bool:
    """Whether the database could not be reached, or broke off; not what a statement did wrong.

    A server that is killed in the middle of a statement is a plain DatabaseError to psycopg2. What
    a server says against a statement has a code (SQLSTATE), and this has none.
    """
    if isinstance(error, DATABASE_AWAY):
        return True
    cause = error.__cause__ if isinstance(error, Error) else error
    return type(cause) is psycopg2.DatabaseError and cause.pgcode is None


def patiently(operation: Callable[[], T], *, seconds: float) -> T:
    """Do it, again and again while the database is away, for so many seconds at most.

    Raises OperationalError, or psycopg2's, when it stays away.
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
            # The first time it may be no more than a connection that broke while it was idle.
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
    """Take the run of a message, or return None when this message is one too many.

    Raises `Reject` when the database stays away: the broker keeps the message.
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
    if run_id is None:  # no message is without one
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
    """Write how a run ended, however long the database is away.

    Raises `Reject` when it stays away: the broker keeps the message, and who gets it finds this
    process's liveness lock gone, and may run it again.
    """
    deadline = time.monotonic() + result_patience_seconds()
    while True:
        try:
            return patiently(write, seconds=deadline - time.monotonic())
        except SoftTimeLimitExceeded:
            continue  # The body has ended in time; only the database has not.
        except DATABASE_AWAY as error:
            liveness.abandon()
            logger.critical("The result of run %s could not be written: %s", claim.task_id, error)
            raise Reject(error, requeue=True) from error


def publish_retry(claim: Claim, job: Job, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Send the next attempt of a run that waits for it."""
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
    """Seconds until the sweep has to send a retry itself."""
    if delay > LONGEST_COUNTDOWN_SECONDS:
        return delay
    return delay + transitions.LOST_AFTER_SECONDS
