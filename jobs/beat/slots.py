"""Slots: the moments at which a schedule runs. Pure arithmetic, without a database or a clock.

A *slot* is the nominal moment of a run. A policy's jitter is not part of the slot, so that a
changed jitter neither repeats nor drops a run. All moments are aware datetimes; returned moments
are in UTC. `after` is always a decided moment: the slot that ran last, or the *anchor* of a
schedule that never ran (`anchor_of`).
"""

import hashlib
from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Protocol, cast
from zoneinfo import ZoneInfo

from celery import schedules
from django.utils.translation import gettext as _

RESOLUTION = timedelta(microseconds=1)
ONE_DAY = timedelta(days=1)
# 29 February falls on each day of the week within 40 years, even across 2100, which is no leap
# year.
YEARS_AHEAD = 41
# A beat that is a moment late has not missed a run, whatever the misfire grace.
SMALLEST_GRACE = timedelta(seconds=1)
# The most runs that a schedule without coalescing makes up for at once; the newest are kept.
MOST_CAUGHT_UP = 100
# How far back to search for solar events of a schedule that last ran long ago.
SOLAR_LOOK_BACK = timedelta(days=370)


class Timing(Protocol):
    """The timing of a schedule: it determines the slots."""

    def next_after(self, after: datetime) -> datetime | None:
        """Return the first slot later than `after`, or None if there is none."""

    def latest(self, after: datetime, until: datetime) -> datetime | None:
        """Return the last slot in (after, until], or None."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A slot at each interval, counted from the slot before."""

    every: timedelta

    def __post_init__(self) -> None:
        if self.every <= timedelta(0):
            raise ValueError(
                _("an interval of %(interval)s is not above zero") % {"interval": self.every}
            )

    def next_after(self, after: datetime) -> datetime:
        """Return the slot one interval later."""
        return after.astimezone(UTC) + self.every

    def latest(self, after: datetime, until: datetime) -> datetime | None:
        """Return the last slot in (after, until], or None."""
        steps = (until - after) // self.every
        return after.astimezone(UTC) + steps * self.every if steps > 0 else None


@dataclass(frozen=True, slots=True)
class Moment:
    """One slot at a given moment."""

    at: datetime

    def next_after(self, after: datetime) -> datetime | None:
        """Return the moment if it is later than `after`."""
        return self.at if self.at > after else None

    def latest(self, after: datetime, until: datetime) -> datetime | None:
        """Return the moment if it lies in (after, until]."""
        return self.at if after < self.at <= until else None


class Solar:
    """A solar event at a place, as Celery computes it."""

    __slots__ = ("_event", "_solar")

    def __init__(self, event: str, latitude: float, longitude: float) -> None:
        """Raise ValueError for an unknown event or a place that is not on Earth."""
        self._event = (event, float(latitude), float(longitude))
        self._solar = schedules.solar(*self._event)  # type: ignore[arg-type]  # it checks the event

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Solar) and self._event == other._event

    def next_after(self, after: datetime) -> datetime:
        """Return the next event. In polar night it may be months away."""
        # Celery returns the time left from "now"; `nowfun` sets "now" to `after`.
        self._solar.nowfun = lambda: after.astimezone(UTC)  # type: ignore[attr-defined]  # not in the stubs
        return after.astimezone(UTC) + self._solar.remaining_estimate(after.astimezone(UTC))

    def latest(self, after: datetime, until: datetime) -> datetime | None:
        """Return the last event in (after, until], or None."""
        last = None
        slot = self.next_after(max(after, until - SOLAR_LOOK_BACK))
        while slot <= until:
            last, slot = slot, self.next_after(slot)
        return last


class CrontabFields(Protocol):
    """The five fields as Celery's crontab has read them."""

    minute: set[int]
    hour: set[int]
    day_of_month: set[int]
    month_of_year: set[int]
    day_of_week: set[int]


class Crontab:
    """Celery's crontab in its time zone, correct on the two days when the clocks change.

    A day must match day of month, month *and* day of week, as in Celery. If the crontab allows any
    hour, each minute that really passes is a slot, also when an hour comes twice. If it names
    hours, a slot inside the gap in spring runs at the end of the gap, and a slot that comes twice
    in autumn runs the first time.
    """

    __slots__ = ("_days", "_known", "_months", "_times", "_weekdays", "any_hour", "zone")

    def __init__(self, spec: CrontabFields, zone: ZoneInfo) -> None:
        self.zone = zone
        self.any_hour = len(spec.hour) == 24
        self._days = frozenset(spec.day_of_month)
        self._months = frozenset(spec.month_of_year)
        self._weekdays = frozenset(spec.day_of_week)
        self._times = sorted(time(hour, minute) for hour in spec.hour for minute in spec.minute)
        # The slots of the last few requested dates: all schedules of a crontab request the same
        # dates.
        self._known: dict[date, list[datetime]] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Crontab) and all(
            getattr(self, part) == getattr(other, part)
            for part in ("zone", "_times", "_days", "_months", "_weekdays")
        )

    @classmethod
    def parse(
        cls,
        *,
        minute: str,
        hour: str,
        day_of_month: str,
        month_of_year: str,
        day_of_week: str,
        zone: ZoneInfo | str,
    ) -> "Crontab":
        """Read the five fields of a crontab; raise ValueError if they are invalid or never match."""
        try:
            spec = schedules.crontab(minute, hour, day_of_week, day_of_month, month_of_year)
        except schedules.ParseException as error:
            raise ValueError(str(error)) from error
        # Celery's stubs omit the fields.
        fields = cast("CrontabFields", spec)
        crontab = cls(fields, zone if isinstance(zone, ZoneInfo) else ZoneInfo(zone))
        # Celery rejects 31 February itself, but not a date that never falls on the given weekday.
        if crontab.next_after(datetime(2000, 1, 1, tzinfo=UTC)) is None:
            raise ValueError(_("no date matches the crontab"))
        return crontab

    def next_after(self, after: datetime) -> datetime | None:
        """Return the first slot later than `after`, or None if no date matches."""
        day = after.astimezone(self.zone).date()
        last_year = day.year + YEARS_AHEAD
        while day.year <= last_year:
            if day.month not in self._months:
                day = (day.replace(day=1) + timedelta(days=31)).replace(day=1)
                continue
            if self._runs_on(day):
                slots = self._slots(day)
                at = bisect_right(slots, after)
                if at < len(slots):
                    return slots[at]
            day += ONE_DAY
        return None

    def latest(self, after: datetime, until: datetime) -> datetime | None:
        """Return the last slot in (after, until], or None."""
        day = until.astimezone(self.zone).date()
        first = after.astimezone(self.zone).date()
        while day >= first:
            if day.month not in self._months:
                day = day.replace(day=1) - ONE_DAY
                continue
            if self._runs_on(day):
                slots = self._slots(day)
                at = bisect_right(slots, until)
                if at:
                    return slots[at - 1] if slots[at - 1] > after else None
            day -= ONE_DAY
        return None

    def _runs_on(self, day: date) -> bool:
        return (
            day.day in self._days
            and day.month in self._months
            and day.isoweekday() % 7 in self._weekdays
        )

    def _slots(self, day: date) -> list[datetime]:
        slots = self._known.get(day)
        if slots is None:
            if len(self._known) >= 3:
                self._known.clear()
            slots = self._known[day] = self._slots_of(day)
        return slots

    def _slots_of(self, day: date) -> list[datetime]:
        stretches = _stretches(day, self.zone)
        slots: set[datetime] = set()
        for moment in self._times:
            local = datetime.combine(day, moment)
            occurrences = [
                (local - offset).replace(tzinfo=UTC)
                for start, end, offset in stretches
                if start <= (local - offset).replace(tzinfo=UTC) < end
            ]
            if occurrences:
                slots.update(occurrences if self.any_hour else occurrences[:1])
            elif not self.any_hour:
                slots.add(_end_of_gap(local, day, self.zone, stretches))
        return sorted(slots)


Stretch = tuple[datetime, datetime, timedelta]


def _stretches(day: date, zone: ZoneInfo) -> list[Stretch]:
    """Return the spans of UTC, each with one offset, in which the zone has this date."""
    start = _midnight(day, zone, fold=0)
    # Take the later midnight. A midnight that comes twice ends the date the second time; a midnight
    # that the clock skips ends the date at the jump.
    end = max(_midnight(day + ONE_DAY, zone, fold=fold) for fold in (0, 1))
    if start >= end:  # the zone skipped this date, as Samoa did in 2011
        return []
    stretches: list[Stretch] = []
    while start < end:
        offset = _offset(start, zone)
        change = _first_change(start, end, offset, zone)
        # A clock set back across midnight makes this date come twice, with another date in between.
        first = max(start, (datetime.combine(day, time()) - offset).replace(tzinfo=UTC))
        last = min(change, (datetime.combine(day + ONE_DAY, time()) - offset).replace(tzinfo=UTC))
        if first < last:
            stretches.append((first, last, offset))
        start = change
    return stretches


def _first_change(start: datetime, end: datetime, offset: timedelta, zone: ZoneInfo) -> datetime:
    """Return when the offset first changes between `start` and `end`, or `end`."""
    step = timedelta(hours=1)
    while start < end and _offset(min(start + step, end), zone) == offset:
        start += step
    if start >= end:
        return end
    unchanged, changed = start, min(start + step, end)
    while changed - unchanged > timedelta(seconds=1):
        middle = unchanged + (changed - unchanged) / 2
        if _offset(middle, zone) == offset:
            unchanged = middle
        else:
            changed = middle
    return changed.replace(microsecond=0)


def _end_of_gap(local: datetime, day: date, zone: ZoneInfo, stretches: list[Stretch]) -> datetime:
    for start, _end, offset in stretches:
        if (start + offset).replace(tzinfo=None) > local:
            return start
    return _midnight(day + ONE_DAY, zone, fold=0)


def _midnight(day: date, zone: ZoneInfo, *, fold: int) -> datetime:
    return datetime.combine(day, time(fold=fold), zone).astimezone(UTC)


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta(0)


@dataclass(frozen=True, slots=True)
class Rule:
    """The rule for a schedule that is late or missed runs; times in seconds."""

    misfire_grace_seconds: int | None = None
    coalesce: bool = True
    jitter_seconds: int = 0
    # How many runs may be unfinished at once, including the new one; None: any number.
    max_instances: int | None = None


def jitter_of(name: str, seconds: int) -> timedelta:
    """Return the jitter of the schedule `name`: always the same delay, at most `seconds`."""
    if not seconds:
        return timedelta(0)
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return timedelta(milliseconds=int.from_bytes(digest) % (seconds * 1000 + 1))


def anchor_of(
    timing: Timing,
    *,
    last_run_at: datetime | None,
    start_time: datetime | None,
    known_since: datetime,
) -> datetime:
    """Return the moment from which a schedule has slots, for `Timing.next_after`.

    A schedule that never ran counts from `known_since`, when it was saved. A schedule with a start
    time has its first slot at that time; with a crontab, at the first match from that time on. A
    crontab whose start time has passed does not fire for that reason.
    """
    if isinstance(timing, Interval):
        if start_time is None:
            return last_run_at or known_since
        before_start = start_time - timing.every
        return before_start if last_run_at is None else max(last_run_at, before_start)
    if isinstance(timing, Moment):
        floor = last_run_at or timing.at - RESOLUTION
    else:
        floor = last_run_at or known_since
    return floor if start_time is None else max(floor, start_time - RESOLUTION)


@dataclass(frozen=True, slots=True)
class Due:
    """The due slots of one schedule."""

    # The slots to run, oldest first; empty if all missed slots are too late.
    slots: tuple[datetime, ...]
    # The newest slot that this decides, run or not.
    newest: datetime


def due(
    timing: Timing, after: datetime, now: datetime, rule: Rule, jitter: timedelta
) -> Due | None:
    """Return the slots that are due at `now`; None if there are none. `after` is decided already."""
    until = now - jitter
    newest = timing.latest(after, until)
    if newest is None:
        return None
    oldest = None
    if rule.misfire_grace_seconds is not None:
        oldest = until - max(SMALLEST_GRACE, timedelta(seconds=rule.misfire_grace_seconds))
    slots: list[datetime] = []
    slot: datetime | None = newest
    while slot is not None and (oldest is None or slot >= oldest):
        slots.append(slot)
        if len(slots) == (1 if rule.coalesce else MOST_CAUGHT_UP):
            break
        slot = timing.latest(after, slot - RESOLUTION)
    return Due(tuple(reversed(slots)), newest)


def next_fire(timing: Timing, after: datetime, jitter: timedelta) -> datetime | None:
    """Return when the first slot after `after` runs, jitter included."""
    slot = timing.next_after(after)
    return None if slot is None else slot + jitter


def expiry(
    timing: Timing,
    slot: datetime,
    fired_at: datetime,
    *,
    expire_seconds: int | None,
    expires: datetime | None,
) -> datetime | None:
    """Return the moment after which a run of `slot` is too late to start; None for never.

    The moment is at most one interval after the firing: a backlog of one schedule is worth only its
    newest run.
    """
    limits = [] if expires is None else [expires]
    if expire_seconds is not None:
        limits.append(fired_at + timedelta(seconds=expire_seconds))
    following = timing.next_after(slot)
    if following is not None:
        limits.append(fired_at + (following - slot))
    return min(limits, default=None)
