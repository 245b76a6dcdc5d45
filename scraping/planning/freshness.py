"""How old what is stored of a stream may be, and how old it has been."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection
from django.utils import timezone

from bots.models import BotConfig
from scraping.models import Stream
from scraping.planning.demand import freshness_of, wanted_kinds

# A punctual beat never comes at the very second: a stream that is almost due is due. Without this a
# session that began a second earlier after the last read than the interval would leave it for
# another whole interval.
SLACK_SHARE = 0.1
LONGEST_SLACK = timedelta(minutes=1)
# Within this share of their interval before they are due, streams of others ride along.
RIDING_SHARE = 0.25
# Who asks for a session by hand wants it read now, unless that has just been done.
INSIST_AGE = timedelta(seconds=5)
# The clocks of two machines differ by less. A read that is further in the future tells of a clock
# that was wrong.
CLOCK_SKEW = timedelta(minutes=1)

RECENT = timedelta(hours=24)

# How spans are told: the unit, its seconds, the decimals shown, and how many are told in the next one.
UNITS = (("s", 1, 0, 60), ("min", 60, 1, 60), ("h", 3_600, 1, 48))
DAY = 86_400


def is_due(stream: Stream, freshness: timedelta | None, now: datetime) -> bool:
    """Whether a session of a bot of this freshness has to read the stream; None: it insists."""
    if stream.poll_by is not None and stream.poll_by <= now:
        return True
    if freshness is None:
        return _age_reaches(stream, INSIST_AGE, now)
    return _age_reaches(stream, freshness - min(freshness * SLACK_SHARE, LONGEST_SLACK), now)


def may_ride(stream: Stream, freshness: timedelta, now: datetime) -> bool:
    """Whether the stream falls due so soon that it may as well be read now."""
    return _age_reaches(stream, freshness * (1 - RIDING_SHARE), now)


def _age_reaches(stream: Stream, limit: timedelta, now: datetime) -> bool:
    if stream.last_fetch_at is None:
        return True
    age = now - stream.last_fetch_at
    return age >= limit or age < -CLOCK_SKEW


def longest_between_reads(
    streams: Iterable[tuple[str, str]], *, now: datetime, since: datetime
) -> float | None:
    """The longest time in seconds that one of the streams went unread: between its last two reads,
    or from the last one until now. None when none of them was read before `since`.

    `streams` are names of subreddits and kinds; what was begun at `since` or later and is the first
    read of its stream tells nothing.
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
    """What a bot's sessions of the last 24 hours achieved; seconds."""

    promised: float
    p50: float
    p95: float
    longest: float
    sessions: int

    def __str__(self) -> str:
        """In one line: half of the sessions, 95 of 100, and the worst, against the promise."""
        p50, p95, longest = map(in_words, (self.p50, self.p95, self.longest))
        return (
            f"half within {p50}, 95 % within {p95}, all within {longest}; "
            f"promised {in_words(self.promised)}"
        )


def achieved(bots: Sequence[BotConfig]) -> dict[int, Achieved]:
    """Promised and achieved freshness by bot, for those that have sessions that can tell."""
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
    """A span of time as people say it: 45 s, 5.2 min, 3.0 h, 2.0 days."""
    # By what is shown: 59.7 s would be "60 s" beside a "1.0 min".
    for unit, size, decimals, below in UNITS:
        if round(seconds / size, decimals) < below:
            return f"{seconds / size:.{decimals}f} {unit}"
    return f"{seconds / DAY:.1f} days"
