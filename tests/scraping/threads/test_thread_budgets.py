"""Trees are read in bounded steps: what a spent budget leaves over, the next session reads."""

import pytest

from scraping.budget.clients import client_for
from scraping.models import CommentThread, ThreadBranch
from scraping.threads import thread_reader
from tests.scraping.comment_threads import (
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


class TestBudgets:
    """A spent budget, or any other end, is gone on from where it was."""

    def test_a_thread_goes_on_in_the_next_sessions(self, crowded, settings):
        settings.REDDIT_THREAD_REQUESTS = 3
        bot = threads_bot()
        post = with_comments(crowded, 1000, 5000)
        matched(bot, post)

        sessions = [read(bot)]
        assert sessions[0].status == "partial"
        assert "comments missing, to be read later" in outcome_of(sessions[0], post)["detail"]
        assert ThreadBranch.objects.exists()
        while not CommentThread.objects.get().read_at:
            sessions.append(read(bot))
            assert sum(s.comments_seen for s in sessions) >= len(stored(post))

        assert stored(post) == visible(crowded, post)
        assert sessions[-1].status == "completed"
        assert len(sessions) > 2
        # No request is made twice: with a token, a look and at most three for the thread.
        assert all(session.requests <= 5 for session in sessions)
        assert sum(session.new for session in sessions) == len(stored(post))

    def test_the_sessions_requests_are_shared_out_in_turns(self, lively, settings):
        settings.REDDIT_THREADS_SESSION_REQUESTS = 3
        bot = threads_bot(subreddits=["threadplace"])
        posts = [deep_thread(lively, 2)[0] for _ in range(5)]
        matched(bot, *posts)

        first = read(bot)

        assert first.status == "partial"
        assert first.outcomes["threads"]["outcome"] == "gap"
        assert "2 left for later" in first.outcomes["threads"]["detail"]
        assert sum(bool(stored(post)) for post in posts) == 3
        second = read(bot)
        assert second.status == "completed"
        assert all(stored(post) == visible(lively, post) for post in posts)

    def test_a_spent_budget_of_the_app_ends_the_session_and_names_a_time(self, lively, settings):
        """The lane `refresh` leaves a part of each window to what is more urgent."""
        settings.REDDIT_BUDGET_WAIT_SECONDS = 0
        bot = threads_bot(subreddits=["threadplace"], reddit_app__requests_per_minute=1)
        posts = [deep_thread(lively, 2)[0] for _ in range(9)]
        matched(bot, *posts)

        session = read(bot)

        assert session.outcomes["threads"]["outcome"] == "throttled"
        assert session.continues_at is not None
        assert 0 < sum(bool(stored(post)) for post in posts) < 9

    def test_ids_are_asked_for_a_hundred_at_a_time(self, crowded):
        bot = threads_bot()
        post = with_comments(crowded, 1000, 5000)
        matched(bot, post)
        with client_for(bot.reddit_app, permits=None) as client:
            sizes = []
            call = client.more_children
            client.more_children = lambda post, ids: sizes.append(len(ids)) or call(post, ids)
            thread_reader.ThreadReader(bot, client).run()

        assert max(sizes) == 100
        assert stored(post) == visible(crowded, post)
