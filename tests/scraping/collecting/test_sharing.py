"""A stream is read once for all of an app's bots, as often as the most eager of them wants, and by one
session at a time."""

import threading
from datetime import timedelta

import pytest
from django.db import connection, connections
from django.utils import timezone

from jobs.locks import LockSet
from scraping.collecting import collector
from scraping.collecting.collector import claim_key
from scraping.models import BotItem, Gap, RedditPost, ScrapeSession, Stream, Subreddit
from scraping.sessions import services
from tests.factories import BotFactory, RedditAppFactory
from tests.processes import wait_until
from tests.scraping.bot_sessions import fill

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

MINUTE = timedelta(minutes=1)

READER = """
import sys, django
django.setup()
from scraping.sessions import services
services.scrape_bot(int(sys.argv[1]), trigger="schedule")
"""


@pytest.fixture
def app(reddit):
    return RedditAppFactory()


def make_bot(app, *names, every=5, **fields):
    return BotFactory(
        owner=app.owner,
        reddit_app=app,
        subreddits=list(names) or ["python", "berlin"],
        every=every,
        **fields,
    )


def beat(bot):
    """A session as the schedule starts it."""
    return services.scrape_bot(bot.pk, trigger="schedule")


def outcomes(session):
    return {stream: outcome["outcome"] for stream, outcome in session.outcomes.items()}


def let_pass(reddit, minutes, *names):
    """Time goes by on both clocks; that of ours by what the streams remember of it."""
    reddit.control("clock", {"advance": minutes * 60})
    streams = Stream.objects.filter(subreddit__name__in=names) if names else Stream.objects.all()
    for stream in streams.exclude(last_fetch_at=None):
        passed = minutes * MINUTE
        stream.last_fetch_at -= passed
        if stream.previous_fetch_at:
            stream.previous_fetch_at -= passed
        if stream.poll_by:
            stream.poll_by -= passed
        stream.save()


class TestFreshness:
    def test_ten_bots_on_the_same_subreddits_cost_the_requests_of_one(self, app, reddit):
        bots = [make_bot(app, comments="stream") for _ in range(10)]
        alone = beat(bots[0]).requests

        others = [beat(bot) for bot in bots[1:]]

        assert alone > 0
        assert [session.requests for session in others] == [0] * 9
        assert {session.status for session in others} == {"completed"}

        let_pass(reddit, 5)
        second_round = [beat(bot).requests for bot in bots]
        assert second_round[0] > 0
        assert second_round[1:] == [0] * 9

    def test_each_of_them_has_its_matches(self, app, reddit):
        bots = [make_bot(app) for _ in range(3)]

        matched = [beat(bot).matched for bot in bots]

        assert matched[0] > 0
        assert matched == [BotItem.objects.filter(bot=bot).count() for bot in bots]

        let_pass(reddit, 60)
        counts = [beat(bot).matched for bot in reversed(bots)]
        new = RedditPost.objects.count() - matched[0]
        assert new > 0
        assert counts == [new] * 3

        assert [beat(bot).matched for bot in bots] == [0] * 3

    def test_what_is_fresh_says_since_when(self, app, reddit):
        beat(make_bot(app, "python"))
        read_at = timezone.localtime(Stream.objects.get().last_fetch_at)

        session = beat(make_bot(app, "python"))

        assert session.outcomes == {
            "r/python posts": {"outcome": "ok", "detail": f"read at {read_at:%H:%M:%S}"}
        }
        assert session.requests_by_kind == {}

    def test_what_is_fresh_but_has_a_gap_since_then_says_so(self, app, reddit):
        bot = make_bot(app, "python")
        beat(bot)
        stream = Stream.objects.get()
        gap = Gap.objects.create(
            stream=stream,
            starts_at=stream.watermark - 9 * MINUTE,
            ends_at=stream.watermark,
            reason="item_limit",
        )

        session = beat(bot)

        assert outcomes(session) == {"r/python posts": "gap"}
        assert session.outcomes["r/python posts"]["detail"].startswith("read at ")

        gap.closed_at = timezone.now()
        gap.save()
        assert outcomes(beat(bot)) == {"r/python posts": "ok"}

    @pytest.mark.parametrize(("minutes", "due"), [(4.4, False), (4.6, True), (5, True), (60, True)])
    def test_a_punctual_beat_never_skips_an_interval(self, app, reddit, minutes, due):
        bot = make_bot(app, "python")
        beat(bot)
        let_pass(reddit, minutes)

        assert bool(beat(bot).requests) == due

    def test_who_asks_by_hand_gets_what_there_is_now(self, app, reddit):
        bot = make_bot(app, "python", every=60)
        beat(bot)

        assert services.scrape_bot(bot.pk, trigger="manual").requests > 0

    def test_a_failed_read_leaves_the_stream_due(self, app, reddit, no_pauses):
        bot = make_bot(app, "python")
        reddit.control("faults", {"kind": "status", "status": 503, "path": "/new"})
        beat(bot)
        reddit.control("faults", method="DELETE")

        assert outcomes(beat(bot)) == {"r/python posts": "ok"}

    def test_a_clock_that_was_wrong_does_not_stop_a_stream(self, app, reddit):
        bot = make_bot(app, "python")
        beat(bot)
        Stream.objects.update(last_fetch_at=timezone.now() + timedelta(days=1))

        assert beat(bot).requests > 0

    def test_a_stream_past_its_time_is_read_whatever_the_interval(self, app, reddit):
        bot = make_bot(app, "python", "berlin", every=600)
        beat(bot)
        Stream.objects.filter(subreddit__name="berlin").update(poll_by=timezone.now())

        session = beat(bot)

        assert session.outcomes["r/python posts"]["detail"].startswith("read at")
        assert session.outcomes["r/berlin posts"]["detail"].endswith("seen")

    def test_the_longest_time_between_reads_is_told(self, app, reddit):
        bot = make_bot(app, "python", "berlin")
        assert beat(bot).freshness_seconds is None
        let_pass(reddit, 5, "python")
        let_pass(reddit, 7, "berlin")

        assert beat(bot).freshness_seconds == pytest.approx(7 * 60, abs=30)

        let_pass(reddit, 9)
        reddit.control("faults", {"kind": "status", "status": 418, "path": "/new"})
        assert beat(bot).freshness_seconds == pytest.approx(9 * 60, abs=30)


class TestRiders:
    def rides(self, app, reddit, minutes, *, with_app=None, **fields):
        """Whether python, wanted every 20 minutes, is read by a session on berlin so long after."""
        make_bot(with_app or app, "python", every=20, **fields)
        services.scrape_subreddits(app, collector.Plan(("python",)))
        bot = make_bot(app, "berlin", every=5)
        beat(bot)
        let_pass(reddit, minutes)
        before = Stream.objects.get(subreddit__name="python").last_fetch_at
        self.session = beat(bot)
        return Stream.objects.get(subreddit__name="python").last_fetch_at > before

    def test_a_stream_that_falls_due_within_a_quarter_rides_along(self, app, reddit):
        assert self.rides(app, reddit, 16)
        # One page holds both.
        assert self.session.requests == 1
        assert outcomes(self.session) == {"r/berlin posts": "ok"}

    def test_one_that_has_time_stays(self, app, reddit):
        assert not self.rides(app, reddit, 14)

    @pytest.mark.parametrize(
        "fields",
        [{"auto_scrape_enabled": False}, {"is_active": False}, {"listing": "hot"}],
        ids=["paused", "inactive", "sample"],
    )
    def test_bots_that_want_no_stream_now_are_no_reason(self, app, reddit, fields):
        assert not self.rides(app, reddit, 25, **fields)

    def test_bots_of_another_app_pay_for_themselves(self, app, reddit):
        assert not self.rides(app, reddit, 25, with_app=RedditAppFactory())

    def test_an_order_of_so_many_items_takes_nothing_along(self, app, reddit):
        other = make_bot(app, "python")
        beat(other)
        bot = make_bot(app, "berlin")
        let_pass(reddit, 60)
        before = Stream.objects.get(subreddit__name="python").last_fetch_at

        services.scrape_bot(bot.pk, trigger="manual", item_limit=100)

        assert Stream.objects.get(subreddit__name="python").last_fetch_at == before

    def test_a_rider_that_vanished_silently_proves_nothing(self, app, reddit):
        other = make_bot(app, "python", every=6)
        beat(other)
        bot = make_bot(app, "berlin")
        beat(bot)
        reddit.control("subreddits", {"name": "python", "status": "private"})
        let_pass(reddit, 5)
        Subreddit.objects.update(probed_at=timezone.now() - timedelta(hours=2))
        before = Stream.objects.get(subreddit__name="python")

        session = beat(bot)

        # The walk, what Reddit says of the silent one.
        assert session.requests <= 3
        after = Stream.objects.get(subreddit__name="python")
        assert (after.watermark, after.last_fetch_at) == (before.watermark, before.last_fetch_at)
        let_pass(reddit, 1)
        assert outcomes(beat(other)) == {"r/python posts": "private"}

    def test_a_bot_with_a_low_limit_leaves_no_gap_in_what_others_want_whole(self, app, reddit):
        thorough, hasty = make_bot(app, "python"), make_bot(app, "python", item_limit=100)
        beat(thorough)
        fill(reddit, "python", number=250, each=0)
        let_pass(reddit, 5)

        assert outcomes(beat(hasty)) == {"r/python posts": "ok"}
        assert not Gap.objects.exists()


class TestClaims:
    def test_what_another_session_reads_is_waited_for_and_not_read_again(
        self, app, reddit, monkeypatch
    ):
        bot = make_bot(app, "python", "berlin")
        beat(bot)
        let_pass(reddit, 5)
        python = Stream.objects.get(subreddit__name="python")
        other = LockSet("another session")
        assert other.try_acquire([claim_key(python)])

        def another_reads_it(seconds):
            Stream.objects.filter(pk=python.pk).update(last_fetch_at=timezone.now())
            other.release()

        monkeypatch.setattr(collector.time, "sleep", another_reads_it)
        session = beat(bot)
        other.close()

        assert session.status == "completed"
        assert session.outcomes["r/python posts"]["detail"].startswith("read at")
        assert session.outcomes["r/berlin posts"]["detail"].endswith("seen")
        assert session.requests == 1

    def test_when_the_other_fails_it_is_read_after_all(self, app, reddit, monkeypatch):
        bot = make_bot(app, "python")
        beat(bot)
        let_pass(reddit, 5)
        other = LockSet("another session")
        other.try_acquire([claim_key(Stream.objects.get())])
        monkeypatch.setattr(collector.time, "sleep", lambda seconds: other.close())

        session = beat(bot)

        assert session.outcomes["r/python posts"]["detail"].endswith("seen")
        assert session.status == "completed"

    def test_what_is_busy_for_too_long_is_told_so(self, app, reddit, monkeypatch):
        bot = make_bot(app, "python", "berlin")
        beat(bot)
        let_pass(reddit, 5)
        monkeypatch.setattr(collector, "LONGEST_WAIT_FOR_OTHERS", 0.2)
        with LockSet("another session") as other:
            other.try_acquire([claim_key(Stream.objects.get(subreddit__name="python"))])

            session = beat(bot)

        assert outcomes(session) == {"r/berlin posts": "ok", "r/python posts": "busy"}
        assert session.status == "partial"

    def test_others_are_waited_for_only_while_the_run_is_wanted(self, app, reddit):
        bot = make_bot(app, "python")
        beat(bot)
        let_pass(reddit, 5)
        asked = []

        def stop(progress):
            asked.append(progress)
            raise KeyboardInterrupt

        with LockSet("another session") as other:
            other.try_acquire([claim_key(Stream.objects.get())])
            with pytest.raises(KeyboardInterrupt):
                services.scrape_bot(bot.pk, trigger="schedule", on_progress=stop)

        assert asked
        assert ScrapeSession.objects.first().status == "failed"

    def test_a_stream_that_was_read_between_plan_and_claim_is_not_read(
        self, app, reddit, monkeypatch
    ):
        bot = make_bot(app, "python")
        beat(bot)
        let_pass(reddit, 5)
        acquire = LockSet.try_acquire

        def late(self, keys):
            Stream.objects.update(last_fetch_at=timezone.now())
            return acquire(self, keys)

        monkeypatch.setattr(LockSet, "try_acquire", late)

        assert beat(bot).requests == 0

    @pytest.mark.parametrize("bots", [2, 4])
    def test_sessions_at_once_read_each_stream_once(self, app, reddit, bots):
        """The pages answer slowly, so that all of them are under way at the same time."""
        names = ["python", "berlin", "france", "AskScience"]
        several = [make_bot(app, *names[number % 2 :]) for number in range(bots)]
        one = make_bot(app, *names)
        beat(one)
        let_pass(reddit, 5)
        reddit.control("faults", {"kind": "latency", "seconds": 0.5, "path": "/new"})
        sessions = []

        def run(bot):
            try:
                sessions.append(beat(bot))
            finally:
                connections.close_all()

        threads = [threading.Thread(target=run, args=[bot]) for bot in several]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

        assert {session.status for session in sessions} == {"completed"}
        listed = reddit.control("requests")["latest"]
        read = [
            name.lower()
            for request in listed
            if "/new" in request["path"]
            for name in request["path"].split("/")[2].split("+")
        ]
        # Once by the first bot, to the listing's end, and once by one of those at once.
        assert {name: read.count(name.lower()) for name in names} == dict.fromkeys(names, 2)

    def test_a_killed_process_frees_its_claims_at_once(self, app, reddit, processes):
        bot, other = make_bot(app, "python"), make_bot(app, "python")
        processes.environment["SIMULATOR_URL"] = reddit.url
        reddit.control("faults", {"kind": "latency", "seconds": 600, "path": "/new"})
        process = processes.start("-c", READER, str(bot.pk), name="reader")
        wait_until(lambda: reddit.control("faults")["faults"][0]["hit"] == 1, what="it reads")
        with LockSet("somebody else") as somebody:
            assert not somebody.try_acquire([claim_key(Stream.objects.get())])

            process.kill()

            wait_until(
                lambda: bool(somebody.try_acquire([claim_key(Stream.objects.get())])),
                what="the claim is free",
            )
        reddit.control("faults", method="DELETE")
        assert beat(other).status == "completed"


class TestDryRuns:
    def test_they_claim_nothing_and_see_everything(self, app, reddit):
        bot = make_bot(app, "python")
        beat(bot)
        with LockSet("a session") as session:
            session.try_acquire([claim_key(Stream.objects.get())])
            before = Stream.objects.values().get()

            progress = services.preview(app, collector.Plan.of(bot))

        assert progress.posts_seen > 0
        assert Stream.objects.values().get() == before


class TestSessionColumns:
    def test_requests_are_counted_by_kind(self, app, reddit):
        session = beat(make_bot(app, "python", "berlin", comments="stream"))

        kinds = session.requests_by_kind
        assert kinds["token"] == 1
        assert kinds["listing"] > 0
        assert kinds["comments"] > 0
        assert sum(kinds.values()) == session.requests

    def test_a_search_is_told_as_such(self, app, reddit):
        session = beat(make_bot(app, "python", listing="search", search_query="a"))

        assert session.requests_by_kind["search"] > 0

    def test_gaps_are_counted(self, app, reddit):
        bot = make_bot(app, "python", item_limit=100)
        beat(bot)
        fill(reddit, "python", number=250, each=0)
        let_pass(reddit, 5)

        assert beat(bot).gaps_opened == Gap.objects.count() == 1


def test_no_transaction_is_open_while_reddit_is_asked(app, reddit):
    bot = make_bot(app, "python")
    inside = []
    services.scrape_bot(
        bot.pk,
        trigger="schedule",
        on_progress=lambda progress: inside.append(connection.in_atomic_block),
    )
    assert inside
    assert not any(inside)
