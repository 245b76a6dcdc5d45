"""Runs: the row first, the message after the commit.

A run's row (`django_celery_results.TaskResult`, the only run table) is written in the caller's
transaction, so a request that was accepted is never lost with a broker, and one that was rolled
back never runs. The row is written once for a task id: a second request of the same id is refused.
"""

import json
import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from celery import current_app, states
from django.db import connection, transaction
from django.dispatch import Signal
from django.utils import timezone
from kombu.exceptions import KombuError

logger = logging.getLogger(__name__)

# Sent inside the caller's transaction with `run` (a RunRequest), so that an app to the right of this
# one can write what belongs to the run beside it.
run_requested = Signal()

# What a publish raises when the broker is away: kombu's own errors, or the socket's.
BROKER_ERRORS = (KombuError, OSError)


@dataclass(frozen=True)
class RunRequest:
    """One run of a task that is to happen, by whatever door it was asked for."""

    task: str
    kwargs: dict[str, Any]
    queue: str
    # Which door: schedule, manual, command, api, batch.
    trigger: str
    task_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    # The name of the schedule that fired it.
    schedule: str | None = None
    # After this moment it is too late to start it.
    expires_at: datetime | None = None
    # Positional arguments, for tasks that are scheduled with them.
    args: Sequence[Any] = ()
    # What else the message is to carry: any of priority, exchange, routing_key, headers.
    options: dict[str, Any] = field(default_factory=dict)


def request_run(task: str, kwargs: dict[str, Any], *, queue: str, trigger: str) -> RunRequest:
    """Record a run as PENDING and publish it when the transaction commits.

    A broker that is away does not fail the caller: the row stays PENDING.
    """
    run = RunRequest(task=task, kwargs=kwargs, queue=queue, trigger=trigger)
    with transaction.atomic():
        record([run])
        run_requested.send(sender=task, run=run)
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


def publish(runs: Sequence[RunRequest]) -> int:
    """Send the messages of recorded runs; return how many the broker took.

    One that it did not take stays PENDING in the database, and so do those after it.
    """
    for sent, run in enumerate(runs):
        try:
            send(run)
        except BROKER_ERRORS as error:
            waiting = len(runs) - sent
            logger.warning(
                "%d run(s) stay PENDING, the broker does not take them: %s", waiting, error
            )
            return sent
    return len(runs)


def send(run: RunRequest) -> None:
    """Send the message of a recorded run; raise one of `BROKER_ERRORS` if it cannot be sent."""
    options = dict(run.options)
    headers = dict(options.pop("headers", {}))
    if run.schedule:
        headers["periodic_task_name"] = run.schedule
    if not {"exchange", "routing_key"} & options.keys():
        options["queue"] = run.queue
    current_app.send_task(
        run.task,
        args=list(run.args),
        kwargs=run.kwargs,
        task_id=run.task_id,
        expires=run.expires_at,
        headers=headers or None,
        **options,
    )


def _meta(run: RunRequest, queued_at: datetime) -> dict[str, Any]:
    return {
        "queue": run.queue,
        "trigger": run.trigger,
        "queued_at": queued_at.isoformat(),
        "expires_at": run.expires_at.isoformat() if run.expires_at else None,
    } | ({"options": run.options} if run.options else {})
