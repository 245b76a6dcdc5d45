"""Demands: the streams that scheduled bots of an app want, with the shortest freshness of each.

A bot's schedule is a promise of freshness. Several bots may want the same stream, so the session that
reads it next must know the shortest promise.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from django.utils import timezone

from bots.models import BotConfig, RedditApp
from jobs.beat.slots import Crontab
from scraping.models import Stream

# The times between a crontab's firings are compared over this many days: a whole week, and the step
# into the next week.
CRONTAB_DAYS = 8
# The freshness of a crontab that fires once or never.
LONGEST = timedelta(days=366)
# No crontab fires more often.
MINUTE = timedelta(minutes=1)

WANTED_FIELDS = (
    "subreddits",
    "listing",
    "comments",
    "item_limit",
    "schedule",
    "every",
    "period",
    "crontab",
    "timezone",
    "reddit_app_id",
)


@dataclass(frozen=True)
class Demand:
    """A stream that bots want, and the shortest freshness among these bots."""

    # In lower case.
    subreddit: str
    kind: str
    freshness: timedelta
    bot_ids: tuple[int, ...]
    # The largest item limit among the bots.
    item_limit: int

    @property
    def key(self) -> tuple[str, str]:
        """The key of the stream: its subreddit in lower case, and its kind."""
        return self.subreddit, self.kind


def demands(app: RedditApp) -> list[Demand]:
    """Return the demands of the app's active, scheduled bots, by subreddit and kind."""
    bots = BotConfig.objects.scheduled().filter(reddit_app=app)
    return demands_of(bots.only(*WANTED_FIELDS).order_by("pk").iterator())


def demands_of(bots: Iterable[BotConfig]) -> list[Demand]:
    """Return the demands of these bots, in whatever state, by subreddit and kind."""
    wanted: dict[tuple[str, str], list[tuple[timedelta, int, int]]] = {}
    for bot in bots:
        wish = (freshness_of(bot), bot.item_limit, bot.pk)
        for kind in wanted_kinds(bot):
            for name in {name.lower() for name in bot.subreddits}:
                wanted.setdefault((name, kind), []).append(wish)
    return [
        Demand(
            name,
            kind,
            freshness=min(freshness for freshness, _, _ in wishes),
            bot_ids=tuple(bot_id for _, _, bot_id in wishes),
            item_limit=max(limit for _, limit, _ in wishes),
        )
        for (name, kind), wishes in sorted(wanted.items())
    ]


def wanted_kinds(bot: BotConfig) -> tuple[str, ...]:
    """Return the kinds of streams that the bot wants in full; samples are no streams."""
    kinds = []
    if bot.listing == BotConfig.Listing.NEW:
        kinds.append(Stream.Kind.POSTS.value)
    if bot.comments == BotConfig.Comments.STREAM:
        kinds.append(Stream.Kind.COMMENTS.value)
    return tuple(kinds)


def freshness_of(bot: BotConfig) -> timedelta:
    """Return the longest time that the bot leaves between two reads: its interval.

    For a crontab, this is the shortest time between two firings in the coming days, because a stream
    that is read at one firing must be read again at the next.
    """
    if bot.schedule == BotConfig.Schedule.INTERVAL:
        return bot.interval
    try:
        return _shortest_distance(bot.crontab, str(bot.timezone), timezone.now().date())
    except ValueError:
        # This crontab did not come through the form. It never fires, and the beat has marked its schedule.
        return LONGEST


@lru_cache(maxsize=1_000)
def _shortest_distance(expression: str, zone: str, today: date) -> timedelta:
    minute, hour, day_of_month, month_of_year, day_of_week = expression.split()
    crontab = Crontab.parse(
        minute=minute,
        hour=hour,
        day_of_month=day_of_month,
        month_of_year=month_of_year,
        day_of_week=day_of_week,
        zone=zone,
    )
    start = datetime(today.year, today.month, today.day, tzinfo=UTC)
    slot = crontab.next_after(start)
    shortest = LONGEST
    end = start + timedelta(days=CRONTAB_DAYS)
    while slot is not None and shortest > MINUTE:
        following = crontab.next_after(slot)
        if following is None:
            break
        shortest = min(shortest, following - slot)
        if following > end:
            break
        slot = following
    return shortest
