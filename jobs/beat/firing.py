"""Firing: one transaction advances due schedules and records their runs; then beat sends them.

A schedule and a slot determine the task id of a run. A row of a schedule moves only forward, from
the version that beat has read. So a slot is recorded once, whichever process dies at whatever
moment, and however many beats believe that they lead. Beat sends every recorded run; if beat fails,
the sweep does.
"""

import json
import logging
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from celery import Celery
from django.db import connection, transaction

from jobs.beat.loaded import VERSION, LoadedSchedules
from jobs.beat.rows import Schedule, options_of
from jobs.beat.slots import Moment, Timing, due, expiry
from jobs.registry import queue_of
from jobs.runs import requests as runs
from jobs.runs.requests import RunRequest

logger = logging.getLogger(__name__)

# Never change it: it determines the ids of runs.
NAMESPACE = uuid.UUID("6a0f3a5e-9d4e-4c39-8a1b-5f0f0c1d7e21")


# The states match the condition of the partial index, so that the count costs the same with any
# history.
COUNT_UNFINISHED = """
SELECT periodic_task_name, count(*) FROM django_celery_results_taskresult
WHERE periodic_task_name = ANY(%s) AND status IN ('PENDING', 'RETRY', 'STARTED') GROUP BY 1
"""


@dataclass(slots=True)
class Decision:
    """The decision about one due schedule."""

    schedule: Schedule
    timing: Timing
    # The slots to run now, oldest first.
    slots: tuple[datetime, ...]
    # The newest slot that this decides, run or not; None leaves the last run as it is.
    newest: datetime | None
    has_expired: bool = False

    @property
    def is_last(self) -> bool:
        """Whether this firing switches the schedule off."""
        once = self.schedule.one_off and (bool(self.slots) or isinstance(self.timing, Moment))
        return once or self.has_expired


@dataclass
class Outcome:
    """The result of firing a batch of due schedules."""

    # Recorded first by this beat: to be sent.
    runs: list[RunRequest] = field(default_factory=list)
    # To be scheduled anew.
    decided: list[Schedule] = field(default_factory=list)
    # Changed or locked by another session since they were read: to be read and tried again.
    contested: list[Schedule] = field(default_factory=list)
    # Not fired because of an unexpected error: to be tried again later.
    failed: list[Schedule] = field(default_factory=list)

    def __add__(self, other: "Outcome") -> "Outcome":
        return Outcome(
            runs=self.runs + other.runs,
            decided=self.decided + other.decided,
            contested=self.contested + other.contested,
            failed=self.failed + other.failed,
        )


def task_id_of(schedule_id: int, slot: datetime) -> str:
    """Return the task id of a schedule's run in a slot; it is the same in every beat."""
    return str(uuid.uuid5(NAMESPACE, f"{schedule_id} {slot.timestamp():.6f}"))


def fire(app: Celery, loaded: LoadedSchedules, batch: Sequence[Schedule], now: datetime) -> Outcome:
    """Decide the due slots of the schedules in `batch`, advance the rows and record the runs.

    This takes two statements, and one more if any schedule limits its instances. If it raises a
    DatabaseError, nothing is decided.
    """
    decisions = {schedule.id: found for schedule in batch if (found := decide(schedule, now))}
    if not decisions:
        return Outcome(decided=list(batch))
    _limit(decisions.values())
    with transaction.atomic():
        rows = write_back(list(decisions.values()))
        requested = [
            _run(app, decisions[row["id"]], row, slot, now)
            for row in rows
            for slot in decisions[row["id"]].slots
        ]
        accepted = runs.record(requested)
    for row in rows:
        decision = decisions.pop(row["id"])
        loaded.set_version(decision.schedule, row["version"])
        decision.schedule.last_run_at = decision.newest
        if not row["enabled"]:
            loaded.drop(decision.schedule)
    contested = [decision.schedule for decision in decisions.values()]
    for schedule in contested:
        loaded.forget_version(schedule)
    return Outcome(
        runs=[run for run in requested if run.task_id in accepted],
        decided=[
            schedule for schedule in batch if not schedule.gone and schedule.id not in decisions
        ],
        contested=contested,
    )


def decide(schedule: Schedule, now: datetime) -> Decision | None:
    """Return the decision about a schedule; None if no slot is due or it cannot be fired."""
    timing = schedule.timing
    if schedule.problem or isinstance(timing, str):
        return None
    if schedule.expires is not None and now >= schedule.expires:
        return Decision(schedule, timing, (), None, has_expired=True)
    found = due(timing, schedule.anchor, now, schedule.rule, schedule.jitter)
    return None if found is None else Decision(schedule, timing, found.slots, found.newest)


def _limit(decisions: Iterable[Decision]) -> None:
    """Drop the slots that exceed the `max_instances` of their schedule."""
    limited = {
        decision.schedule.name: decision
        for decision in decisions
        if decision.schedule.rule.max_instances is not None and decision.slots
    }
    if not limited:
        return
    with connection.cursor() as cursor:
        cursor.execute(COUNT_UNFINISHED, [list(limited)])
        unfinished = dict(cursor.fetchall())
    for name, decision in limited.items():
        room = max(0, decision.schedule.rule.max_instances - unfinished.get(name, 0))
        skipped = len(decision.slots) - room
        if skipped > 0:
            logger.info("schedule %s: %d run(s) skipped, earlier ones go on", name, skipped)
            decision.slots = decision.slots[skipped:]


def write_back(decisions: Sequence[Decision]) -> list[dict[str, Any]]:
    """Advance the schedules' rows in one statement; return the rows that nobody had changed.

    The statement skips a row that another session has locked: an edit that stays uncommitted for a
    minute must not stop all other schedules.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH free AS (
                SELECT id FROM django_celery_beat_periodictask WHERE id = ANY(%s)
                ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
            ), decided AS (
                SELECT * FROM unnest(%s::int[], %s::bigint[], %s::timestamptz[], %s::int[], %s::bool[])
                    AS d (id, version, newest, run_count, is_last)
            )
            UPDATE django_celery_beat_periodictask t
            SET last_run_at = COALESCE(d.newest, t.last_run_at),
                total_run_count = t.total_run_count + d.run_count,
                enabled = NOT d.is_last
            FROM free JOIN decided d USING (id)
                LEFT JOIN jobs_schedulepolicy p ON p.periodic_task_id = free.id
            WHERE t.id = free.id AND t.enabled AND {VERSION} = d.version
            RETURNING t.id, {VERSION} AS version, t.enabled, t.name, t.task, t.args, t.kwargs,
                t.headers, t.queue, t.exchange, t.routing_key, t.priority
            """,  # noqa: S608
            [
                [decision.schedule.id for decision in decisions],
                [decision.schedule.id for decision in decisions],
                [decision.schedule.version for decision in decisions],
                [decision.newest for decision in decisions],
                [len(decision.slots) for decision in decisions],
                [decision.is_last for decision in decisions],
            ],
        )
        columns = [column.name for column in cursor.description]
        return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]


def _run(
    app: Celery, decision: Decision, row: dict[str, Any], slot: datetime, now: datetime
) -> RunRequest:
    schedule = decision.schedule
    return RunRequest(
        task=row["task"],
        args=json.loads(row["args"] or "[]"),
        kwargs=json.loads(row["kwargs"] or "{}"),
        queue=row["queue"] or queue_of(row["task"], app),
        trigger="schedule",
        task_id=task_id_of(schedule.id, slot),
        schedule=row["name"],
        expires_at=expiry(
            decision.timing,
            slot,
            now,
            expire_seconds=schedule.expire_seconds,
            expires=schedule.expires,
        ),
        options=options_of(row),
    )
