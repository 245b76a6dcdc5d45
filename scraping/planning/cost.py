"""What bots cost their app's budget in the long run, from learned rates, before anything is asked.

The same caps and the same measure as the compiler's, on the average day instead of now: streams of
one interval share walks; one of a longer interval goes with the others where that is cheaper than a
walk of its own. What depends on chance is left out: probes, retries, phases that do not meet.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from math import ceil

from bots.models import BotConfig, RedditApp
from scraping.coverage.rates import HALF_HORIZON, HOURS, Rates
from scraping.coverage.walk import GRACE
from scraping.models import Stream
from scraping.planning.demand import demands_of, freshness_of
from scraping.planning.packing import pages
from scraping.reddit.client import (
    MAX_MERGED_CHARACTERS,
    MAX_MERGED_NAMES,
    PAGE_SIZE,
    pack_names,
)

HOUR = timedelta(hours=1)
GRACE_HOURS = GRACE / HOUR
# Above this share of an app's budget, little is left for what comes in bursts or late.
WARN_SHARE = 0.8

StreamKey = tuple[str, str]


@dataclass(frozen=True)
class Cost:
    """What a bot adds and what its app's scheduled bots need with it, in requests a minute."""

    app: RedditApp
    adds: float
    total: float
    # Streams of the bot's that were never read: defaults stand for their rates.
    unknown: int

    @property
    def share(self) -> float:
        """Of the app's requests a minute, 1 for all of them."""
        return self.total / self.app.requests_per_minute

    @property
    def is_high(self) -> bool:
        """Whether too little is left."""
        return self.share > WARN_SHARE


def estimate(bot: BotConfig) -> Cost:
    """What the bot, saved or not, costs on its schedule, whether it is switched on or not."""
    others = list(
        BotConfig.objects.scheduled().filter(reddit_app=bot.reddit_app_id).exclude(pk=bot.pk)
    )
    wanted = [demand.key for demand in demands_of([*others, bot])]
    rates = _learned(wanted)
    before = requests_per_minute(others, rates)
    total = requests_per_minute([*others, bot], rates)
    own = [demand.key for demand in demands_of([bot])]
    return Cost(
        bot.reddit_app,
        adds=max(0.0, total - before),
        total=total,
        unknown=sum(key not in rates for key in own),
    )


def requests_per_minute(bots: Iterable[BotConfig], rates: Mapping[StreamKey, float]) -> float:
    """What these bots of one app need together; `rates` are in items an hour where they are known."""
    bots = list(bots)
    walks = _Walks()
    wanted = []
    for demand in demands_of(bots):
        rate = rates.get(demand.key, Rates.unknown(demand.kind).overall)
        hours = demand.freshness / HOUR
        # A busy one is read before it overflows, whatever its bots promise.
        wanted.append((min(hours, HALF_HORIZON / rate) if rate else hours, rate, demand))
    for hours, rate, demand in sorted(wanted, key=lambda one: (one[0], -one[1], one[2].key)):
        walks.add(demand.subreddit, demand.kind, rate=rate, hours=hours)
    return (walks.per_hour + sum(map(_samples_per_hour, bots))) / 60


@dataclass
class _Walk:
    kind: str
    hours: float
    names: int = 0
    characters: int = -1
    rate: float = 0.0


class _Walks:
    """Walks that are repeated for ever, each in its own interval."""

    def __init__(self) -> None:
        self.per_hour = 0.0
        self._walks: list[_Walk] = []

    def add(self, name: str, kind: str, *, rate: float, hours: float) -> None:
        """Add a stream where it costs least; call it with the shortest intervals first."""
        alone = pages(rate * (hours + GRACE_HOURS)) / hours
        costs = [
            (self._more(walk, rate, hours), number)
            for number, walk in enumerate(self._walks)
            if self._fits(walk, name, kind, rate, hours)
        ]
        cost, number = min(costs, default=(alone, -1))
        if number < 0 or cost >= alone:
            self._walks.append(_Walk(kind, hours))
            cost, number = alone, -1
        walk = self._walks[number]
        walk.names += 1
        walk.characters += 1 + len(name)
        walk.rate += rate
        self.per_hour += cost

    @staticmethod
    def _fits(walk: _Walk, name: str, kind: str, rate: float, hours: float) -> bool:
        return (
            walk.kind == kind
            and walk.names < MAX_MERGED_NAMES
            and walk.characters + 1 + len(name) <= MAX_MERGED_CHARACTERS
            and (walk.rate + rate) * (hours + GRACE_HOURS) <= HALF_HORIZON
        )

    @staticmethod
    def _more(walk: _Walk, rate: float, hours: float) -> float:
        """What one walk in so many hours costs more when it also goes down to this stream's last."""
        with_it = pages((walk.rate + rate) * (hours + GRACE_HOURS))
        return (with_it - pages(walk.rate * (walk.hours + GRACE_HOURS))) / hours


def _samples_per_hour(bot: BotConfig) -> float:
    """What a bot of a sampling listing reads at most: nobody shares it."""
    if bot.listing == BotConfig.Listing.NEW:
        return 0.0
    runs = HOUR / freshness_of(bot)
    return runs * len(pack_names(bot.subreddits)) * ceil(bot.item_limit / PAGE_SIZE)


def _learned(wanted: Iterable[StreamKey]) -> dict[StreamKey, float]:
    """Items an hour on the average of a day, of those streams of which they are known."""
    keys = set(wanted)
    streams = Stream.objects.named(name for name, _ in keys).exclude(arrivals_per_hour=None)
    return {
        key: sum(map(Rates.of(stream).at, range(HOURS))) / HOURS
        for stream in streams.select_related("subreddit")
        if (key := (stream.subreddit.name.lower(), stream.kind)) in keys
    }
