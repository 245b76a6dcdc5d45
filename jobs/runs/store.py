"""A run's row and its message: the row first, the message after the commit.

The row (`django_celery_results.TaskResult`, the only run table) is written in the caller's
transaction, so a request that was accepted is never lost with a broker, and one that was rolled
back never runs. The row is written once for a task id: a second request of the same id is refused.
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

# Sent inside the caller's transaction with `run` (a RunRequest), so that an app to the right of this
# one can write what belongs to the run beside it.
run_requested = Signal()

# Sent with `task_id`, `status`, `reason` and `in_batch` (whether it is of a batch) when a run has
# ended of which the body did not see the end: it was skipped, cancelled or expired, or its worker
# died once too often. Sent for every end of a run of a batch. Sender: the name of the task.
run_ended = Signal()

# What a publish raises when the broker is away: kombu's own errors, its drivers', or the socket's.
BROKER_ERRORS = (KombuError, AMQPError, RedisError, OSError)

# How long a message may take, and how fast a failure is no time-out.
SEND_SECONDS = 5
QUICK_SECONDS = 1


def new_task_id() -> str:
    """Return an id that no run has yet."""
    return str(uuid.uuid4())


@dataclass(frozen=True)
class RunRequest:
    """One run of a task that is to happen, by whatever door it was asked for."""

    task: str
    kwargs: dict[str, Any]
    queue: str
    # Which door: schedule, manual, command, api, batch, task, or message (sent without a row).
    trigger: str
    task_id: str = field(default_factory=new_task_id)
    # The name of the schedule that fired it.
    schedule: str | None = None
    # After this moment it is too late to start it.
    expires_at: datetime | None = None
    # Before this moment it is too early.
    not_before: datetime | None = None
    # Positional arguments, for tasks that are scheduled with them.
    args: Sequence[Any] = ()
    # What else the message is to carry: any of priority, exchange, routing_key, headers.
    options: dict[str, Any] = field(default_factory=dict)
    # What else stands in its row's meta: the run it repeats, the batch it is of.
    notes: dict[str, Any] = field(default_factory=dict)


def request(run: RunRequest) -> RunRequest:
    """Record a run as PENDING and publish it when the transaction commits.

    A broker that is away does not fail the caller: the row stays PENDING, and the sweep sends it.
    """
    with transaction.atomic():
        if record([run]):
            run_requested.send(sender=run.task, run=run)
            transaction.on_commit(lambda: publish([run]), robust=True)
    return run


def record(runs: Sequence[RunRequest]) -> set[str]:
    """Write the rows of runs in one statement; return the task ids that were not there before."""
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
    """Send the messages of recorded runs; return how many the broker took.

    One that it did not take stays as it is in the database, and so do those after it.
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
    """Send the message of a recorded run; raise one of `BROKER_ERRORS` if it cannot be sent."""
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
        # Whole seconds: Celery's delayed delivery on RabbitMQ fails for a part of one. The claim
        # takes a message that comes less than a second early.
        "countdown": math.ceil(countdown) if countdown and countdown > 0 else None,
        "expires": run.expires_at,
        "headers": headers or None,
        # RabbitMQ: writing, and waiting for the confirmation.
        "timeout": SEND_SECONDS,
        "confirm_timeout": SEND_SECONDS,
    }
    began = time.monotonic()
    try:
        _send(run.task, retry_policy={"max_retries": 0}, **options)
    except BROKER_ERRORS:
        # A connection that broke while it was idle fails at once, and a new one helps. A broker
        # that is frozen does not: each further try would make the caller wait as long again.
        if time.monotonic() - began > QUICK_SECONDS:
            raise
        _send(run.task, retry_policy={"max_retries": 1}, **options)


def _send(task: str, **options: Any) -> None:
    with current_app.producer_or_acquire() as producer:
        try:
            current_app.send_task(task, producer=producer, **options)
        except BROKER_ERRORS:
            # The pool would take leave of RabbitMQ, and wait for the answer of one that is frozen
            # for ever (kombu/connection.py, _do_close_self).
            used = getattr(producer.connection, "_connection", None)
            if isinstance(used, AMQPConnection):
                used.collect()
            raise


def first_meta(*, queue: str, trigger: str) -> dict[str, Any]:
    """What is known of every run from the start."""
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
