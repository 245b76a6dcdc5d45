"""The one service that writes django-celery-beat's schedules.

Callers describe what they want as `ScheduleSpec`s; the service compares them with the rows there
are and writes the difference, in a handful of statements however many there are, inside the
caller's transaction. Rows that are right already are not touched, so that an unrelated edit never
resets the phase of a schedule.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Model, QuerySet
from django.utils import timezone
from django_celery_beat.models import (
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    PeriodicTasks,
)

from jobs.beat.rows import TIMING_KINDS, rule_of, timing_of_row
from jobs.beat.slots import Crontab, Rule, anchor_of, due, jitter_of, next_fire
from jobs.runs import requests as runs
from jobs.runs.requests import RunRequest

# The largest unit that divides an interval is how people say it: "5 minutes", not "300 seconds".
INTERVAL_UNITS = [
    (IntervalSchedule.DAYS, 86_400),
    (IntervalSchedule.HOURS, 3_600),
    (IntervalSchedule.MINUTES, 60),
    (IntervalSchedule.SECONDS, 1),
]

# What a spec decides; everything else on the row belongs to beat or to the operator.
SPEC_COLUMNS = (
    "task",
    "interval",
    "crontab",
    "solar",
    "clocked",
    "args",
    "kwargs",
    "queue",
    "expire_seconds",
    "enabled",
    "description",
)

BATCH_SIZE = 1_000


@dataclass(frozen=True)
class ScheduleSpec:
    """What a schedule should be. Exactly one of `every` and `crontab` is given."""

    name: str
    task: str
    kwargs: dict[str, Any]
    queue: str
    every: timedelta | None = None
    crontab: str | None = None
    timezone: str = "UTC"
    enabled: bool = True
    description: str = ""

    def __post_init__(self) -> None:
        if (self.every is None) == (self.crontab is None):
            raise ValueError(f"schedule {self.name}: give an interval or a crontab, one of them.")
        if self.every is not None and self.every < timedelta(seconds=1):
            raise ValueError(f"schedule {self.name}: every {self.every} is under one second.")


@dataclass
class ScheduleChanges:
    """Names of the schedules that were (or, in a dry run, would be) written."""

    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.created or self.updated or self.removed)


def upsert(specs: Iterable[ScheduleSpec], *, dry_run: bool = False) -> ScheduleChanges:
    """Make the schedules what `specs` say and return what had to change."""
    wanted = {spec.name: spec for spec in specs}
    changes = ScheduleChanges()
    with transaction.atomic():
        timings = _Timings(create=not dry_run)
        rows = {row.name: row for row in PeriodicTask.objects.filter(name__in=wanted)}
        created, updated, anew = [], [], []
        for name, spec in wanted.items():
            row = rows.get(name)
            columns = _columns(spec, timings)
            if row is None:
                created.append(PeriodicTask(name=name, **columns))
                changes.created.append(name)
            elif any(getattr(row, column) != value for column, value in columns.items()):
                resumed = spec.enabled and not row.enabled
                if resumed or row.crontab_id != columns["crontab_id"]:
                    anew.append(row)
                for column, value in columns.items():
                    setattr(row, column, value)
                updated.append(row)
                changes.updated.append(name)
        if not dry_run:
            _write(created, updated)
            _forget_missed_slots(anew)
    return changes


def remove(names: Sequence[str]) -> int:
    """Delete the schedules with these names and return how many there were.

    One DELETE: the queryset's own would send two signals an object, each of which updates the one
    row that tells beat of changes (measured: 24 s for 5,000).
    """
    with transaction.atomic():
        rows = PeriodicTask.objects.filter(name__in=names)
        removed = rows._raw_delete(rows.db)
        if removed:
            _announce()
    return removed


def reconcile(
    prefix: str, specs: Iterable[ScheduleSpec], *, dry_run: bool = False
) -> ScheduleChanges:
    """Make the schedules whose name starts with `prefix` exactly those of `specs`.

    Missing ones are created, drifted ones corrected, orphans removed. No other row is read or
    written.
    """
    wanted = list(specs)
    for spec in wanted:
        if not spec.name.startswith(prefix):
            raise ValueError(f"schedule {spec.name}: its name does not start with {prefix!r}.")
    with transaction.atomic():
        changes = upsert(wanted, dry_run=dry_run)
        present = PeriodicTask.objects.filter(name__startswith=prefix)
        names = set(present.values_list("name", flat=True))
        changes.removed = sorted(names - {spec.name for spec in wanted})
        if not dry_run:
            remove(changes.removed)
    return changes


def pause(names: Sequence[str]) -> int:
    """Disable schedules and return how many were on; they keep what they know of their last run."""
    return _switch(PeriodicTask.objects.filter(name__in=names, enabled=True), enabled=False)


def resume(names: Sequence[str]) -> int:
    """Enable schedules and return how many were off.

    An interval that is overdue runs at once; a crontab next runs at its next slot.
    """
    return _switch(PeriodicTask.objects.filter(name__in=names, enabled=False), enabled=True)


def run_now(name: str, *, trigger: str = "manual") -> RunRequest:
    """Request one run of a schedule's job with its arguments, outside its times.

    Raises PeriodicTask.DoesNotExist, `UnknownJob`, or ValidationError for arguments that do not fit.
    """
    row = PeriodicTask.objects.get(name=name)
    kwargs = runs.named_arguments(
        row.task, json.loads(row.args or "[]"), json.loads(row.kwargs or "{}")
    )
    return runs.request_run(row.task, kwargs, queue=row.queue, trigger=trigger, schedule=name)


def install(spec: ScheduleSpec) -> bool:
    """Create a system schedule unless one of its name exists; return whether it was created.

    After that it is the operator's: no later release overwrites his edits.
    """
    if PeriodicTask.objects.filter(name=spec.name).exists():
        return False
    return bool(upsert([spec]))


def find(names: Iterable[str]) -> dict[str, PeriodicTask]:
    """Return the schedules of these names, with timings and policies, in one query."""
    rows = PeriodicTask.objects.filter(name__in=list(names))
    related = ("interval", "crontab", "solar", "clocked", "policy")
    return {row.name: row for row in rows.select_related(*related)}


def next_run_at(row: PeriodicTask, now: datetime | None = None) -> datetime | None:
    """Return when the beat will fire the schedule next, by its policy and with its jitter.

    None if it will not: it is disabled, ended, marked with a problem, or without a usable timing.
    """
    now = now or timezone.now()
    kind = next((kind for kind in TIMING_KINDS if getattr(row, kind) is not None), None)
    policy = getattr(row, "policy", None)
    if not row.enabled or kind is None or (policy is not None and policy.problem):
        return None
    timing = timing_of_row(kind, getattr(row, kind))
    if isinstance(timing, str):
        return None
    rule = Rule() if policy is None else rule_of(policy)
    jitter = jitter_of(row.name, rule.jitter_seconds)
    # The column holds no NULL, but a row that was never saved has None there.
    changed_at: datetime | None = getattr(row, "date_changed", None)
    decided = anchor_of(
        timing,
        last_run_at=row.last_run_at,
        start_time=row.start_time,
        known_since=changed_at or now,
    )
    missed = due(timing, decided, now, rule, jitter)
    at = now if missed and missed.slots else None
    if at is None:
        at = next_fire(timing, missed.newest if missed else decided, jitter)
    return None if at is None or (row.expires is not None and at >= row.expires) else at


def firings(crontab: str, zone: str, *, after: datetime) -> Iterator[datetime]:
    """When a crontab of five fields fires after a moment, in order, without end.

    Raises ValueError for one that cannot be read or never fires.
    """
    names = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
    timing = Crontab.parse(**dict(zip(names, crontab.split(), strict=True)), zone=zone)
    at = timing.next_after(after)
    while at is not None:
        yield at
        at = timing.next_after(at)


class _Timings:
    """Shared interval and crontab rows: a few dozen serve any number of schedules."""

    def __init__(self, *, create: bool) -> None:
        self._create = create
        self._ids: dict[tuple[Any, ...], int | None] = {}

    def interval_id(self, every: timedelta) -> int | None:
        seconds = int(every.total_seconds())
        period, size = next(unit for unit in INTERVAL_UNITS if seconds % unit[1] == 0)
        return self._id(IntervalSchedule, every=seconds // size, period=period)

    def crontab_id(self, expression: str, zone: str) -> int | None:
        minute, hour, day_of_month, month_of_year, day_of_week = expression.split()
        return self._id(
            CrontabSchedule,
            minute=minute,
            hour=hour,
            day_of_month=day_of_month,
            month_of_year=month_of_year,
            day_of_week=day_of_week,
            timezone=ZoneInfo(zone),
        )

    def _id(self, model: type[Model], **values: Any) -> int | None:
        key = (model, *values.values())
        if key not in self._ids:
            # Neither table has a unique constraint, so duplicates may exist: any of them will do.
            row = model._default_manager.filter(**values).order_by("pk").first()
            if row is None and self._create:
                # Not create(): its signal would tell beat before the commit, see `_announce`.
                (row,) = model._default_manager.bulk_create([model(**values)])
            self._ids[key] = row.pk if row else None
        return self._ids[key]


def _columns(spec: ScheduleSpec, timings: _Timings) -> dict[str, Any]:
    every = spec.every
    return {
        "task": spec.task,
        "interval_id": timings.interval_id(every) if every else None,
        "crontab_id": timings.crontab_id(spec.crontab, spec.timezone) if spec.crontab else None,
        "solar_id": None,
        "clocked_id": None,
        "args": "[]",
        "kwargs": json.dumps(spec.kwargs, sort_keys=True),
        "queue": spec.queue,
        # A backlog of one schedule is worth no more than its newest run.
        "expire_seconds": int(every.total_seconds()) if every else None,
        "enabled": spec.enabled,
        "description": spec.description,
    }


def _write(created: list[PeriodicTask], updated: list[PeriodicTask]) -> None:
    now = timezone.now()
    for row in (*created, *updated):
        row.date_changed = now
    if created or updated:
        # Both in the form of an insert: bulk_update's CASE for each column and row takes 5 s for
        # 1,000 schedules, this 0.3 s.
        PeriodicTask.objects.bulk_create(
            [*created, *updated],
            batch_size=BATCH_SIZE,
            update_conflicts=True,
            unique_fields=["name"],
            update_fields=[*SPEC_COLUMNS, "date_changed"],
        )
        _announce()


def _switch(rows: QuerySet[PeriodicTask], *, enabled: bool) -> int:
    with transaction.atomic():
        switched = list(rows.select_for_update())
        now = timezone.now()
        PeriodicTask.objects.filter(pk__in=[row.pk for row in switched]).update(
            enabled=enabled, date_changed=now
        )
        if enabled:
            _forget_missed_slots(switched)
        if switched:
            _announce()
    return len(switched)


def _forget_missed_slots(rows: list[PeriodicTask]) -> None:
    """Let a crontab that was off at 09:00 and is switched on at 14:00 run next at 09:00.

    So does one that was set to another hour until then. An interval keeps its last run: what it
    promises is freshness, and it is overdue.
    """
    crontabs = [row.pk for row in rows if row.crontab_id]
    if crontabs:
        PeriodicTask.objects.filter(pk__in=crontabs).update(last_run_at=timezone.now())


def _announce() -> None:
    """Tell beat that schedules changed.

    After the commit: inside the transaction the update would hold the one row that every writer
    needs, and carry a stamp older than changes that beat has seen by the time it is visible.
    """
    transaction.on_commit(PeriodicTasks.update_changed)
