"""Slots: the moments at which a schedule is to run. Pure arithmetic, without a database or a clock.

A *slot* is the nominal moment of a run; what a policy's jitter adds to it is not part of it, so that
a changed jitter neither repeats nor drops a run. All moments are aware datetimes; those that are
returned are in UTC. `after` is always a moment that is decided already: the slot that ran last, or
the *anchor* of a schedule that never ran (`anchor_of`).
"""

import hashlib
from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Protocol, cast
from zoneinfo import ZoneInfo

from celery import schedules

RESOLUTION = timedelta(microseconds=1)
ONE_DAY = timedelta(days=1)
# 29 February falls on each day of the week within 40 years, the skipped leap year 2100 included.
YEARS_AHEAD = 41
# A beat that is a moment late has not missed a run, whatever the grace.
SMALLEST_GRACE = timedelta(seconds=1)
# Runs that one schedule makes up for at once, the newest ones, when it is not to coalesce.
MOST_CAUGHT_UP = 100
# Solar events are searched from here on, for a schedule that last ran long ago.
SOLAR_LOOK_BACK = timedelta(days=370)


class Timing(Protocol):
    """When a schedule has its slots."""

    def next_after(self, after: datetime) -> datetime | None:
        """Return the first slot later than `after`, or None if there will be none."""

    def latest(self, after: datetime, until: datetime) -> datetime | None:
        """Return the last slot in (after, until], or None."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Every so often, in step with the slot before."""

    every: timedelta

    def __post_init__(self) -> None:
        if self.every <= timedelta(0):
            raise ValueError(f"an interval of {self.every} is not above zero")

    def next_after(self, after: datetime) -> datetime:
        """Return the slot one interval later."""
        return after.astimezone(UTC) + self.every

    def latest(self, after: datetime, until: datetime) -> datetime | None:
        """Return the last slot in (after, until], or None."""
        steps = (until - after) // self.every
        return after.astimezone(UTC) + steps * self.every if steps > 0 else None


@dataclass(frozen=True, slots=True)
class Moment:
    """Once, at a given time."""

    at: datetime

    def next_after(self, after: datetime) -> datetime | None:
        """Return the moment if it is yet to come."""
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
        """Return the next such event. In polar night that may be months away."""
        # It answers with what is left from "now" on, whatever now is.
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
    """What Celery's crontab has read from its five fields."""

    minute: set[int]
    hour: set[int]
    day_of_month: set[int]
    month_of_year: set[int]
    day_of_week: set[int]


class Crontab:
    """Celery's crontab in its time zone, right on the two odd days of the year.

    A day must fit day of month, month *and* day of week, as Celery has it. Where the hour is any,
    slots are the minutes that really pass: nothing is left out when an hour comes twice. Where hours
    are named, a slot that the spring's gap swallows runs when the gap is over, and one that autumn
    brings twice runs the first time.
    """

    __slots__ = ("_days", "_known", "_months", "_times", "_weekdays", "any_hour", "zone")

    def __init__(self, spec: CrontabFields, zone: ZoneInfo) -> None:
        self.zone = zone
        self.any_hour = len(spec.hour) == 24
        self._days = frozenset(spec.day_of_month)
        self._months = frozenset(spec.month_of_year)
        self._weekdays = frozenset(spec.day_of_week)
        self._times = sorted(time(hour, minute) for hour in spec.hour for minute in spec.minute)
        # The slots of the last few dates that were asked for: all schedules of a crontab ask alike.
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
        """Read a crontab's five fields; raise ValueError for what can never match."""
        try:
            spec = schedules.crontab(minute, hour, day_of_week, day_of_month, month_of_year)
        except schedules.ParseException as error:
            raise ValueError(str(error)) from error
        # Celery's stubs leave the fields out.
        fields = cast("CrontabFields", spec)
        crontab = cls(fields, zone if isinstance(zone, ZoneInfo) else ZoneInfo(zone))
        # Celery finds 31 February itself, not a day of month that no such weekday ever falls on.
        if crontab.next_after(datetime(2000, 1, 1, tzinfo=UTC)) is None:
            raise ValueError("no date matches it")
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
    """Return the spans of UTC, each of one offset, in which it is this date in the zone."""
    start = _midnight(day, zone, fold=0)
    # The later of the two: a midnight that comes twice ends the date the second time, and one that
    # is left out ends it where the clock jumps.
    end = max(_midnight(day + ONE_DAY, zone, fold=fold) for fold in (0, 1))
    if start >= end:  # a date that the zone left out, as Samoa did in 2011
        return []
    stretches: list[Stretch] = []
    while start < end:
        offset = _offset(start, zone)
        change = _first_change(start, end, offset, zone)
        # A clock set back across midnight makes it this date twice, with another in between.
        first = max(start, (datetime.combine(day, time()) - offset).replace(tzinfo=UTC))
        last = min(change, (datetime.combine(day + ONE_DAY, time()) - offset).replace(tzinfo=UTC))
        if first < last:
            stretches.append((first, last, offset))
        start = change
    return stretches


def _first_change(start: datetime, end: datetime, offset: timedelta, zone: ZoneInfo) -> datetime:
    """Return when the offset first changes between the two, or `end`."""
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
    """What a schedule does when it is late or missed runs; times in seconds."""

    misfire_grace_seconds: int | None = None
    coalesce: bool = True
    jitter_seconds: int = 0
    # Runs that may be unfinished at once, this one included; None: any number.
    max_instances: int | None = None


def jitter_of(name: str, seconds: int) -> timedelta:
    """Return by how much the schedule of this name runs later: always the same, at most `seconds`."""
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
    """Return the moment from which on a schedule has slots, in step with `Timing.next_after`.

    A schedule that never ran counts from `known_since`, when it was saved. One that is to start at a
    given time has its first slot then or, with a crontab, at the first match from then on: a crontab
    whose start lies in the past is not fired because of that.
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
    """What is due of one schedule."""

    # Slots to run, oldest first; empty when all that were missed are too late.
    slots: tuple[datetime, ...]
    # The newest slot that is decided by this, whether it runs or not.
    newest: datetime


def due(
    timing: Timing, after: datetime, now: datetime, rule: Rule, jitter: timedelta
) -> Due | None:
    """Return what is due at `now` of a schedule whose slots up to `after` are decided, or None."""
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
    """Return when the first slot later than `after` runs, jitter included."""
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
    """Return after which moment a run of `slot` is too late to start, or None for never.

    Never later than one interval after it was fired: a backlog of one schedule is worth no more
    than its newest run.
    """
    limits = [] if expires is None else [expires]
    if expire_seconds is not None:
        limits.append(fired_at + timedelta(seconds=expire_seconds))
    following = timing.next_after(slot)
    if following is not None:
        limits.append(fired_at + (following - slot))
    return min(limits, default=None)
