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
from django.utils.translation import gettext as _
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
        return [
            Finding(
                _("There is no schedule named “%(name)s”.") % {"name": name},
                _("Choose a schedule from the list of ./manage.py schedules."),
            )
        ]
    sent = schedule_diagnosed.send(sender=PeriodicTask, row=row)
    # Django's stubs type every answer as a text.
    answers = cast("list[tuple[object, Iterable[Finding]]]", sent)
    return [
        *(finding for _receiver, findings in answers for finding in findings),
        *_of_row(row),
        *_of_beat(),
        *_of_lock(row),
        *(_of_workers(row) if ask_workers else ()),
        *_of_runs(row),
    ]


def _of_row(row: PeriodicTask) -> Iterable[Finding]:
    if not row.enabled:
        yield Finding(
            _("The schedule is disabled."),
            _("Enable the schedule. If the schedule belongs to a bot, resume the bot instead."),
        )
    policy = getattr(row, "policy", None)
    if policy is not None and policy.problem:
        if policy.problem_since:
            told = _("Beat cannot use the schedule since %(since)s: %(problem)s") % {
                "since": f"{policy.problem_since:%Y-%m-%d %H:%M}",
                "problem": policy.problem,
            }
        else:
            told = _("Beat cannot use the schedule: %(problem)s") % {"problem": policy.problem}
        yield Finding(told, _("Correct the schedule and save it."))
    try:
        registry.find(row.task)
    except UnknownJob as error:
        yield Finding(str(error), _("Choose a registered task, or deploy the code of the task."))
    if row.start_time and row.start_time > timezone.now():
        yield Finding(
            _("The schedule starts at %(moment)s.")
            % {"moment": f"{row.start_time:%Y-%m-%d %H:%M:%S %Z}"},
            _("Wait, or choose an earlier start."),
        )
    if row.expires and row.expires <= timezone.now():
        yield Finding(
            _("The schedule ended at %(moment)s.")
            % {"moment": f"{row.expires:%Y-%m-%d %H:%M:%S %Z}"},
            _("Choose a later end."),
        )


def _of_beat() -> Iterable[Finding]:
    if locks.holder(LEADER_LOCK) is None:
        yield Finding(
            _("No beat is running, so no schedule is fired."),
            _("Start a beat: celery -A config beat."),
        )


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
        yield Finding(
            _("The arguments do not fit the job: %(error)s") % {"error": told},
            _("Correct the arguments and save the schedule."),
        )
        return
    holder = locks.holder(key)
    if holder is not None:
        told = _("The lock %(key)s is held by %(holder)s since %(since)s.") % {
            "key": key,
            "holder": holder.application_name,
            "since": _time(holder.since),
        }
        if task.lock_wait:
            outcome = _("A new run waits %(seconds)g s for the lock. Then the run is SKIPPED.") % {
                "seconds": task.lock_wait
            }
        else:
            outcome = _("A new run is SKIPPED.")
        yield Finding(
            f"{told} {outcome}",
            _(
                "Wait until the run that holds the lock ends, or cancel that run. If its process "
                "dies, the lock is free at once."
            ),
        )


def _of_workers(row: PeriodicTask) -> Iterable[Finding]:
    queue = row.queue or queue_of(row.task)
    try:
        answers = current_app.control.inspect(timeout=INSPECT_SECONDS).active_queues() or {}
    except BROKER_ERRORS as error:
        yield Finding(
            _("The broker does not answer: %(error)s") % {"error": error},
            _("Start the broker. Until then, runs wait in the database."),
        )
        return
    if not any(entry["name"] == queue for queues in answers.values() for entry in queues):
        yield Finding(
            _("No worker reads the queue %(queue)s.") % {"queue": queue},
            _("Start a worker: celery -A config worker --queues %(queue)s.") % {"queue": queue},
        )


def _of_runs(row: PeriodicTask) -> Iterable[Finding]:
    runs = TaskResult.objects.filter(periodic_task_name=row.name).order_by("-date_created")
    waiting = runs.filter(status__in=[states.PENDING, states.RETRY])
    running = runs.filter(status=states.STARTED)
    for run in waiting.filter(date_created__lt=timezone.now() - PATIENCE)[:SHOWN_RUNS]:
        reason = json.loads(run.meta or "{}").get("reason", "")
        told = _("Run %(id)s has been waiting since %(since)s.") % {
            "id": run.task_id,
            "since": _time(run.date_created),
        }
        yield Finding(
            f"{told} {reason}".rstrip(),
            _("Wait: the queue is long, or the run's time has not come."),
        )
    for run in running[:SHOWN_RUNS]:
        yield Finding(
            _("Run %(id)s has been running since %(since)s on %(worker)s.")
            % {"id": run.task_id, "since": _time(run.date_started), "worker": run.worker}
        )
    last = runs.first()
    if last is not None and last.status in (SKIPPED, states.FAILURE, states.REVOKED):
        reason = json.loads(last.meta or "{}").get("reason", "")
        yield Finding(
            _("The last run ended %(state)s at %(moment)s: %(reason)s")
            % {"state": last.status, "moment": _time(last.date_done), "reason": reason}
        )


def _time(moment: datetime | None) -> str:
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M:%S}" if moment else "?"
