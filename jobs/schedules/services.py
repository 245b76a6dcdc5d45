"""The only service that writes django-celery-beat's schedules.

Callers describe the wanted schedules as `ScheduleSpec`s. The service compares them with the rows
and writes the difference, in the caller's transaction, with a handful of statements however many
schedules there are. It does not touch a row that is right, so that an unrelated edit never resets
the phase of a schedule.
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

# The largest unit that divides an interval reads best: "5 minutes", not "300 seconds".
INTERVAL_UNITS = [
    (IntervalSchedule.DAYS, 86_400),
    (IntervalSchedule.HOURS, 3_600),
    (IntervalSchedule.MINUTES, 60),
    (IntervalSchedule.SECONDS, 1),
]

# The columns that a spec decides. The others belong to beat or to the operator.
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
    """The wanted state of a schedule. Exactly one of `every` and `crontab` is given."""

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
    """Names of the schedules that were written (in a dry run: would be)."""

    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.created or self.updated or self.removed)


def upsert(specs: Iterable[ScheduleSpec], *, dry_run: bool = False) -> ScheduleChanges:
    """Create or correct schedules so that they match `specs`; return the changes."""
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
    """Delete the schedules with these names; return how many existed.

    One DELETE: the queryset's own `delete` would send two signals for each object, and each signal
    updates the single row that tells beat of changes (measured: 24 s for 5,000).
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
    """Make the schedules whose names start with `prefix` exactly those of `specs`.

    Creates missing schedules, corrects drifted ones and removes orphans. Reads and writes no other
    schedule. Raises ValueError for a spec whose name lacks the prefix.
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
    """Disable schedules and return how many were on; their last runs stay recorded."""
    return _switch(PeriodicTask.objects.filter(name__in=names, enabled=True), enabled=False)


def resume(names: Sequence[str]) -> int:
    """Enable schedules and return how many were off.

    An overdue interval runs at once; a crontab next runs at its next slot.
    """
    return _switch(PeriodicTask.objects.filter(name__in=names, enabled=False), enabled=True)


def run_now(name: str, *, trigger: str = "manual") -> RunRequest:
    """Request one run of a schedule's job with its arguments, outside its times.

    Raises PeriodicTask.DoesNotExist, `UnknownJob`, or ValidationError for wrong arguments.
    """
    row = PeriodicTask.objects.get(name=name)
    kwargs = runs.named_arguments(
        row.task, json.loads(row.args or "[]"), json.loads(row.kwargs or "{}")
    )
    return runs.request_run(row.task, kwargs, queue=row.queue, trigger=trigger, schedule=name)


def install(spec: ScheduleSpec) -> bool:
    """Create a system schedule unless its name exists; return whether it was created.

    After that the schedule is the operator's: no later release overwrites their edits.
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
    """Return when beat will next fire the schedule, by its policy and with its jitter.

    Returns None if beat will not fire it: it is disabled, ended, marked with a problem, or has no
    usable timing.
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
    # The column is never NULL, but it is None in an object that was never saved.
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
    """Yield when a crontab of five fields fires after a moment, in order, without end.

    Raises ValueError for a crontab that cannot be read or never fires.
    """
    names = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
    timing = Crontab.parse(**dict(zip(names, crontab.split(), strict=True)), zone=zone)
    at = timing.next_after(after)
    while at is not None:
        yield at
        at = timing.next_after(at)


class _Timings:
    """Shared rows of intervals and crontabs: a few dozen rows serve any number of schedules."""

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
            # Neither table has a unique constraint, so duplicates may exist: use any of them.
            row = model._default_manager.filter(**values).order_by("pk").first()
            if row is None and self._create:
                # Not create(): its signal would tell beat before the commit; see `_announce`.
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
        # A backlog of one schedule is worth only its newest run.
        "expire_seconds": int(every.total_seconds()) if every else None,
        "enabled": spec.enabled,
        "description": spec.description,
    }


def _write(created: list[PeriodicTask], updated: list[PeriodicTask]) -> None:
    now = timezone.now()
    for row in (*created, *updated):
        row.date_changed = now
    if created or updated:
        # Both as one upsert: bulk_update writes a CASE for each column and row, and takes 5 s for
        # 1,000 schedules; the upsert takes 0.3 s.
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
    """Count the slots of these crontabs from now on.

    A crontab for 09:00 that was off and is switched on at 14:00 next runs at 09:00; so does a
    crontab that is set to 09:00 at 14:00. An interval keeps its last run: it promises freshness,
    and is overdue.
    """
    crontabs = [row.pk for row in rows if row.crontab_id]
    if crontabs:
        PeriodicTask.objects.filter(pk__in=crontabs).update(last_run_at=timezone.now())


def _announce() -> None:
    """Tell beat that schedules changed, after the commit.

    Inside the transaction the update would lock the single row that every writer needs. It would
    also carry a stamp that is older than changes that beat has already seen.
    """
    transaction.on_commit(PeriodicTasks.update_changed)
