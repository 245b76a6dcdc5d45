"""The schedules in beat's memory, and how beat detects changes in the database.

No column says reliably when a row changed. Bulk updates and raw SQL do not write the stamps on
which django-celery-beat relies, and a transaction that commits late can show an older stamp than
one that beat has already seen. PostgreSQL itself tells: each version of a row has its own `xmin`
and `ctid`. The server hashes these for a schedule and its policy; the hash is the schedule's
*version*. It folds the versions of 2 ** BLOCK_BITS consecutive ids into one number. Beat examines
only blocks whose number differs from the number in memory, and reads only rows whose version
differs.

Memory holds only enabled rows, each as a small object; see `Schedule`.
"""

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from celery import Celery
from django.core.exceptions import ValidationError
from django.db import DataError, connection
from django.utils import timezone
from django.utils.translation import gettext as _
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    SolarSchedule,
)

from jobs.beat.rows import (
    Registry,
    Row,
    Schedule,
    examine,
    rule_of,
    timing_of_row,
    unusable,
)
from jobs.beat.slots import Timing

logger = logging.getLogger(__name__)

# A block has 2 ** BLOCK_BITS ids. Each look compares one number for each block; a change costs
# reading the versions of one block.
BLOCK_BITS = 9
# How many rows are read at a time, so that 100,000 are never in memory as rows.
ROWS_AT_A_TIME = 5_000

VERSION = "hash_record_extended(ROW(t.xmin, t.ctid, p.xmin, p.ctid), t.id)"
SCHEDULES = """
    django_celery_beat_periodictask t
    LEFT JOIN jobs_schedulepolicy p ON p.periodic_task_id = t.id
"""

# The columns of a `Row`, and the same columns for a row with a moment that Python cannot represent.
SELECTED = f"""
    t.id, {VERSION}, t.name, t.task, t.args, t.kwargs, t.headers, t.queue, t.exchange, t.routing_key,
    t.interval_id, t.crontab_id, t.solar_id, t.clocked_id, t.one_off, t.start_time, t.expires,
    t.expire_seconds, t.last_run_at, t.date_changed, p.misfire_grace_seconds, p.coalesce,
    p.jitter_seconds, p.max_instances, p.skip_if_running, p.problem
"""
SELECTED_WITHOUT_MOMENTS = re.sub(
    r"t\.(start_time|expires|last_run_at|date_changed)\b", "NULL", SELECTED
)

# The driver's errors for a value that Python cannot represent, such as the year 12000.
UNREADABLE = (ValueError, ArithmeticError, DataError)

TimingKey = tuple[str, int]

TIMING_MODELS = {
    "interval": IntervalSchedule,
    "crontab": CrontabSchedule,
    "solar": SolarSchedule,
    "clocked": ClockedSchedule,
}


@dataclass
class Refreshed:
    """The result of a look at the database: changed schedules, and ids that are gone."""

    changed: list[Schedule] = field(default_factory=list)
    removed: list[int] = field(default_factory=list)


class LoadedSchedules:
    """The enabled schedules, by id."""

    def __init__(self, app: Celery) -> None:
        self._registry = Registry(app)
        self.by_id: dict[int, Schedule] = {}
        self._blocks: dict[int, int] = {}
        self._timings: dict[TimingKey, Timing | str] = {}
        self._timing_versions: dict[str, Any] = {}
        self._timing_rows: dict[str, dict[int, int]] = {}
        self._shared: dict[Any, Any] = {}
        self._looked_at: datetime | None = None
        self._found = Refreshed()

    def refresh(self) -> Refreshed:
        """Bring memory in line with the database; read only rows that differ.

        If a refresh raises, the next refresh also returns what this one found.
        """
        found = self._found
        began = timezone.now()
        self._refresh_timings(found)
        blocks = self._changed_blocks()
        if blocks:
            versions = self._versions(blocks)
            for schedule_id in self._ids_in(blocks):
                if schedule_id not in versions:
                    self._forget(schedule_id)
                    found.removed.append(schedule_id)
            changed = [
                schedule_id
                for schedule_id, version in versions.items()
                if schedule_id not in self.by_id or self.by_id[schedule_id].version != version
            ]
            for start in range(0, len(changed), ROWS_AT_A_TIME):
                self._read_apart(changed[start : start + ROWS_AT_A_TIME], found)
        self._looked_at = began
        self._found = Refreshed()
        return found

    def set_version(self, schedule: Schedule, version: int) -> None:
        """Record the version that beat's own write gave a row, so that it does not look like an edit."""
        if schedule.gone:
            return
        self._fold(schedule.id, schedule.version ^ version)
        schedule.version = version

    def forget_version(self, schedule: Schedule) -> None:
        """Make the next look read this row again."""
        # Larger than any 64-bit value of the server, and unique: equal values would cancel out.
        self.set_version(schedule, (1 << 64) + (schedule.id << 64))

    def drop(self, schedule: Schedule) -> None:
        """Forget a schedule that beat itself has disabled."""
        if not schedule.gone:
            self._forget(schedule.id)

    def _forget(self, schedule_id: int) -> None:
        schedule = self.by_id.pop(schedule_id)
        schedule.gone = True
        self._fold(schedule_id, schedule.version)

    def _fold(self, schedule_id: int, version: int) -> None:
        block = schedule_id >> BLOCK_BITS
        folded = self._blocks.get(block, 0) ^ version
        if folded:
            self._blocks[block] = folded
        else:
            self._blocks.pop(block, None)

    def _ids_in(self, blocks: Iterable[int]) -> list[int]:
        size = 1 << BLOCK_BITS
        if len(self._blocks) <= 2 * len(list(blocks)):
            wanted = set(blocks)
            return [known for known in self.by_id if known >> BLOCK_BITS in wanted]
        return [
            known
            for block in blocks
            for known in range(block * size, (block + 1) * size)
            if known in self.by_id
        ]

    def _changed_blocks(self) -> list[int]:
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT t.id >> {BLOCK_BITS}, bit_xor({VERSION}) FROM {SCHEDULES}"  # noqa: S608
                " WHERE t.enabled GROUP BY 1"
            )
            there = dict(cursor.fetchall())
        return [
            block
            for block in there.keys() | self._blocks.keys()
            if there.get(block, 0) != self._blocks.get(block, 0)
        ]

    def _versions(self, blocks: Sequence[int]) -> dict[int, int]:
        with connection.cursor() as cursor:
            cursor.execute(
                f"""
                SELECT t.id, {VERSION} FROM unnest(%s::int[]) AS b (block)
                JOIN django_celery_beat_periodictask t
                    ON t.id >= b.block << {BLOCK_BITS} AND t.id < (b.block + 1) << {BLOCK_BITS}
                LEFT JOIN jobs_schedulepolicy p ON p.periodic_task_id = t.id
                WHERE t.enabled
                """,  # noqa: S608
                [list(blocks)],
            )
            return dict(cursor.fetchall())

    def _read_apart(self, ids: Sequence[int], found: Refreshed) -> None:
        """Read rows; a row with a value that Python cannot represent is read separately."""
        try:
            rows = self._rows(SELECTED, ids)
        except UNREADABLE as error:
            if len(ids) == 1:
                for schedule in map(self._schedule, self._rows(SELECTED_WITHOUT_MOMENTS, ids)):
                    schedule.row_problem = _(
                        "The schedule's row cannot be read (%(error)s). Correct its dates."
                    ) % {"error": error}
                    self._take_in(schedule, found)
                return
            middle = len(ids) // 2
            self._read_apart(ids[:middle], found)
            self._read_apart(ids[middle:], found)
        else:
            for schedule in map(self._schedule, rows):
                self._take_in(schedule, found)

    def _rows(self, columns: str, ids: Sequence[int]) -> list[Row]:
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT {columns} FROM {SCHEDULES} WHERE t.enabled AND t.id = ANY(%s)",  # noqa: S608
                [list(ids)],
            )
            return [Row._make(row) for row in cursor.fetchall()]

    def _take_in(self, schedule: Schedule, found: Refreshed) -> None:
        known = self.by_id.get(schedule.id)
        if known is not None:
            schedule.take_over(known, self._looked_at)
            known.gone = True
            self._fold(schedule.id, known.version)
        self.by_id[schedule.id] = schedule
        self._fold(schedule.id, schedule.version)
        found.changed.append(schedule)

    def _schedule(self, row: Row) -> Schedule:
        schedule = Schedule(
            row, rule=self._share(rule_of(row)), timing_key=self._share(row.timing_key)
        )
        schedule.row_problem = examine(self._registry, row)
        self._time(schedule)
        return schedule

    def _share(self, value: Any) -> Any:
        """Return the shared copy of an equal value: there are few values and many schedules."""
        return self._shared.setdefault(value, value)

    def _time(self, schedule: Schedule) -> None:
        timing: Timing | str = "It has no interval, crontab, solar event or time: choose one."
        if schedule.timing_key is not None:
            timing = self._timings.get(schedule.timing_key, "Its timing is gone: choose another.")
        schedule.timing = timing

    def _refresh_timings(self, found: Refreshed) -> None:
        changed_kinds = {}
        with connection.cursor() as cursor:
            cursor.execute(
                " UNION ALL ".join(
                    f"SELECT '{kind}', count(*), bit_xor("  # noqa: S608
                    f"hash_record_extended(ROW(xmin, ctid), id)) FROM {model._meta.db_table}"
                    for kind, model in TIMING_MODELS.items()
                )
            )
            for kind, *version in cursor.fetchall():
                if self._timing_versions.get(kind) != version:
                    changed_kinds[kind] = version
        # Read everything first, then store it: an error in between changes nothing.
        read = [(kind, *self._read_timings(kind)) for kind in changed_kinds]
        different: set[TimingKey] = set()
        for kind, versions, timings in read:
            gone = {
                (kind, timing_id) for timing_id in self._timing_rows.get(kind, {}).keys() - versions
            }
            for key in gone:
                self._timings.pop(key, None)
            different |= gone
            different |= {
                key for key, timing in timings.items() if self._timings.get(key) != timing
            }
            self._timings |= timings
            self._timing_rows[kind] = versions
        self._timing_versions |= changed_kinds
        if not different:
            return
        for schedule in self.by_id.values():
            if schedule.timing_key in different:
                self._time(schedule)
                schedule.retimed(self._looked_at)
                found.changed.append(schedule)

    def _read_timings(self, kind: str) -> tuple[dict[int, int], dict[TimingKey, Timing | str]]:
        """Return the versions of all rows of a kind, and the timings of the rows that differ."""
        model = TIMING_MODELS[kind]
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT id, hash_record_extended(ROW(xmin, ctid), id)"  # noqa: S608
                f" FROM {model._meta.db_table}"
            )
            versions = dict(cursor.fetchall())
        known = self._timing_rows.get(kind, {})
        differing = [pk for pk, version in versions.items() if known.get(pk) != version]
        timings: dict[TimingKey, Timing | str] = {}
        for start in range(0, len(differing), ROWS_AT_A_TIME):
            timings |= _timings_apart(kind, differing[start : start + ROWS_AT_A_TIME])
        return versions, timings


def _timings_apart(kind: str, ids: Sequence[int]) -> dict[TimingKey, Timing | str]:
    """Read timings; a row with a value that Python cannot represent is read separately."""
    rows = TIMING_MODELS[kind]._default_manager.filter(pk__in=ids).order_by()
    try:
        return {(kind, row.pk): timing_of_row(kind, row) for row in rows}
    except (*UNREADABLE, ValidationError) as error:  # ValidationError: an unknown time zone
        if len(ids) == 1:
            return {(kind, ids[0]): unusable(kind, error)}
    middle = len(ids) // 2
    return _timings_apart(kind, ids[:middle]) | _timings_apart(kind, ids[middle:])
