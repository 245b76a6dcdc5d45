"""What goes wrong while trees are read is told, costs no other thread, and is made up for later."""

from datetime import timedelta

import pytest
from django.utils import timezone

from jobs import locks
from jobs.errors import Cancelled
from scraping.models import CommentThread, ScrapeSession
from scraping.threads import thread_reader
from scraping.threads.thread_walk import ThreadWalk
from tests.scraping.comment_threads import (
    again,
    asked,
    deep_thread,
    matched,
    outcome_of,
    read,
    stored,
    threads_bot,
    visible,
    with_comments,
)

# Answers are committed one by one, as in a worker.
pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def forget_pauses():
    from scraping.models import RequestBudget

    RequestBudget.objects.all().delete()


class TestFaults:
    """What goes wrong in the middle of a tree costs nothing of what was read."""

    @pytest.mark.parametrize(
        ("fault", "outcome"),
        [
            ({"kind": "status", "status": 500}, "unavailable"),
            ({"kind": "status", "status": 429}, "throttled"),
            ({"kind": "status", "status": 401}, "unauthorized"),
            ({"kind": "status", "status": 403}, "private"),
            ({"kind": "status", "status": 404}, "missing"),
            ({"kind": "latency", "seconds": 20}, "unavailable"),
            ({"kind": "drip", "interval": 0.5}, "unavailable"),
            ({"kind": "reset"}, "unavailable"),
            ({"kind": "truncate"}, "unavailable"),
            ({"kind": "truncate", "chunked": True}, "unavailable"),
            ({"kind": "not_json"}, "error"),
            ({"kind": "empty"}, "error"),
            ({"kind": "body", "body": {"json": {"errors": [["X", "y", "z"]]}}}, "error"),
            ({"kind": "rate_headers", "case": "remaining_text"}, "ok"),
            ({"kind": "rate_headers", "case": "absent"}, "ok"),
            ({"kind": "oversize"}, "ok"),
            ({"kind": "ads"}, "ok"),
            ({"kind": "alternate_after"}, "ok"),
        ],
        ids=lambda value: (
            "-".join(str(v) for v in value.values()) if isinstance(value, dict) else ""
        ),
    )
    def test_each_is_an_outcome_and_the_next_session_goes_on(
        self, crowded, settings, no_pauses, fault, outcome
    ):
        settings.REDDIT_TIMEOUT_SECONDS, settings.REDDIT_DEADLINE_SECONDS = 1, 2
        settings.THREADS_FOLLOW_HOURS = 8_760  # the posts of this world are of long ago
        bot = threads_bot()
        post = with_comments(crowded, 600, 900)
        matched(bot, post)
        crowded.control("faults", fault | {"path": "/morechildren", "skip": 1})

        session = read(bot)

        assert outcome_of(session, post)["outcome"] == outcome
        assert (session.status == "completed") == (outcome == "ok")
        before = stored(post)
        assert len(before) >= 450
        crowded.control("reset", {})
        if outcome in ("throttled", "unauthorized"):
            type(bot.reddit_app).objects.update(refused_at=None)
            forget_pauses()
        again(post)
        last = read(bot)
        assert stored(post) == visible(crowded, post)
        assert last.status == "completed"
        if outcome != "ok":
            assert last.new == len(stored(post)) - len(before), "the rest, and nothing twice"

    def test_a_thread_at_fault_costs_no_other(self, lively, no_pauses):
        bot = threads_bot(subreddits=["threadplace"])
        posts = [deep_thread(lively, 2)[0] for _ in range(4)]
        matched(bot, *posts)
        bad = posts[1].removeprefix("t3_")
        lively.control("faults", {"kind": "not_json", "path": f"/comments/{bad}"})

        session = read(bot)

        assert session.status == "partial"
        assert outcome_of(session, posts[1])["outcome"] == "error"
        assert sum(stored(post) == visible(lively, post) for post in posts) == 3
        thread = CommentThread.objects.get(pk=posts[1])
        assert thread.failures == 1
        assert thread.look_at > timezone.now() + timedelta(minutes=9)

    def test_when_reddit_is_away_a_session_does_not_ask_for_each_thread(self, lively, no_pauses):
        bot = threads_bot(subreddits=["threadplace"])
        posts = [deep_thread(lively, 2)[0] for _ in range(6)]
        matched(bot, *posts)
        lively.control("faults", {"kind": "status", "status": 503, "path": "/comments/"})

        session = read(bot)

        assert session.status == "failed"
        assert len(session.outcomes) == 1 + thread_reader.FAILURES_IN_A_ROW
        assert "3 left for later" in session.outcomes["threads"]["detail"]

    def test_an_error_between_answer_and_commit_loses_nothing(self, crowded, monkeypatch):
        bot = threads_bot()
        post = with_comments(crowded, 600, 900)
        matched(bot, post)
        calls = []

        def breaking(*args, **options):
            calls.append(1)
            if len(calls) == 3:
                raise ZeroDivisionError("a bug")
            return advance(*args, **options)

        advance = ThreadWalk.advance
        monkeypatch.setattr(ThreadWalk, "advance", breaking)
        with pytest.raises(ZeroDivisionError):
            read(bot)
        session = ScrapeSession.objects.get()
        assert (session.status, session.new) == ("failed", len(stored(post)))

        assert read(bot).status == "completed"
        assert stored(post) == visible(crowded, post)

    def test_a_cancelled_session_ends_between_two_requests_and_is_gone_on_with(
        self, crowded, monkeypatch
    ):
        bot = threads_bot()
        post = with_comments(crowded, 600, 900)
        matched(bot, post)

        def cancel(progress):
            if progress.comments_seen > 480:
                raise Cancelled("Cancelled by somebody.")

        with pytest.raises(Cancelled):
            read(bot, on_progress=cancel)
        session = ScrapeSession.objects.get()
        assert (session.status, session.error) == ("cancelled", "Cancelled by somebody.")
        assert 0 < session.new == len(stored(post)) < len(visible(crowded, post))

        assert read(bot).status == "completed"
        assert stored(post) == visible(crowded, post)

    def test_a_thread_that_another_session_reads_is_left_to_it(self, lively):
        bot = threads_bot(subreddits=["threadplace"])
        post, _ = deep_thread(lively, 2)
        matched(bot, post)

        with locks.hold(f"comment-thread:{post}"):
            session = read(bot)

        assert session.status == "completed"
        assert "another session reads it" in outcome_of(session, post)["detail"]
        assert (asked(lively), stored(post)) == (0, set())

    def test_one_morechildren_of_an_app_at_a_time(self, crowded, monkeypatch):
        monkeypatch.setattr(thread_reader, "TURN_SECONDS", 0.1)
        bot = threads_bot()
        post = with_comments(crowded, 600, 900)
        matched(bot, post)

        with locks.hold(f"morechildren:{bot.reddit_app_id}"):
            session = read(bot)

        assert "Other workers took all turns" in outcome_of(session, post)["detail"]
        assert len(stored(post)) >= 450, "the tree itself needs no turn"
