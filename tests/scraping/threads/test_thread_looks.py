"""A thread is looked at while it is young, and read where the counts differ enough to matter."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from scraping.models import BotItem, CommentThread, RedditPost, ThreadBranch
from scraping.sessions import services
from scraping.threads import due_threads
from tests.factories import BotFactory
from tests.scraping.comment_threads import (
    again,
    asked,
    deep_thread,
    matched,
    matched_only,
    new_post,
    outcome_of,
    read,
    reply,
    stored,
    threads_bot,
    visible,
    with_comments,
)

# Answers are committed one by one, as in a worker.
pytestmark = pytest.mark.django_db(transaction=True)


class TestWhen:
    """Only where counts differ enough to matter, and while a thread is young."""

    @pytest.mark.parametrize(
        ("reported", "stored", "unreadable", "due"),
        [
            (0, 0, 0, False),
            (1, 0, 0, True),
            (100, 95, 0, True),
            (100, 96, 0, False),
            (100, 80, 20, False),
            (106, 80, 20, True),
            (104, 80, 20, False),
            (10_000, 9_000, 400, True),
            (10_000, 9_000, 600, False),
            (5, 9, 0, False),
            (5, 9, -4, False),
            (6, 9, -4, True),
        ],
    )
    def test_what_differs_by_one_and_by_five_percent_is_read(
        self, reported, stored, unreadable, due
    ):
        found = due_threads.worth_reading(reported=reported, stored=stored, unreadable=unreadable)

        assert found is due

    def test_pauses_grow_with_age_and_end(self):
        created = datetime(2026, 3, 10, 12, tzinfo=UTC)
        looks, now = [], created
        while now is not None:
            looks.append(now - created)
            now = due_threads.next_look(created, now)

        assert looks[1] == timedelta(minutes=10)
        pauses = [after - before for before, after in itertools.pairwise(looks)]
        assert pauses[:-1] == sorted(pauses[:-1])
        assert max(pauses) <= timedelta(hours=12)
        assert looks[-1] == timedelta(hours=72)
        assert len(looks) < 30

    def test_what_has_not_grown_is_not_read_again(self, lively):
        bot = threads_bot(subreddits=["threadplace"])
        post, chain = deep_thread(lively, 40)
        matched(bot, post)
        read(bot)
        before = asked(lively)

        assert services.request_threads(bot.pk, trigger="schedule") is None, "not due"
        again(post)
        session = read(bot)
        assert (session.status, session.comments_seen) == ("completed", 0)
        again(post)
        reply(lively, post)
        read(bot)
        assert asked(lively) == before, "one in forty is not worth it"

        for _ in range(2):
            reply(lively, chain[3])
        again(post)
        read(bot)
        assert asked(lively) > before
        assert stored(post) == visible(lively, post)

    def test_removed_comments_that_reddit_counts_are_not_sought_again(self, lively):
        bot = threads_bot(subreddits=["threadplace"])
        post, _ = deep_thread(lively, 3)
        lively.control(f"items/{post}", {"action": "edit", "fields": {"num_comments": 12}})
        matched(bot, post)
        first = read(bot)
        assert first.status == "completed"
        assert CommentThread.objects.get().unreadable == 9
        before = asked(lively)

        again(post)
        read(bot)
        assert asked(lively) == before

        reply(lively, post)
        lively.control(f"items/{post}", {"action": "edit", "fields": {"num_comments": 13}})
        again(post)
        read(bot)
        assert stored(post) == visible(lively, post)

    def test_what_a_stream_has_stored_needs_no_walk(self, lively):
        bot = threads_bot(subreddits=["threadplace"])
        post, _ = deep_thread(lively, 5)
        services.scrape_bot(
            BotFactory(subreddits=["threadplace"], comments="stream").pk, trigger="schedule"
        )
        matched_only(bot, post)

        assert read(bot).status == "completed"
        assert asked(lively) == 0

    def test_a_hundred_threads_are_looked_at_with_one_request(self, lively):
        bot = threads_bot(subreddits=["threadplace"])
        posts = [new_post(lively) for _ in range(150)]
        matched(bot, *posts[:100])
        matched(bot, *posts[100:])
        read(bot)
        again(*posts)

        session = read(bot)

        assert session.requests == 2, "of a hundred each"
        assert "150 looked at" in session.outcomes["threads"]["detail"]

    def test_looking_costs_the_same_queries_for_one_and_for_many(self, lively):
        bot = threads_bot(subreddits=["threadplace"])
        posts = [new_post(lively) for _ in range(60)]
        matched(bot, *posts)
        counts = []
        for some in (posts[:1], posts[:1], posts):
            CommentThread.objects.all().delete()
            BotItem.objects.exclude(fullname__in=some).delete()
            matched_only(bot, *set(some) - set(BotItem.objects.values_list("fullname", flat=True)))
            read(bot)
            again(*some)
            with CaptureQueriesContext(
                connection,
            ) as queries:
                read(bot)
            counts.append(len(queries))

        assert counts[1] == counts[2], "after the first, which makes the app's budget"

    def test_an_old_post_that_cannot_be_read_is_left(self, crowded):
        bot = threads_bot()
        post = with_comments(crowded, 600, 900)
        matched(bot, post)
        crowded.control("faults", {"kind": "status", "status": 403, "path": "/morechildren"})

        session = read(bot)

        assert outcome_of(session, post)["outcome"] == "private"
        assert not ThreadBranch.objects.exists()
        assert not due_threads.anything_due(bot)

    def test_an_old_post_is_read_once(self, crowded):
        bot = threads_bot()
        post = with_comments(crowded, 20, 200)
        matched(bot, post)

        read(bot)

        assert stored(post) == visible(crowded, post)
        assert CommentThread.objects.get().look_at is None
        assert not due_threads.anything_due(bot)

    def test_a_large_past_never_stands_before_what_is_new(self, lively, monkeypatch):
        monkeypatch.setattr(due_threads, "MOST_THREADS", 5)
        bot = threads_bot(subreddits=["threadplace"])
        long_ago = timezone.now() - timedelta(days=400)
        new = [new_post(lively) for _ in range(8)]
        matched(bot, *new)
        RedditPost.objects.filter(pk__in=new[:6]).update(created_at=long_ago)

        due_threads.enlist(bot)
        assert set(new[6:]) <= set(CommentThread.objects.values_list("pk", flat=True))
        assert CommentThread.objects.count() <= 7

    def test_a_post_that_is_gone_from_the_database_is_forgotten(self, lively):
        bot = threads_bot(subreddits=["threadplace"])
        post, _ = deep_thread(lively, 2)
        matched(bot, post)
        due_threads.enlist(bot)
        RedditPost.objects.all().delete()

        read(bot)

        assert not CommentThread.objects.exists()

    def test_other_bots_read_no_trees(self, lively):
        bot = BotFactory(subreddits=["threadplace"], comments="stream")
        post, _ = deep_thread(lively, 2)
        matched(bot, post)

        assert not due_threads.anything_due(bot)
        assert not CommentThread.objects.exists()
