"""Why a schedule does not run: every cause that can be found, each with its remedy."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from celery import current_app, states
from django.core.exceptions import ValidationError
from django.dispatch import Signal
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from django_celery_results.models import TaskResult

from jobs import locks, registry
from jobs.beat.scheduler import LEADER_LOCK
from jobs.errors import UnknownJob
from jobs.job import Job
from jobs.registry import queue_of
from jobs.runs.store import BROKER_ERRORS
from jobs.runs.transitions import SKIPPED
from jobs.schedules import services as schedules

# Seconds that workers get to say which queues they read.
INSPECT_SECONDS = 1.0
# A run that has waited for less time is normal.
PATIENCE = timedelta(seconds=10)
SHOWN_RUNS = 3


@dataclass(frozen=True)
class Finding:
    """One cause that keeps a schedule from running, or explains its state, with the remedy."""

    cause: str
    remedy: str = ""


# Sent with `row`, the `PeriodicTask`. A receiver returns an iterable of `Finding`s about its own
# schedules, for example that a bot is paused.
schedule_diagnosed = Signal()


def why(name: str, *, ask_workers: bool = True) -> list[Finding]:
    """Return what keeps the schedule `name` from running; empty if nothing does.

    `ask_workers` asks workers over the broker which queues they read, which takes up to a second.
    """
    row = schedules.find([name]).get(name)
    if row is None:
        return [Finding(f"There is no schedule named {name}.", "./manage.py schedules lists them.")]
    sent = schedule_diagnosed.send(sender=PeriodicTask, row=row)
    # Django's stubs type every answer as a text.
    answers = cast("list[tuple[object, Iterable[Finding]]]", sent)
    return [
        *(finding for _, findings in answers for finding in findings),
        *_of_row(row),
        *_of_beat(),
        *_of_lock(row),
        *(_of_workers(row) if ask_workers else ()),
        *_of_runs(row),
    ]


def _of_row(row: PeriodicTask) -> Iterable[Finding]:
    if not row.enabled:
        yield Finding("The schedule is disabled.", "Enable it, or resume what it belongs to.")
    policy = getattr(row, "policy", None)
    if policy is not None and policy.problem:
        since = (
            f"{policy.problem_since:%Y-%m-%d %H:%M}" if policy.problem_since else "its last edit"
        )
        yield Finding(f"Beat cannot use it since {since}: {policy.problem}", "Mend it and save it.")
    try:
        registry.find(row.task)
    except UnknownJob as error:
        yield Finding(str(error), "Choose a registered task, or deploy the code that has it.")
    if row.start_time and row.start_time > timezone.now():
        yield Finding(f"It starts at {row.start_time:%Y-%m-%d %H:%M:%S %Z}.", "Wait, or edit it.")
    if row.expires and row.expires <= timezone.now():
        yield Finding(f"It ended at {row.expires:%Y-%m-%d %H:%M:%S %Z}.", "Move its end.")


def _of_beat() -> Iterable[Finding]:
    if locks.holder(LEADER_LOCK) is None:
        yield Finding("No beat is alive: nothing is fired.", "Start one: celery -A config beat.")


def _of_lock(row: PeriodicTask) -> Iterable[Finding]:
    """Find the holder of the lock that a run with the schedule's arguments would take."""
    task = current_app.tasks.get(row.task)
    if not isinstance(task, Job) or task.lock is None:
        return
    try:
        args, kwargs = json.loads(row.args or "[]"), json.loads(row.kwargs or "{}")
        key = str(task.lock_key(task.parameters.bind(args, kwargs)))
    except (ValueError, ValidationError) as error:
        told = " ".join(error.messages) if isinstance(error, ValidationError) else str(error)
        yield Finding(f"Its arguments do not fit its job: {told}", "Mend them and save it.")
        return
    holder = locks.holder(key)
    if holder is not None:
        waits = f"waits {task.lock_wait:g} s for it and is then" if task.lock_wait else "is"
        yield Finding(
            f"Its lock {key} is held by {holder.application_name} since {_time(holder.since)}: "
            f"a run that starts now {waits} SKIPPED.",
            "Wait until that run ends, or cancel it. The lock is free at once when its process dies.",
        )


def _of_workers(row: PeriodicTask) -> Iterable[Finding]:
    queue = row.queue or queue_of(row.task)
    try:
        answers = current_app.control.inspect(timeout=INSPECT_SECONDS).active_queues() or {}
    except BROKER_ERRORS as error:
        yield Finding(
            f"The broker does not answer: {error}", "Runs wait in the database until it does."
        )
        return
    if not any(entry["name"] == queue for queues in answers.values() for entry in queues):
        yield Finding(
            f"No worker reads the queue {queue}.",
            f"Start one: celery -A config worker --queues {queue}.",
        )


def _of_runs(row: PeriodicTask) -> Iterable[Finding]:
    runs = TaskResult.objects.filter(periodic_task_name=row.name).order_by("-date_created")
    waiting = runs.filter(status__in=[states.PENDING, states.RETRY])
    running = runs.filter(status=states.STARTED)
    for run in waiting.filter(date_created__lt=timezone.now() - PATIENCE)[:SHOWN_RUNS]:
        reason = json.loads(run.meta or "{}").get("reason", "")
        told = f": {reason}" if reason else ""
        yield Finding(
            f"Run {run.task_id} waits since {_time(run.date_created)}{told}.",
            "Its queue is long, or its time has not come.",
        )
    for run in running[:SHOWN_RUNS]:
        yield Finding(f"Run {run.task_id} goes on since {_time(run.date_started)} on {run.worker}.")
    last = runs.first()
    if last is not None and last.status in (SKIPPED, states.FAILURE, states.REVOKED):
        reason = json.loads(last.meta or "{}").get("reason", "")
        yield Finding(f"Its last run ended {last.status} at {_time(last.date_done)}: {reason}")


def _time(moment: datetime | None) -> str:
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M:%S}" if moment else "?"
