"""Requests for runs: the row first, the message after the commit.

The run's row is written in the caller's transaction, so a request that was accepted is never lost
with a broker, and one that was rolled back never runs.
"""

import json
import logging
import uuid
from typing import Any

from celery import current_app, states
from django.db import transaction
from django.dispatch import Signal
from django.utils import timezone
from django_celery_results.models import TaskResult
from kombu.exceptions import KombuError, OperationalError

logger = logging.getLogger(__name__)

# Sent inside the caller's transaction with `run` (the TaskResult), `kwargs` and `trigger`, so that
# an app to the right of this one can write what belongs to the run beside it.
run_requested = Signal()

# What a publish raises when the broker is away: kombu's wrapper, or the socket's own error.
BROKER_ERRORS = (KombuError, OperationalError, OSError)


def request_run(task_name: str, kwargs: dict[str, Any], *, queue: str, trigger: str) -> TaskResult:
    """Record a run of `task_name` as PENDING and publish it when the transaction commits.

    `trigger` says which door the request came by (manual, command, api). A broker that is away
    does not fail the caller: the row stays PENDING.
    """
    queued_at = timezone.now()
    run = TaskResult.objects.create(
        task_id=str(uuid.uuid4()),
        task_name=task_name,
        task_args=json.dumps([]),
        task_kwargs=json.dumps(kwargs),
        status=states.PENDING,
        content_type="application/json",
        content_encoding="utf-8",
        meta=json.dumps({"queue": queue, "trigger": trigger, "queued_at": queued_at.isoformat()}),
    )
    run_requested.send(sender=task_name, run=run, kwargs=kwargs, trigger=trigger)
    transaction.on_commit(lambda: publish(run.task_id, task_name, kwargs, queue=queue), robust=True)
    return run


def publish(task_id: str, task_name: str, kwargs: dict[str, Any], *, queue: str) -> bool:
    """Send the message of a recorded run; return whether the broker took it."""
    try:
        current_app.send_task(task_name, kwargs=kwargs, task_id=task_id, queue=queue)
    except BROKER_ERRORS as error:
        logger.warning(
            "Run %s of %s stays PENDING, the broker did not take it: %s", task_id, task_name, error
        )
        return False
    return True
