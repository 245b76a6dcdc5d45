"""Estimate what bots cost their app's budget in the long run, from learned rates and without a request.

The estimate uses the caps and the measure of `packing`, for the average day instead of now. Streams
of one interval share walks. A stream of a longer interval joins a walk if that is cheaper than a walk
of its own. Everything that depends on chance is left out: probes, retries, bots that run out of step.
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
# Above this share of an app's budget, little is left for bursts and delays.
WARN_SHARE = 0.8

StreamKey = tuple[str, str]


@dataclass(frozen=True)
class Cost:
    """Requests a minute: `adds` for the bot itself, `total` for all scheduled bots of its app with it."""

    app: RedditApp
    adds: float
    total: float
    # How many of the bot's streams have no learned rates; the default stands for them.
    unknown: int

    @property
    def share(self) -> float:
        """The share of the app's requests a minute that `total` takes; 1 is all of them."""
        return self.total / self.app.requests_per_minute

    @property
    def is_high(self) -> bool:
        """Whether too little of the app's budget is left."""
        return self.share > WARN_SHARE


def estimate(bot: BotConfig) -> Cost:
    """Estimate the cost of a bot on its schedule. The bot may be unsaved or switched off."""
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
    """Return what these bots of one app need together; `rates` holds known rates in items an hour."""
    bots = list(bots)
    walks = _Walks()
    wanted = []
    for demand in demands_of(bots):
        rate = rates.get(demand.key, Rates.unknown(demand.kind).overall)
        hours = demand.freshness / HOUR
        # A busy stream is read before it overflows, however long its bots' intervals are.
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
    """Walks that are repeated for ever, each at its own interval."""

    def __init__(self) -> None:
        self.per_hour = 0.0
        self._walks: list[_Walk] = []

    def add(self, name: str, kind: str, *, rate: float, hours: float) -> None:
        """Add a stream to the walk where it costs least. Add streams with the shortest intervals first."""
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
        """Return the additional requests an hour if one walk every `hours` also reads this stream."""
        with_it = pages((walk.rate + rate) * (hours + GRACE_HOURS))
        return (with_it - pages(walk.rate * (walk.hours + GRACE_HOURS))) / hours


def _samples_per_hour(bot: BotConfig) -> float:
    """Return how many requests an hour a bot's samples take at most; bots do not share samples."""
    if bot.listing == BotConfig.Listing.NEW:
        return 0.0
    runs = HOUR / freshness_of(bot)
    return runs * len(pack_names(bot.subreddits)) * ceil(bot.item_limit / PAGE_SIZE)


def _learned(wanted: Iterable[StreamKey]) -> dict[StreamKey, float]:
    """Return the average items an hour over a day, for the streams with learned rates."""
    keys = set(wanted)
    streams = Stream.objects.named(name for name, _ in keys).exclude(arrivals_per_hour=None)
    return {
        key: sum(map(Rates.of(stream).at, range(HOURS))) / HOURS
        for stream in streams.select_related("subreddit")
        if (key := (stream.subreddit.name.lower(), stream.kind)) in keys
    }
