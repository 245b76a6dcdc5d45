"""Whatever goes wrong at whatever step: what exists is what is stored and what lies in recorded gaps.

Two times are looked at. Right after the fault nothing may be claimed that is not so: all that lies
below a stream's watermark is stored or in a gap. And when the fault has passed, the next session
brings the rest, without anybody's help.
"""

import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from scraping.budget import clients
from scraping.collecting import silent_members
from scraping.completing.deep_walks import walk_deep
from scraping.coverage import walk
from scraping.models import RedditPost, ScrapeSession, Stream
from scraping.reddit import client
from scraping.sessions import services
from scraping.simulator.faults import KINDS
from tests.factories import BotFactory
from tests.scraping.faults import ANSWERS, hits, hurry_with
from tests.scraping.still_reddit import still_reddit
from tests.scraping.truth import reckon

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

NAMES = ("python", "berlin")
HOUR = 3600
PAGE_SIZE = 20
# What moderators let through later than this is found by deep walks, which are not what is tested here.
AT_ONCE = 30
# By these it is seen that a fault was met, and how often.
LISTINGS = "/(new|comments)"

STEPS = {
    "the token": {"path": "access_token"},
    "the first page": {"path": LISTINGS},
    "the second page": {"path": LISTINGS, "skip": 1},
    "a later page": {"path": LISTINGS, "skip": 3},
}


@pytest.fixture
def reddit(settings, monkeypatch):
    """A small world with small pages: a few items make a walk of many pages."""
    monkeypatch.setattr(client, "PAGE_SIZE", PAGE_SIZE)
    monkeypatch.setattr(walk, "PAGE_SIZE", PAGE_SIZE)
    monkeypatch.setattr(silent_members, "EXPECTED", 3)
    settings.REDDIT_BUDGET_WAIT_SECONDS = 5
    with still_reddit(
        subreddits=5, history_hours=4, posts_per_hour=11, comments_per_post=2
    ) as server:
        settings.SIMULATOR_URL = server.url
        yield server


@pytest.fixture
def wait(reddit, monkeypatch):
    """Let hours pass, on Reddit and here."""
    passed = timedelta()
    now = timezone.now

    def wait(hours):
        nonlocal passed
        passed += timedelta(hours=hours)
        reddit.control("clock", {"advance": hours * HOUR})

    monkeypatch.setattr(timezone, "now", lambda: now() + passed)
    return wait


@pytest.fixture
def bot(reddit):
    bot = BotFactory(subreddits=list(NAMES), comments="stream")
    assert run(bot).status == "completed"
    return bot


def run(bot, **options):
    return services.scrape_bot(bot.pk, trigger="manual", **options)


def check_claims(reddit, since):
    """What lies below the watermarks is stored or in a gap, whatever the session came to."""
    for stream in Stream.objects.select_related("subreddit"):
        watermark = stream.watermark.timestamp()
        reckon(
            reddit,
            [stream.subreddit.name],
            since=since,
            until=watermark,
            approved_within=AT_ONCE,
            kinds=[stream.kind],
        ).check()


def check_all(reddit, since):
    balance = reckon(reddit, NAMES, since=since, approved_within=AT_ONCE)
    balance.check()
    return balance


def test_each_fault_of_the_control_endpoint_is_here():
    assert {fault["kind"] for fault in ANSWERS.values()} == set(KINDS)


class TestEveryAnswerAtEveryStep:
    @pytest.mark.parametrize("answer", ANSWERS)
    def test_a_fault_for_a_whole_session(self, answer, bot, reddit, wait, settings, no_pauses):
        since = reddit.control("")["now"]
        for step, where in STEPS.items():
            wait(3)
            if step == "the token":
                reddit.control("tokens/expire", {})
            reddit.control("faults", {**ANSWERS[answer], **where})

            with hurry_with(ANSWERS[answer], settings):
                session = run(bot)

            assert hits(reddit), f"{step} was never asked for"
            assert session.status in ("completed", "partial", "failed")
            check_claims(reddit, since)

            reddit.control("faults", method="DELETE")
            # What was taken for a subreddit's state or for bad credentials is asked again in time.
            wait(2)
            again = run(bot)

            assert again.status == "completed", (step, again.error, again.outcomes)
            assert check_all(reddit, since).exist > 100


class TestReddit:
    """What Reddit itself may do between two pages, or between two sessions."""

    @pytest.fixture
    def since(self, bot, reddit):
        return reddit.control("")["now"]

    def at_page(self, number, act):
        """Make a watcher of a session's progress that acts after so many pages."""
        pages = 0

        def watch(progress):
            nonlocal pages
            pages += 1
            if pages == number:
                act()

        return watch

    def newest(self, count=1, oldest=False):
        """Posts that are stored, the newest first: those on which a cursor may hang."""
        posts = RedditPost.objects.filter(subreddit__name__iexact="python").order_by("-created_at")
        return list(
            (posts.reverse() if oldest else posts).values_list("fullname", flat=True)[:count]
        )

    @pytest.mark.parametrize("page", [1, 2, 3])
    def test_the_anchor_of_a_cursor_is_deleted(self, page, bot, reddit, wait, since):
        def delete():
            listed = RedditPost.objects.filter(first_seen_at__gte=began).order_by("created_at")
            for fullname in listed.values_list("fullname", flat=True)[:3]:
                reddit.control(f"items/{fullname}", {"action": "delete"})

        wait(3)
        began = timezone.now()
        run(bot, on_progress=self.at_page(page, delete))
        check_claims(reddit, since)
        wait(1)
        run(bot)
        check_all(reddit, since)

    def test_all_that_overlap_is_proven_by_is_deleted(self, bot, reddit, wait, since):
        for fullname in self.newest(60):
            reddit.control(f"items/{fullname}", {"action": "delete"})
        wait(3)
        run(bot)
        check_all(reddit, since)

    @pytest.mark.parametrize("page", [1, 3])
    def test_items_arrive_while_it_reads(self, page, bot, reddit, wait, since):
        wait(3)
        run(bot, on_progress=self.at_page(page, lambda: wait(1)))
        check_claims(reddit, since)
        run(bot)
        check_all(reddit, since)

    @pytest.mark.parametrize("page", [0, 1, 3])
    @pytest.mark.parametrize("state", ["private", "quarantined", "banned", "missing"])
    def test_a_subreddit_is_closed_for_an_hour(self, state, page, bot, reddit, wait, since):
        def close():
            reddit.control("subreddits", {"name": "berlin", "status": state})

        wait(3)
        if page == 0:
            close()
        run(bot, on_progress=self.at_page(page, close))
        check_claims(reddit, since)
        wait(1)
        run(bot)
        check_claims(reddit, since)
        reddit.control("subreddits", {"name": "berlin", "status": "ok"})
        wait(2)
        again = run(bot)
        assert again.status == "completed", again.outcomes
        check_all(reddit, since)

    @pytest.mark.parametrize("page", [0, 1, 3])
    def test_a_subreddit_is_gated_for_an_hour(self, page, bot, reddit, wait, since):
        """Nothing but a request for it alone shows that: what it lacks the next deep walk finds."""

        def close():
            reddit.control("subreddits", {"name": "berlin", "status": "gated"})

        wait(3)
        if page == 0:
            close()
        run(bot, on_progress=self.at_page(page, close))
        wait(1)
        run(bot)
        reddit.control("subreddits", {"name": "berlin", "status": "ok"})
        wait(24)
        run(bot)
        walk_deep(bot.reddit_app)
        check_all(reddit, since)

    @pytest.mark.parametrize("page", [1, 3])
    def test_the_token_ends_in_mid_walk(self, page, bot, reddit, wait, since):
        wait(3)
        expire = self.at_page(page, lambda: reddit.control("tokens/expire", {}))
        assert run(bot, on_progress=expire).status == "completed"
        check_all(reddit, since)

    def test_more_arrives_than_reddit_lists(self, bot, reddit, wait, since, monkeypatch):
        # Reddit lists 1,000 items of a subreddit. This small world needs days to have more.
        monkeypatch.setattr(client, "PAGE_SIZE", 100)
        monkeypatch.setattr(walk, "PAGE_SIZE", 100)
        wait(5 * 24)
        session = run(bot)
        assert session.status == "partial"
        assert session.gaps_opened
        balance = check_all(reddit, since)
        assert sum(len(stream.in_gaps) for stream in balance) > 100

    def test_reddits_clock_stands_wrong_for_a_while(self, bot, reddit, wait, since):
        now = reddit.control("")["now"]
        reddit.control("clock", {"set": now - 2 * HOUR})
        run(bot)
        reddit.control("clock", {"set": now})
        wait(1)
        run(bot)
        check_all(reddit, since)

    def test_reddits_clock_jumps_ahead(self, bot, reddit, wait, since):
        reddit.control("clock", {"advance": 6 * HOUR})
        run(bot)
        check_claims(reddit, since)
        wait(1)
        run(bot)
        check_all(reddit, since)

    def test_what_is_approved_late_is_found_by_a_deep_walk(self, bot, reddit, wait, since):
        for _ in range(6):
            wait(1)
            run(bot)
        assert reckon(reddit, NAMES, since=since).missing, "else nothing was approved late"
        Stream.objects.update(deep_read_at=None)
        walk_deep(bot.reddit_app)
        reckon(reddit, NAMES, since=since).check()


class TestOurMachines:
    """What may happen here: clocks, processes, the database."""

    @pytest.fixture
    def since(self, bot, reddit):
        return reddit.control("")["now"]

    @pytest.mark.parametrize("jump", [-24, -1, 24])
    def test_our_clock_jumps(self, jump, bot, reddit, wait, since, monkeypatch):
        wait(2)
        with monkeypatch.context() as patched:
            now = timezone.now
            patched.setattr(timezone, "now", lambda: now() + timedelta(hours=jump))
            run(bot)
            check_claims(reddit, since)
        wait(1)
        assert run(bot).status == "completed"
        check_all(reddit, since)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "instruction",
        [
            "scraping.collecting.page_store.PageStore.__call__",
            "scraping.intake.ingest_comments",
            "scraping.intake.matching.store_matches",
            "scraping.coverage.ledger.record_walk",
            "scraping.sessions.lifecycle.finish",
        ],
    )
    @pytest.mark.parametrize("when", ["before", "after"])
    def test_a_kill_at_an_instruction(self, instruction, when, bot, reddit, wait, since, processes):
        """Between fetch and ingest, between ingest and ledger, between ledger and session."""
        wait(3)
        died = processes.start(
            *("-c", KILLED, str(bot.pk), instruction, when),
            environment={"SIMULATOR_URL": reddit.url},
        )
        assert died.wait(seconds=120) == -signal.SIGKILL, died.output
        check_claims(reddit, since)

        again = run(bot)

        assert again.status == "completed"
        check_all(reddit, since)
        assert not ScrapeSession.objects.filter(status="running").exists()

    @pytest.mark.slow
    def test_sessions_of_many_bots_at_once(self, bot, reddit, wait, since):
        """One stream is read by one of them at a time, and by the first that needs it."""
        app = bot.reddit_app
        bots = [
            BotFactory(reddit_app=app, subreddits=names, comments="stream")
            for names in (["python"], ["berlin", "python"], ["berlin"], ["python", "france"])
        ]
        wait(3)

        def collect(bot):
            try:
                return services.scrape_bot(bot.pk, trigger="schedule")
            finally:
                clients.close_all()
                connection.close()

        with ThreadPoolExecutor(4) as threads:
            sessions = list(threads.map(collect, bots))

        assert {session.status for session in sessions} == {"completed"}
        check_all(reddit, since)


# Runs a session in which an instruction is the last one: by a real SIGKILL, in a process of its own.
KILLED = """
import os, signal, sys
import django
django.setup()
from django.utils.module_loading import import_string
from unittest import mock
bot, instruction, when = sys.argv[1:]
calls = 0
try:
    real = import_string(instruction)
except ImportError:
    module, owner, name = instruction.rsplit(".", 2)
    real = getattr(import_string(f"{module}.{owner}"), name)
def die(*args, **kwargs):
    global calls
    calls += 1
    last = calls == 2 or instruction.startswith(("scraping.coverage.ledger", "scraping.sessions.lifecycle"))
    if last and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    result = real(*args, **kwargs)
    if last:
        os.kill(os.getpid(), signal.SIGKILL)
    return result
with mock.patch(instruction, die):
    from scraping.coverage import walk
    from scraping.planning import freshness
    from scraping.reddit import client
    from scraping.sessions import services
    client.PAGE_SIZE = walk.PAGE_SIZE = 20
    freshness.INSIST_AGE = freshness.INSIST_AGE * 0
    services.scrape_bot(int(bot), trigger="manual")
"""
