"""A run's row and its message: the row first, the message after the commit.

The caller's transaction writes the row (`django_celery_results.TaskResult`, the only run table). So
an accepted request is never lost with a broker, and a rolled-back request never runs. A task id
gets one row: a second request with the same id is refused.
"""

import json
import logging
import math
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from amqp import Connection as AMQPConnection
from amqp.exceptions import AMQPError
from celery import current_app, states
from django.db import connection, transaction
from django.dispatch import Signal
from django.utils import timezone
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from jobs.runs.transitions import LOST_AFTER_SECONDS

logger = logging.getLogger(__name__)

# Sent in the caller's transaction with `run` (a RunRequest), so that an app that imports this one
# can write its own rows for the run in the same transaction.
run_requested = Signal()

# Sent with `task_id`, `status`, `reason` and `in_batch` (whether the run belongs to a batch) when a
# run ends without its body seeing the end: it was skipped, cancelled or expired, or its worker died
# once too often. Also sent at every end of a run in a batch. The sender is the name of the task.
run_ended = Signal()

# The errors of a publish while the broker is down: from kombu, its drivers, or the socket.
BROKER_ERRORS = (KombuError, AMQPError, RedisError, OSError)

# Seconds that a message may take; a failure within QUICK_SECONDS is not a time-out.
SEND_SECONDS = 5
QUICK_SECONDS = 1


def new_task_id() -> str:
    """Return a new, unused task id."""
    return str(uuid.uuid4())


@dataclass(frozen=True)
class RunRequest:
    """A request for one run of a task, whatever its trigger."""

    task: str
    kwargs: dict[str, Any]
    queue: str
    # schedule, manual, command, api, batch, task, or message (sent without a row).
    trigger: str
    task_id: str = field(default_factory=new_task_id)
    # The name of the schedule that fired it.
    schedule: str | None = None
    # From this moment on it is too late to start the run.
    expires_at: datetime | None = None
    # Before this moment it is too early to start the run.
    not_before: datetime | None = None
    # Positional arguments, for schedules that have them.
    args: Sequence[Any] = ()
    # Other options of the message: any of priority, exchange, routing_key, headers.
    options: dict[str, Any] = field(default_factory=dict)
    # Other entries of the row's meta: the run that this one repeats, the batch it belongs to.
    notes: dict[str, Any] = field(default_factory=dict)


def request(run: RunRequest) -> RunRequest:
    """Record a run as PENDING and publish it when the transaction commits.

    A broker outage does not fail the caller: the row stays PENDING, and the sweep sends the
    message.
    """
    with transaction.atomic():
        if record([run]):
            run_requested.send(sender=run.task, run=run)
            transaction.on_commit(lambda: publish([run]), robust=True)
    return run


def record(runs: Sequence[RunRequest]) -> set[str]:
    """Write the rows of runs in one statement; return the task ids that are new."""
    if not runs:
        return set()
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO django_celery_results_taskresult
                (task_id, task_name, periodic_task_name, task_args, task_kwargs, meta, status,
                 content_type, content_encoding, date_created, date_done)
            SELECT task_id, task_name, schedule, task_args, task_kwargs, meta, %s,
                   'application/json', 'utf-8', %s, %s
            FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[])
                 AS r (task_id, task_name, schedule, task_args, task_kwargs, meta)
            ON CONFLICT (task_id) DO NOTHING
            RETURNING task_id
            """,
            [
                states.PENDING,
                now,
                now,
                [run.task_id for run in runs],
                [run.task for run in runs],
                [run.schedule for run in runs],
                [json.dumps(list(run.args)) for run in runs],
                [json.dumps(run.kwargs) for run in runs],
                [json.dumps(_meta(run, now)) for run in runs],
            ],
        )
        return {task_id for (task_id,) in cursor.fetchall()}


def publish(runs: Sequence[RunRequest], *, countdown: float | None = None) -> int:
    """Send the messages of recorded runs; return how many the broker accepted.

    The first failure stops the sending. The row of each unsent run stays as it is.
    """
    for sent, run in enumerate(runs):
        try:
            send(run, countdown=countdown)
        except BROKER_ERRORS as error:
            waiting = len(runs) - sent
            logger.warning(
                "%d run(s) stay waiting, the broker does not take them: %s", waiting, error
            )
            return sent
    return len(runs)


def send(run: RunRequest, *, countdown: float | None = None) -> None:
    """Send the message of a recorded run; raise one of `BROKER_ERRORS` on failure."""
    if run.not_before is not None:
        countdown = (run.not_before - timezone.now()).total_seconds()
    options = dict(run.options)
    headers = dict(options.pop("headers", {}))
    if run.schedule:
        headers["periodic_task_name"] = run.schedule
    if not {"exchange", "routing_key"} & options.keys():
        options["queue"] = run.queue
    options |= {
        "args": list(run.args),
        "kwargs": run.kwargs,
        "task_id": run.task_id,
        # Whole seconds: Celery's delayed delivery on RabbitMQ fails for a fraction. The claim
        # accepts a message that comes up to a second early.
        "countdown": math.ceil(countdown) if countdown and countdown > 0 else None,
        "expires": run.expires_at,
        "headers": headers or None,
        # For RabbitMQ: the time to write, and the time to wait for the confirmation.
        "timeout": SEND_SECONDS,
        "confirm_timeout": SEND_SECONDS,
    }
    began = time.monotonic()
    try:
        _send(run.task, retry_policy={"max_retries": 0}, **options)
    except BROKER_ERRORS:
        # A connection that broke while idle fails at once, and a new connection helps. A frozen
        # broker fails slowly: a second try would make the caller wait as long again.
        if time.monotonic() - began > QUICK_SECONDS:
            raise
        _send(run.task, retry_policy={"max_retries": 1}, **options)


def _send(task: str, **options: Any) -> None:
    with current_app.producer_or_acquire() as producer:
        try:
            current_app.send_task(task, producer=producer, **options)
        except BROKER_ERRORS:
            # The pool would close the connection politely, and wait forever for a frozen RabbitMQ
            # to answer (kombu/connection.py, _do_close_self). `collect` closes it without asking.
            used = getattr(producer.connection, "_connection", None)
            if isinstance(used, AMQPConnection):
                used.collect()
            raise


def first_meta(*, queue: str, trigger: str) -> dict[str, Any]:
    """Return the meta with which every run starts."""
    return {"queue": queue, "trigger": trigger, "queued_at": timezone.now().isoformat()}


def _meta(run: RunRequest, queued_at: datetime) -> dict[str, Any]:
    now = time.time()
    sweep_at = now + LOST_AFTER_SECONDS
    meta: dict[str, Any] = {
        "queue": run.queue,
        "trigger": run.trigger,
        "queued_at": queued_at.isoformat(),
    }
    if run.not_before is not None:
        meta["not_before"] = run.not_before.timestamp()
        sweep_at = run.not_before.timestamp()
    if run.expires_at is not None:
        meta["expires_at"] = run.expires_at.isoformat()
        meta["expires"] = run.expires_at.timestamp()
        sweep_at = min(sweep_at, run.expires_at.timestamp())
    if run.options:
        meta["options"] = run.options
    return meta | {"sweep_at": int(sweep_at)} | run.notes
