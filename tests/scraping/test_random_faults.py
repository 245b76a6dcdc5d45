"""Any sequence of what may happen: at its end, what exists is what is stored or lies in a gap.

Posting, deleting, late approvals, subreddits that close and open, faults at any step, and things that
happen between two pages of a walk; in between, sessions and deep walks. The sequences are Hypothesis's,
the same in each run.
"""

from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bots.models import RedditApp
from scraping.budget import clients
from scraping.collecting import silent_members
from scraping.completing.deep_walks import walk_deep
from scraping.coverage import walk
from scraping.models import RequestBudget, Stream, Subreddit
from scraping.reddit import client
from scraping.sessions import services
from tests import clean_database
from tests.factories import BotFactory
from tests.scraping.faults import ANSWERS
from tests.scraping.still_reddit import still_reddit
from tests.scraping.truth import reckon

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

NAMES = ("python", "berlin")
HOUR = 3600
# Small pages, so that walks of small worlds have many. By fewer expected items a page shows a hole.
PAGE_SIZE = 20
EXPECTED = 4
# What takes long on purpose has its place in `test_fault_matrix`.
SLOW = ("latency", "drip", "rate_headers")
FAULTS = [
    name
    for name, answer in ANSWERS.items()
    if answer["kind"] not in SLOW and answer.get("status") != 429
]

subreddits = st.sampled_from(NAMES)
statuses = st.sampled_from(["private", "banned", "ok"])
acts = st.one_of(
    st.tuples(st.just("wait"), st.sampled_from([0.1, 1])),
    st.tuples(st.just("post"), subreddits, st.integers(1, 40)),
    st.tuples(st.just("delete"), subreddits, st.integers(0, 60), st.integers(1, 30)),
    st.tuples(st.just("hold"), subreddits, st.integers(1, 5)),
    st.tuples(st.just("approve")),
    st.tuples(st.just("status"), subreddits, statuses),
    st.tuples(st.just("expire")),
)
pages = st.integers(1, 8)
faults = st.tuples(
    st.sampled_from(FAULTS),
    st.sampled_from(["/new", "/comments", "/(new|comments)", "access_token", "/api/info"]),
    st.integers(0, 5),
    st.sampled_from([1, 3, None]),
)


@st.composite
def blinks(draw):
    """A subreddit that closes after one page of a session, and opens after a later one."""
    name, page = draw(subreddits), draw(st.integers(0, 6))
    opens = page + draw(st.integers(1, 8))
    return [(page, ("status", name, "private")), (opens, ("status", name, "ok"))]


@st.composite
def rounds(draw):
    """Some time passes, things happen, and a session or a deep walk meets faults and changes."""
    return {
        "hours": draw(st.sampled_from([0.2, 1, 2, 4])),
        "before": draw(st.lists(acts, max_size=2)),
        "fault": draw(st.none() | faults),
        "during": draw(st.lists(st.tuples(pages, acts), max_size=2)) + draw(st.just([]) | blinks()),
        "reader": draw(st.sampled_from(["session", "session", "session", "deep"])),
        "clears": draw(st.booleans()),
    }


class World:
    """The simulator, a bot of two subreddits, and what was done to them."""

    def __init__(self, reddit, patch):
        self.reddit = reddit
        self.passed = timedelta()
        now = timezone.now
        patch.setattr(timezone, "now", lambda: now() + self.passed)
        # Posts that moderators hold back, and all that they ever did: only deep walks find those.
        self.held = []
        self.late = set()
        self.bot = BotFactory(subreddits=list(NAMES), comments="stream")
        assert self.session([]).status == "completed"
        self.since = reddit.control("")["now"]

    def wait(self, hours):
        self.passed += timedelta(hours=hours)
        self.reddit.control("clock", {"advance": hours * HOUR})

    def post(self, name, count):
        for _ in range(count):
            self.reddit.control("items", {"subreddit": name, "title": "A post"})
            self.reddit.control("clock", {"advance": 1})

    def delete(self, name, first, count):
        """Posts of the last hours, from so many below the newest."""
        items = self.reddit.control(f"truth?subreddit={name}&kind=t3")["items"]
        live = [item["fullname"] for item in items if item["state"] == "live"]
        for fullname in live[::-1][first : first + count]:
            self.reddit.control(f"items/{fullname}", {"action": "delete"})

    def hold(self, name, count):
        for _ in range(count):
            made = self.reddit.control("items", {"subreddit": name, "title": "Held back"})
            self.reddit.control(f"items/{made['fullname']}", {"action": "remove"})
            self.held.append(made["fullname"])

    def approve(self):
        for fullname in self.held:
            self.reddit.control(f"items/{fullname}", {"action": "approve"})
        self.late |= set(self.held)
        self.held = []

    def status(self, name, status):
        self.reddit.control("subreddits", {"name": name, "status": status})

    def expire(self):
        self.reddit.control("tokens/expire", {})

    def fault(self, answer, path, skip, times):
        when = {"path": path, "skip": skip} | ({"times": times} if times else {})
        self.reddit.control("faults", ANSWERS[answer] | when)

    def do(self, act):
        name, *arguments = act
        return getattr(self, name)(*arguments)

    def session(self, acts):
        watch = self.between_pages(acts)
        return services.scrape_bot(self.bot.pk, trigger="manual", on_progress=watch)

    def deep(self, acts):
        Stream.objects.update(deep_read_at=None)
        return walk_deep(self.bot.reddit_app, on_page=self.between_pages(acts))

    def between_pages(self, acts):
        """Do what is to be done before the first page; make a watcher that does the rest."""
        read = 0

        def watch(progress):
            nonlocal read
            for _, act in [pair for pair in acts if pair[0] == read]:
                self.do(act)
            read += 1

        watch(None)
        return watch

    def round(self, plan):
        self.wait(plan["hours"])
        for act in plan["before"]:
            self.do(act)
        if plan["fault"]:
            self.fault(*plan["fault"])
        getattr(self, plan["reader"])(plan["during"])
        self.check_claims()
        if plan["clears"]:
            self.reddit.control("faults", method="DELETE")

    def check_claims(self):
        """What lies below the watermarks is stored or in a gap."""
        for stream in Stream.objects.select_related("subreddit"):
            balance = reckon(
                self.reddit,
                [stream.subreddit.name],
                since=self.since,
                until=stream.watermark.timestamp(),
                approved_within=0,
                kinds=[stream.kind],
            )
            assert balance.invented == []
            if {item["fullname"] for item in balance.missing} - self.late:
                balance.check()

    def come_to_rest(self):
        """All faults have passed, and each pause has: what is left to do is done in the next round."""
        self.reddit.control("faults", method="DELETE")
        for name in NAMES:
            self.status(name, "ok")
        self.wait(2)
        self.approve()
        RedditApp.objects.update(refused_at=None)
        RequestBudget.objects.all().delete()
        Subreddit.objects.update(status_since=F("status_since") - timedelta(days=1))
        Subreddit.objects.update(probed_at=F("probed_at") - timedelta(days=2))


@pytest.fixture
def small_pages(monkeypatch, settings, no_pauses):
    monkeypatch.setattr(client, "PAGE_SIZE", PAGE_SIZE)
    monkeypatch.setattr(walk, "PAGE_SIZE", PAGE_SIZE)
    monkeypatch.setattr(silent_members, "EXPECTED", EXPECTED)
    settings.REDDIT_BUDGET_WAIT_SECONDS = 5
    return settings


@settings(
    max_examples=18,
    derandomize=True,
    deadline=None,
    # A sequence takes seconds: a failing one is shown as it was found.
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(plans=st.lists(rounds(), min_size=2, max_size=5))
def test_the_equation_holds_after_any_sequence(small_pages, plans):
    clean_database.restore()
    with (
        still_reddit(history_hours=4, posts_per_hour=12, comments_per_post=1) as reddit,
        pytest.MonkeyPatch.context() as patch,
    ):
        small_pages.SIMULATOR_URL = reddit.url
        world = World(reddit, patch)
        for plan in plans:
            world.round(plan)
        world.come_to_rest()
        session = world.session([])
        assert session.status in ("completed", "partial"), (session.error, session.outcomes)
        world.deep([])
        reckon(reddit, NAMES, since=world.since).check()
        clients.close_all()
