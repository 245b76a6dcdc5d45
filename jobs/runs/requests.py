"""Services for runs: request, run again, cancel. The admin, API and commands call these.

Beat records the runs of a tick with `record` and sends them with `publish`.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from celery import states
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils.translation import gettext as _
from django_celery_results.models import TaskResult

from jobs import registry
from jobs.job import Job
from jobs.registry import queue_of
from jobs.runs.store import (
    BROKER_ERRORS,
    RunRequest,
    publish,
    record,
    request,
    run_ended,
    run_requested,
    send,
)
from jobs.runs.transitions import FINAL_STATES, one_line

__all__ = [
    "BROKER_ERRORS",
    "RunRequest",
    "cancel",
    "publish",
    "record",
    "request",
    "request_run",
    "rerun",
    "run_ended",
    "run_requested",
    "send",
    "validate",
]

CANCEL_WAITING = """
UPDATE django_celery_results_taskresult SET status = 'REVOKED', date_done = clock_timestamp(),
    meta = (COALESCE(meta, '{}')::jsonb - '{sweep_at,not_before}'::text[]
            || jsonb_build_object('reason', %s::text))::text
WHERE task_id = ANY(%s) AND status IN ('PENDING', 'RETRY')
RETURNING task_id, task_name, meta::jsonb ? 'batch'
"""

CANCEL_RUNNING = """
UPDATE django_celery_results_taskresult
SET meta = (COALESCE(meta, '{}')::jsonb || jsonb_build_object('cancel', %s::text))::text
WHERE task_id = ANY(%s) AND status = 'STARTED'
RETURNING task_id
"""


def validate(task: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments as a run records them.

    Raises `UnknownJob` for a task that is not registered, and ValidationError naming the parameter
    for wrong arguments.
    """
    found = registry.find(task)
    return found.validate(kwargs) if isinstance(found, Job) else dict(kwargs)


def named_arguments(task: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Name the positional arguments by the task's signature; raise ValidationError if wrong."""
    found = registry.find(task)
    if isinstance(found, Job):
        return found.parameters.bind(args, kwargs)
    if args:
        raise ValidationError(
            _("%(task)s is not a job. Give its arguments by name, not by position.")
            % {"task": task}
        )
    return dict(kwargs)


def request_run(
    task: str,
    kwargs: Mapping[str, Any],
    *,
    trigger: str,
    queue: str | None = None,
    schedule: str | None = None,
) -> RunRequest:
    """Record a run and publish it when the transaction commits; `queue` is the job's by default.

    Raises the errors of `validate`. A broker outage does not fail the caller.
    """
    valid = validate(task, kwargs)
    return request(
        RunRequest(
            task=task,
            kwargs=valid,
            queue=queue or queue_of(task),
            trigger=trigger,
            schedule=schedule,
        )
    )


def rerun(task_ids: Iterable[str], *, trigger: str = "manual") -> list[RunRequest]:
    """Run ended runs again with their arguments; each old row names its new run.

    Runs that have not ended, or were already run again, stay as they are.
    """
    requested = []
    with transaction.atomic():
        rows = TaskResult.objects.select_for_update().filter(
            task_id__in=list(task_ids), status__in=FINAL_STATES
        )
        for row in rows.order_by("pk"):
            meta = json.loads(row.meta or "{}")
            if "rerun_as" in meta or row.task_name is None:
                continue
            run = RunRequest(
                task=row.task_name,
                kwargs=validate(row.task_name, json.loads(row.task_kwargs or "{}")),
                queue=meta.get("queue") or queue_of(row.task_name),
                trigger=trigger,
                schedule=row.periodic_task_name,
                notes={"rerun_of": row.task_id},
            )
            requested.append(request(run))
            # Not `save()`, which would set `date_done` anew.
            TaskResult.objects.filter(pk=row.pk).update(
                meta=json.dumps(meta | {"rerun_as": run.task_id})
            )
    return requested


def cancel(task_ids: Sequence[str], *, reason: str) -> tuple[int, int]:
    """Cancel runs: waiting runs never start, and running ones end at their next safe point.

    Returns how many were waiting and how many running.
    """
    ids = list(task_ids)
    text = one_line(reason)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(CANCEL_WAITING, [text, ids])
        waiting = cursor.fetchall()
        cursor.execute(CANCEL_RUNNING, [text, ids])
        running = cursor.rowcount
        for task_id, task, in_batch in waiting:
            run_ended.send(
                sender=task,
                task_id=task_id,
                status=states.REVOKED,
                reason=text,
                in_batch=in_batch,
            )
    return len(waiting), running
