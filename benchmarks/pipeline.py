"""The whole path of an item, from HTTP to its matches, against the usual way, on the same pages.

One session of a bot reads some 200 full pages of posts and comments from a simulator with an
unlimited budget, into empty tables. The path has permits, HTTP, JSON, parsing, storing, matching
for 60 bots that watch the same subreddits with 20 terms each, the ledger and the session.
`pipeline_items_per_s` is the rate of one worker process in wall-clock time, with PostgreSQL's
share: the median of three rounds. The simulator runs on its own core and has rendered every page
before.

The usual way walks the same listings with PRAW's objects, calls Django's `update_or_create` for
each item with the same columns, and looks for each bot's terms with one regular expression. Each
round measures a part of the posts and comments, and extrapolates to all. `pipeline_vs_usual`: how
many times as long the usual way takes. `pipeline_vs_usual_unmatched`: the same if the usual way
matches nothing, while Lurker still does.
"""

import os
import random
import re
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from benchmarks._database import own_database
from scraping.simulator.server import SimulatorServer

ROUNDS = 3
# 2026-03-10 12:00:00 UTC
START = 1_773_144_000


@dataclass(frozen=True)
class Size:
    """The size of the measurement; `one_by_one` items of each kind are stored the usual way."""

    subreddits: int = 24
    bots: int = 60
    history_hours: float = 24.0
    one_by_one: int = 700


TINY = Size(bots=3, history_hours=1.0, one_by_one=20)


def run(size: Size = Size()) -> dict[str, float]:
    """Measure, for about a minute."""
    with (
        _cores() as (theirs, ours),
        SimulatorServer(
            process=True,
            cpus=theirs,
            control=True,
            start=START,
            speed=0,
            seed=7,
            budget=None,
            subreddits=size.subreddits,
            posts_per_hour=20.0,
            comments_per_post=5.0,
            history_hours=size.history_hours,
        ) as simulator,
        own_database(),
    ):
        if ours:
            os.sched_setaffinity(0, ours)
        return _measure(simulator, size)


@contextmanager
def _cores() -> Iterator[tuple[set[int] | None, set[int] | None]]:
    """Yield a core for the simulator and one for this process, if there are two to choose from."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    if len(cores) < 2:
        yield None, None
        return
    try:
        yield {min(cores)}, {max(cores)}
    finally:
        os.sched_setaffinity(0, cores)


def _measure(simulator: SimulatorServer, size: Size) -> dict[str, float]:
    from django.test import override_settings

    from scraping.models import BotItem, RedditComment, RedditPost
    from scraping.sessions import services

    statuses = simulator.control("")["subreddits"]
    names = [name for name, status in statuses.items() if status == "ok"]
    bot_id = _bots(names, size)

    def session() -> None:
        services.scrape_bot(bot_id, trigger="schedule")

    usual = UsualCollector(simulator.url, names)
    seconds, ratios, unmatched = [], [], []
    with override_settings(SIMULATOR_URL=simulator.url):
        session()  # renders pages, compiles terms, opens connections
        for _ in range(ROUNDS):
            seconds.append(_seconds(session))
            posts, comments = RedditPost.objects.count(), RedditComment.objects.count()
            matches = BotItem.objects.count()
            others, matching = _usual_seconds(usual, size.one_by_one, new=posts, comments=comments)
            ratios.append(others / seconds[-1])
            unmatched.append((others - matching) / seconds[-1])
    items = posts + comments
    return {
        "pipeline_items_per_s": items / statistics.median(seconds),
        "pipeline_vs_usual": statistics.median(ratios),
        "pipeline_vs_usual_unmatched": statistics.median(unmatched),
        "pipeline_items": float(items),
        "pipeline_matches_per_item": matches / items,
    }


def _usual_seconds(usual: "UsualCollector", sample: int, **numbers: int) -> tuple[float, float]:
    """Return how long the usual way would take for so many items, from a sample of each kind.

    The second value is the part that its matching takes.
    """
    total = matching = 0.0
    for kind, number in numbers.items():
        seconds = _seconds(lambda kind=kind: usual.collect(kind, sample))
        total += seconds / usual.collected * number
        matching += usual.matching_seconds / usual.collected * number
    return total, matching


def _bots(names: list[str], size: Size) -> int:
    """Create bots with terms of their own that watch everything; return the id of the first."""
    from accounts.models import User
    from bots.models import BotConfig, RedditApp

    chance = random.Random(7)
    owner = User.objects.create_user("bench@example.org")
    app = RedditApp.objects.create(
        owner=owner,
        name="pipeline",
        service=RedditApp.Service.SIMULATOR,
        client_id="pipeline",
        client_secret="a secret",
        user_agent="linux:org.example.lurker:1.0 (by /u/someone)",
        requests_per_minute=1_000_000,
    )
    bots = BotConfig.objects.bulk_create(
        BotConfig(
            owner=owner,
            reddit_app=app,
            name=f"bot {number}",
            subreddits=names,
            comments=BotConfig.Comments.STREAM,
            include_terms=_terms(chance),
        )
        for number in range(size.bots)
    )
    return bots[0].pk


def _terms(chance: random.Random) -> list[str]:
    """Return rare words, phrases of two and three words, and a pattern.

    Simulated people have a small vocabulary: a single word of it would match every other item.
    """
    from scraping.simulator.text import LANGUAGES

    words = [word for word in LANGUAGES["en"].words if word.isalpha()]

    def phrases(number: int, length: int, space: str = " ") -> list[str]:
        return [space.join(chance.sample(words, length)) for _ in range(number)]

    pattern = r"re:\b{} \w+ {}\b".format(*chance.sample(words, 2))
    return [*phrases(8, 2, space=""), *phrases(6, 2), *phrases(5, 3), pattern]


class UsualCollector:
    """Collects the usual way: with PRAW's objects, and a query or two for each item."""

    def __init__(self, url: str, names: list[str]) -> None:
        import praw

        from bots.models import BotConfig

        reddit = praw.Reddit(
            client_id="usual",
            client_secret="a secret",
            user_agent="linux:org.example.usual:1.0 (by /u/someone)",
            reddit_url=url,
            oauth_url=url,
            check_for_updates=False,
        )
        self._listings = reddit.subreddit("+".join(names))
        self._subreddits: dict[str, Any] = {}
        self._patterns = [
            (bot.pk, re.compile("|".join(map(self._pattern, bot.include_terms)), re.IGNORECASE))
            for bot in BotConfig.objects.all()
        ]
        self.collected = 0
        self.matching_seconds = 0.0

    @staticmethod
    def _pattern(term: str) -> str:
        return term.removeprefix("re:") if term.startswith("re:") else rf"\b{re.escape(term)}\b"

    def collect(self, kind: str, most: int) -> None:
        """Store the newest `most` items of a kind, `new` or `comments`."""
        from scraping.models import RedditComment, RedditPost

        self.collected = 0
        self.matching_seconds = 0.0
        listing = getattr(self._listings, kind)(limit=None)
        for item in islice(listing, most):
            row = self._common(item)
            if kind == "new":
                RedditPost.objects.update_or_create(
                    fullname=item.fullname, defaults=row | self._post(item)
                )
            else:
                RedditComment.objects.update_or_create(
                    fullname=item.fullname, defaults=row | self._comment(item)
                )
            began = time.perf_counter()
            self._match(item)
            self.matching_seconds += time.perf_counter() - began
            self.collected += 1

    def _match(self, item: Any) -> None:
        from scraping.models import BotItem

        texts = (item.title, item.selftext) if item.fullname.startswith("t3_") else (item.body,)
        for bot_id, pattern in self._patterns:
            found = {word.lower() for text in texts for word in pattern.findall(text)}
            if found:
                BotItem.objects.update_or_create(
                    bot_id=bot_id,
                    fullname=item.fullname,
                    defaults={
                        "matched_terms": sorted(found),
                        "matched_at": datetime.fromtimestamp(item.created_utc, UTC),
                    },
                )

    def _common(self, item: Any) -> dict[str, Any]:
        from scraping.models import Subreddit

        name = item.subreddit.display_name
        if name not in self._subreddits:
            self._subreddits[name] = Subreddit.objects.get(name=name)
        created_at = datetime.fromtimestamp(item.created_utc, UTC)
        return {
            "subreddit": self._subreddits[name],
            "author": item.author.name if item.author else "[deleted]",
            "author_fullname": getattr(item, "author_fullname", ""),
            "author_flair_text": item.author_flair_text,
            "created_at": created_at,
            "edited": bool(item.edited),
            "edited_at": datetime.fromtimestamp(item.edited, UTC) if item.edited else None,
            "score": item.score,
            "distinguished": item.distinguished,
            "stickied": item.stickied,
            "locked": item.locked,
            "archived": item.archived,
            "permalink": item.permalink,
            "first_seen_at": created_at,
            "refreshed_at": created_at,
        }

    @staticmethod
    def _post(item: Any) -> dict[str, Any]:
        columns = (
            "title", "selftext", "url", "domain", "link_flair_text", "num_comments", "upvote_ratio",
            "num_crossposts", "over_18", "spoiler", "is_self", "is_video", "quarantine",
        )  # fmt: skip
        return {name: getattr(item, name) for name in columns} | {"score_hidden": item.hide_score}

    @staticmethod
    def _comment(item: Any) -> dict[str, Any]:
        return {
            "body": item.body,
            "link_fullname": item.link_id,
            "parent_fullname": item.parent_id,
            "is_submitter": item.is_submitter,
            "controversiality": item.controversiality,
            "score_hidden": item.score_hidden,
        }


def _seconds(work: Callable[[], Any]) -> float:
    """Empty the tables, and return the seconds that the work takes."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE scraping_redditpost, scraping_redditcomment, scraping_botitem, "
            "scraping_stream CASCADE"
        )
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
