"""60 bots watch 200 subreddits for two virtual hours: their requests, and the items they miss.

The simulator makes 20 posts and 100 comments an hour in a subreddit on average, with a heavy tail.
Four more subreddits cannot be read, but bots watch them, too. The bots share one Reddit app, have
overlapping lists and want everything within five minutes. Each bot runs when its schedule would
fire it: every five minutes, from a moment of its own. It runs
`scraping.sessions.services.scrape_bot` under its lock, in one process, over HTTP. Between two runs
the benchmark moves the simulator's clock, and with it the time that Django reads; nothing else is
replaced. PostgreSQL's clock, which the budget uses, cannot be moved. So the app gets more requests
than Reddit would grant; `fleet_requests_per_minute`, the most requests in one virtual minute, shows
whether Reddit's 100 would have been enough.

`requests_per_1000_items`: the requests that reached the simulator, by its own journal, for each
1,000 new items. The first read of all bots is not counted. The minimum is 10, because a page holds
100 items.

`fleet_missed_items`: the items that are neither stored nor in a recorded gap, of all that stand on
Reddit at the end and of all that could be read for five minutes; plus stored items that never
existed. The simulator's own account decides. An item that moderators let through late appears
further down in a listing; the daily deep walk of each stream of posts finds it, and of each stream
of comments a deep walk every third day. At the end, each stream has its deep walk. The world has a
short past, so these walks are shorter than on a real day. `fleet_deep_walk_requests` is therefore
estimated for a day from the learned rates: one request for each 100 items of a day and a half, or
of the 1,000 that Reddit lists. It is the number that was sent, if that is larger. The share of two
hours in 24 counts. Nobody could find an item that was let through late and disappeared before the
walk; `fleet_missed_approved_late` is how many missed items were let through late.
`fleet_p95_minutes`: 95 of 100 items were stored within so many minutes after they could be read.

`requests_vs_usual`: how many times as many requests for each 1,000 items the usual way needs. The
usual way is PRAW: a page of 100 new posts of each subreddit every five minutes, and `replace_more`
for each post whose number of comments has changed since the last look. It runs beside the fleet, at
the same moments of the same world, on every twelfth subreddit by traffic, because on all of them it
would take hours. Its requests for each 1,000 items there stand for all subreddits.
"""

import random
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from unittest import mock

from benchmarks._database import own_database
from scraping.simulator.server import SimulatorServer

FRESHNESS = 300
HOUR = 3600
PAGE = 100
# 2026-03-10 12:00:00 UTC
START = 1_773_144_000
# The most runs that a whole round of deep walks may take.
DEEP_WALKS = 100
# How many items of each stream the first read takes.
FIRST_READ = 100
CLIENT, USUAL_CLIENT = "fleet", "usual"
TERMS = (
    "python", "climate", "rent", "election", "recipe", "telescope", "bicycle", "battery", "novel",
    "startup", "harbour", "vaccine", "guitar", "satellite", "garden", "visa", "refund", "outage",
)  # fmt: skip


@dataclass(frozen=True)
class Size:
    """The size of the measurement. Four of the subreddits cannot be read."""

    subreddits: int = 204
    bots: int = 60
    watched: tuple[int, int] = (8, 40)
    hours: float = 2.0
    history_hours: float = 4.0
    usual_share: int = 12


TINY = Size(subreddits=28, bots=4, watched=(4, 12), hours=0.5, history_hours=2.0, usual_share=9)


class VirtualTime:
    """The simulator's clock and, with it, Django's: both stand still until they are moved."""

    def __init__(self, simulator: SimulatorServer, start: float) -> None:
        self._simulator = simulator
        self.now = start

    def move_to(self, moment: float) -> None:
        """Move both clocks to a moment, in seconds since the epoch."""
        self._simulator.control("clock", {"advance": moment - self.now})
        self.now = moment

    @contextmanager
    def ruling(self) -> Iterator[None]:
        """Make Django's `timezone.now` return this time."""
        with mock.patch("django.utils.timezone.now", self._moment):
            yield

    def _moment(self) -> datetime:
        return datetime.fromtimestamp(self.now, UTC)


class UsualCollector:
    """Collects a few subreddits the usual way, with PRAW, and counts the items it finds."""

    def __init__(self, url: str, names: Sequence[str]) -> None:
        import praw

        self._reddit = praw.Reddit(
            client_id=USUAL_CLIENT,
            client_secret="a secret",
            user_agent="linux:org.example.usual:1.0 (by /u/someone)",
            reddit_url=url,
            oauth_url=url,
            check_for_updates=False,
        )
        self._names = names
        self._comments: dict[str, int] = {}
        self.found: set[str] = set()

    def begin(self) -> None:
        """Look once, so that existing items do not count as new."""
        for post in self._posts():
            self._comments[post.fullname] = post.num_comments

    def poll(self) -> None:
        """Look for new posts and comments."""
        for post in self._posts():
            self._find(post)
            if self._comments.get(post.fullname, 0) != post.num_comments:
                self._comments[post.fullname] = post.num_comments
                post.comments.replace_more(limit=None)
                for comment in post.comments.list():
                    self._find(comment)

    def _posts(self) -> Iterator[Any]:
        for name in self._names:
            yield from self._reddit.subreddit(name).new(limit=100)

    def _find(self, item: Any) -> None:
        if item.created_utc >= START:
            self.found.add(item.fullname)


def run(size: Size = Size()) -> dict[str, float]:
    """Measure, for about three minutes."""
    with (
        SimulatorServer(
            process=True,
            control=True,
            start=START,
            speed=0,
            seed=5,
            budget=None,
            subreddits=size.subreddits,
            posts_per_hour=20.0,
            comments_per_post=5.0,
            history_hours=size.history_hours,
        ) as simulator,
        own_database(),
    ):
        time = VirtualTime(simulator, START)
        with time.ruling():
            return _measure(simulator, time, size)


def _measure(simulator: SimulatorServer, time: VirtualTime, size: Size) -> dict[str, float]:
    from django.test import override_settings

    from bots.models import LISTING_CAP, BotConfig
    from scraping.models import RedditComment, RedditPost
    from tests.scraping.truth import appeared, reckon

    statuses = simulator.control("")["subreddits"]
    readable = [name for name, status in statuses.items() if status == "ok"]
    bots = _bots(list(statuses), size)
    usual = UsualCollector(simulator.url, _by_traffic(simulator, readable)[:: size.usual_share])
    with override_settings(SIMULATOR_URL=simulator.url):
        for bot_id in bots.values():
            _scrape(bot_id)
        BotConfig.objects.update(item_limit=LISTING_CAP)
        usual.begin()
        before, stored = (
            _requests(simulator),
            RedditPost.objects.count() + RedditComment.objects.count(),
        )
        busiest = _run_schedules(simulator, time, bots, usual, size)
        after = _requests(simulator)
        new = RedditPost.objects.count() + RedditComment.objects.count() - stored
        deep = _walk_deep()
    sent = sum((after[CLIENT] - before[CLIENT]).values()) + deep * size.hours / 24
    fleet = sent / new * 1000
    others = sum((after[USUAL_CLIENT] - before[USUAL_CLIENT]).values()) / len(usual.found) * 1000
    reckoning = reckon(simulator, readable, since=START, stood_for=FRESHNESS, approved_within=0)
    standing = reckon(simulator, readable, since=START)
    missing = {item["fullname"]: item for item in [*reckoning.missing, *standing.missing]}
    return {
        "requests_per_1000_items": fleet,
        "requests_vs_usual": others / fleet,
        "usual_requests_per_1000_items": others,
        "fleet_missed_items": float(len(missing) + len(standing.invented)),
        "fleet_missed_approved_late": float(
            sum(item["visible_from"] > item["created_utc"] for item in missing.values())
        ),
        "fleet_deep_walk_requests": deep,
        **{
            f"fleet_{kind}_requests": float(sent)
            for kind, sent in (after[CLIENT] - before[CLIENT]).items()
        },
        "fleet_in_gaps": float(sum(len(stream.in_gaps) for stream in reckoning)),
        "fleet_items": float(new),
        "fleet_requests_per_minute": float(busiest),
        "fleet_p95_minutes": _p95_delay(reckoning, appeared) / 60,
    }


def _bots(names: Sequence[str], size: Size) -> dict[float, int]:
    """Create the bots; return their ids by the seconds after START at which each first runs."""
    from accounts.models import User
    from bots.models import BotConfig, RedditApp

    chance = random.Random(5)
    owner = User.objects.create_user("bench@example.org")
    app = RedditApp.objects.create(
        owner=owner,
        name="fleet",
        service=RedditApp.Service.SIMULATOR,
        client_id=CLIENT,
        client_secret="a secret",
        user_agent="linux:org.example.lurker:1.0 (by /u/someone)",
        requests_per_minute=1_000_000,
    )
    # Well-known subreddits are on many lists, and each subreddit is on at least one.
    lists = [
        set(
            chance.choices(
                names,
                [1 / (rank + 5) for rank in range(len(names))],
                k=chance.randint(*size.watched),
            )
        )
        for _ in range(size.bots)
    ]
    for index, name in enumerate(names):
        lists[index % size.bots].add(name)
    bots = BotConfig.objects.bulk_create(
        BotConfig(
            owner=owner,
            reddit_app=app,
            name=f"bot {number}",
            subreddits=sorted(wanted),
            comments=BotConfig.Comments.STREAM,
            include_terms=chance.sample(TERMS, 4),
            item_limit=FIRST_READ,
            every=FRESHNESS // 60,
            period=BotConfig.Period.MINUTES,
        )
        for number, wanted in enumerate(lists)
    )
    return {chance.uniform(0, FRESHNESS): bot.pk for bot in bots}


def _by_traffic(simulator: SimulatorServer, names: Sequence[str]) -> list[str]:
    traffic = Counter()
    for name in names:
        answer = simulator.control(f"truth?subreddit={name}&since={START - 2 * HOUR}")
        traffic[name] = len(answer["items"])
    return [name for name, _ in traffic.most_common()]


def _run_schedules(
    simulator: SimulatorServer,
    time: VirtualTime,
    bots: dict[float, int],
    usual: UsualCollector,
    size: Size,
) -> int:
    """Run each bot at its moments; return the most requests in one virtual minute."""
    latest: deque[tuple[float, int]] = deque()
    busiest = 0
    for start in range(START, START + int(size.hours * HOUR), FRESHNESS):
        for phase in sorted(bots):
            time.move_to(start + phase)
            latest.append((time.now, _scrape(bots[phase])))
            while latest[0][0] <= time.now - 60:
                latest.popleft()
            busiest = max(busiest, sum(requests for _, requests in latest))
        time.move_to(start + FRESHNESS)
        usual.poll()
    return busiest


def _walk_deep() -> float:
    """Give each stream its deep walk; return the requests of a day (see the module's docstring)."""
    from scraping.completing.deep_walks import INTERVALS

    return sum(_walk_deep_all(kind) / interval for kind, interval in INTERVALS.items())


def _walk_deep_all(kind: str) -> float:
    from django.utils import timezone

    from bots.models import LISTING_CAP, RedditApp
    from scraping.completing.deep_walks import DEPTH, walk_deep
    from scraping.models import Stream

    streams = Stream.objects.filter(kind=kind)
    hours = DEPTH.total_seconds() / HOUR
    rates = streams.values_list("arrivals_per_hour", flat=True)
    reckoned = sum(min(LISTING_CAP, (rate or 0.0) * hours) for rate in rates) / PAGE
    # The streams of the other kind have had their deep walk.
    Stream.objects.update(deep_read_at=timezone.now())
    streams.update(deep_read_at=None)
    app = RedditApp.objects.get()
    sent = 0
    for _ in range(DEEP_WALKS):
        walked = walk_deep(app)
        sent += walked.requests
        if not walked.due:
            return max(reckoned, float(sent))
    raise RuntimeError(f"There are streams to be read after {DEEP_WALKS} deep walks: {walked}")


def _scrape(bot_id: int) -> int:
    """Run a session as the job does; return its requests."""
    from scraping.sessions import services

    return services.scrape_bot(bot_id, trigger="schedule").requests


def _requests(simulator: SimulatorServer) -> dict[str, Counter[str]]:
    """Return the number of requests by client and kind, with those for tokens."""
    clients = simulator.control("requests?limit=0")["clients"]
    return {
        client: Counter({kind: sum(statuses.values()) for kind, statuses in kinds.items()})
        for client, kinds in clients.items()
    }


def _p95_delay(reckoning: Any, appeared: Callable[[dict[str, Any]], float]) -> float:
    """Return the 95th percentile of the seconds from when an item can be read until it is stored."""
    from scraping.models import RedditComment, RedditPost

    due = {name: item for stream in reckoning for name, item in stream.exist.items()}
    delays = sorted(
        seen.timestamp() - appeared(due[fullname])
        for model in (RedditPost, RedditComment)
        for fullname, seen in model.objects.values_list("fullname", "first_seen_at")
        if fullname in due
    )
    return delays[len(delays) * 95 // 100]
