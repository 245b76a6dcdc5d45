"""Rates: how fast items arrive in a stream by hour of day, and by when it must be read again.

The rates are learned from the items that walks saw between two watermarks, by Reddit's times. It does
not matter how often a stream is read, nor how long ago that was by our clock. Pure arithmetic.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bots.models import LISTING_CAP
from scraping.models import Stream

HOURS = 24
HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)

# Items an hour that we assume for a stream without rates. Its first read corrects this at once.
DEFAULT_PER_HOUR = {Stream.Kind.POSTS.value: 4.0, Stream.Kind.COMMENTS.value: 20.0}

# A walk may reach months back, and arrivals of that time say little about today.
LEARNED_SPAN = timedelta(days=7)
# The default counts like this many hours of observation, because five minutes of a first read tell little.
PRIOR_HOURS = 0.25
# The overall rate forgets within this many hours. The rate of an hour of day forgets within this many
# hours of its own.
OVERALL_HOURS = 6.0
OF_ONE_HOUR_HOURS = 3.0
# After this many hours, the rates of the hours of day have their full weight. The remaining weight is
# that of the overall rate, which knows what is different today.
PROFILE_HOURS = 72.0
PROFILE_TRUST = 0.75

# A stream is read before this many new items are expected: half of what Reddit lists.
HALF_HORIZON = LISTING_CAP // 2
# No moment further ahead is predicted.
LOOK_AHEAD_DAYS = 31


@dataclass(frozen=True)
class Rates:
    """Items an hour, overall and by hour of day (UTC), learned from `learned_hours` of Reddit's time.

    The rate of an hour of day that is not known is None; the overall rate takes its place.
    """

    overall: float
    by_hour: tuple[float | None, ...]
    learned_hours: float = 0.0

    @classmethod
    def unknown(cls, kind: str) -> "Rates":
        """Return the rates that we assume for a stream that was never read."""
        return cls(DEFAULT_PER_HOUR[kind], (None,) * HOURS)

    @classmethod
    def of(cls, stream: Stream) -> "Rates":
        """Return the learned rates of a stream, or the default."""
        by_hour = stream.arrivals_by_hour
        if stream.arrivals_per_hour is None or by_hour is None or len(by_hour) != HOURS:
            return cls.unknown(stream.kind)
        return cls(stream.arrivals_per_hour, tuple(by_hour), stream.learned_hours or 0.0)

    def at(self, hour: int) -> float:
        """Return the expected items an hour at an hour of day (UTC)."""
        of_hour = self.by_hour[hour]
        if of_hour is None:
            return self.overall
        trust = PROFILE_TRUST * min(1.0, self.learned_hours / PROFILE_HOURS)
        return self.overall + trust * (of_hour - self.overall)

    def expected(self, start: datetime, end: datetime) -> float:
        """Return how many items are expected between two moments."""
        span = max(end - start, timedelta(0))
        whole_days = span // timedelta(days=1)
        items = whole_days * sum(map(self.at, range(HOURS))) if whole_days else 0.0
        rest = start + whole_days * timedelta(days=1)
        return items + sum(hours * self.at(hour) for hour, hours in _by_hour(rest, end))

    def reaches(self, items: float, start: datetime) -> datetime | None:
        """Return when `items` items are expected to have arrived; None if not within a month."""
        a_day = sum(map(self.at, range(HOURS)))
        if a_day * LOOK_AHEAD_DAYS < items:
            return None
        whole_days = int(items // a_day)
        left = items - whole_days * a_day
        moment = start + timedelta(days=whole_days)
        for hour, hours in _by_hour(moment, moment + timedelta(days=1)):
            rate = self.at(hour)
            if rate * hours >= left:
                return moment + HOUR * (left / rate if rate else 0.0)
            left -= rate * hours
            moment += HOUR * hours
        return moment

    def learn(self, moments: Iterable[datetime], start: datetime, end: datetime) -> "Rates":
        """Return the rates after a walk that saw every item of the stream in (start, end].

        `moments` are the times of the items that it saw, in any order. Times outside the span do not
        count.
        """
        start = max(start, end - LEARNED_SPAN)
        exposures = [0.0] * HOURS
        for hour, hours in _by_hour(start, end):
            exposures[hour] += hours
        seen = sum(exposures)
        if not seen:
            return self
        counts = [0] * HOURS
        for moment in moments:
            if start < moment <= end:
                # The span includes its end and not its start. So an item exactly on the hour belongs
                # to the hour before.
                counts[(moment.astimezone(UTC) - MICROSECOND).hour] += 1
        learned = self.learned_hours + seen
        evidence = min((self.learned_hours or PRIOR_HOURS) + seen, OVERALL_HOURS)
        overall = _towards(self.overall, sum(counts) / seen, seen / evidence)
        by_hour = tuple(
            # With less than an hour learned in all, minutes say little about this hour of every day.
            _towards(overall if rate is None else rate, count / hours, hours / OF_ONE_HOUR_HOURS)
            if hours and learned >= 1
            else rate
            for rate, count, hours in zip(self.by_hour, counts, exposures, strict=True)
        )
        return Rates(overall, by_hour, min(learned, PROFILE_HOURS))


def poll_by(rates: Rates, read_at: datetime) -> datetime | None:
    """Return by when a stream that was read at `read_at` must be read again, whichever bots want it.

    At that time, half of what Reddit lists of the stream is expected to be new. None if that is not
    within a month.
    """
    return rates.reaches(HALF_HORIZON, read_at)


def _towards(old: float, new: float, weight: float) -> float:
    return old + min(1.0, weight) * (new - old)


def _by_hour(start: datetime, end: datetime) -> Iterable[tuple[int, float]]:
    """Yield each hour of day that the span touches, in order, with the part of that hour in the span."""
    moment = start.astimezone(UTC)
    end = end.astimezone(UTC)
    while moment < end:
        following = min(moment.replace(minute=0, second=0, microsecond=0) + HOUR, end)
        yield moment.hour, (following - moment) / HOUR
        moment = following
