"""Freshness: whether a stream is due, and how long streams went between two reads."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection
from django.utils import timezone

from bots.models import BotConfig
from scraping.models import Stream
from scraping.planning.demand import freshness_of, wanted_kinds

# A stream that is almost due counts as due, because no beat fires to the very second. Without this
# slack, a session that begins one second before the interval is over would leave the stream unread for
# another whole interval.
SLACK_SHARE = 0.1
LONGEST_SLACK = timedelta(minutes=1)
# Streams of other bots ride along during this last share of their interval.
RIDING_SHARE = 0.25
# A session that insists reads every stream that was not read in this time.
INSIST_AGE = timedelta(seconds=5)
# The clocks of two machines differ by less. A read further in the future was recorded by a wrong clock.
CLOCK_SKEW = timedelta(minutes=1)

RECENT = timedelta(hours=24)

# How a span is shown: the unit, its seconds, the decimals, and from how many on the next unit is used.
UNITS = (("s", 1, 0, 60), ("min", 60, 1, 60), ("h", 3_600, 1, 48))
DAY = 86_400


def is_due(stream: Stream, freshness: timedelta | None, now: datetime) -> bool:
    """Whether a session with this freshness must read the stream; with None, the session insists."""
    if stream.poll_by is not None and stream.poll_by <= now:
        return True
    if freshness is None:
        return _age_reaches(stream, INSIST_AGE, now)
    return _age_reaches(stream, freshness - min(freshness * SLACK_SHARE, LONGEST_SLACK), now)


def may_ride(stream: Stream, freshness: timedelta, now: datetime) -> bool:
    """Whether the stream falls due so soon that it may ride along now."""
    return _age_reaches(stream, freshness * (1 - RIDING_SHARE), now)


def _age_reaches(stream: Stream, limit: timedelta, now: datetime) -> bool:
    if stream.last_fetch_at is None:
        return True
    age = now - stream.last_fetch_at
    return age >= limit or age < -CLOCK_SKEW


def longest_between_reads(
    streams: Iterable[tuple[str, str]], *, now: datetime, since: datetime
) -> float | None:
    """Return the longest time in seconds that one of the streams went unread.

    It counts the time between a stream's last two reads, and the time since its last read. `streams`
    are pairs of subreddit name and kind. If the only read of a stream began at `since` or later, the
    stream does not count. None when no stream counts.
    """
    wanted = {(name.lower(), kind) for name, kind in streams}
    rows = (
        Stream.objects.named(name for name, _ in wanted)
        .exclude(last_fetch_at=None)
        .values_list("subreddit__name", "kind", "last_fetch_at", "previous_fetch_at")
    )
    spans = []
    for name, kind, last, previous in rows:
        if last is None or (name.lower(), kind) not in wanted:
            continue
        if previous is not None:
            spans.append(last - previous)
        if previous is not None or last < since:
            spans.append(now - last)
    return max(spans).total_seconds() if spans else None


@dataclass(frozen=True)
class Achieved:
    """The promised and achieved freshness of a bot in the last 24 hours, in seconds."""

    promised: float
    p50: float
    p95: float
    longest: float
    sessions: int

    def __str__(self) -> str:
        """Return one line: half of the sessions, 95 % of them, and the worst, against the promise."""
        p50, p95, longest = map(in_words, (self.p50, self.p95, self.longest))
        return (
            f"half within {p50}, 95 % within {p95}, all within {longest}; "
            f"promised {in_words(self.promised)}"
        )


def achieved(bots: Sequence[BotConfig]) -> dict[int, Achieved]:
    """Return promised and achieved freshness by bot, for bots with sessions that measured it."""
    promised = {bot.pk: freshness_of(bot).total_seconds() for bot in bots if wanted_kinds(bot)}
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT bot_id,
                   percentile_cont(ARRAY[0.5, 0.95, 1]) WITHIN GROUP (ORDER BY freshness_seconds),
                   count(*)
            FROM scraping_scrapesession
            WHERE bot_id = ANY(%s) AND queued_at >= %s AND freshness_seconds IS NOT NULL
            GROUP BY bot_id
            """,
            [list(promised), timezone.now() - RECENT],
        )
        return {
            bot_id: Achieved(promised[bot_id], p50, p95, longest, sessions)
            for bot_id, (p50, p95, longest), sessions in cursor.fetchall()
        }


def in_words(seconds: float) -> str:
    """Return a span of time as people say it: 45 s, 5.2 min, 3.0 h, 2.0 days."""
    # Compare the rounded number: otherwise 59.7 s would be shown as "60 s" instead of "1.0 min".
    for unit, size, decimals, below in UNITS:
        if round(seconds / size, decimals) < below:
            return f"{seconds / size:.{decimals}f} {unit}"
    return f"{seconds / DAY:.1f} days"
