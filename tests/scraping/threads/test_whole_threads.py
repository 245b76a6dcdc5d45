"""A bot's matched posts are stored with every comment that their trees show."""

import praw
import pytest

from scraping.models import BotItem, CommentThread, RedditComment, ThreadBranch
from scraping.sessions import services
from tests.factories import BotFactory
from tests.scraping.comment_threads import (
    asked,
    deep_thread,
    matched,
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
pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


class TestWholeTrees:
    def test_a_big_thread_is_stored_to_the_last_comment(self, crowded):
        bot = threads_bot()
        post = with_comments(crowded, 1000, 5000)
        matched(bot, post)

        session = read(bot)

        assert session.status == "completed", session.outcomes
        assert stored(post) == visible(crowded, post)
        assert len(stored(post)) > 900
        assert (session.posts_seen, session.new) == (1, len(stored(post)))
        assert not ThreadBranch.objects.exists()
        thread = CommentThread.objects.get(pk=post)
        assert (thread.walk_began_at, thread.read_missing) == (None, 0)
        assert thread.read_stored == len(stored(post))

    def test_it_takes_no_more_requests_than_praws_replace_more(self, crowded):
        """The usual way, on the same tree."""
        bot = threads_bot()
        post = with_comments(crowded, 1000, 5000)
        matched(bot, post)
        before = asked(crowded)
        session = read(bot)
        ours = asked(crowded) - before

        reddit = praw.Reddit(
            client_id="x",
            client_secret="y",
            user_agent="linux:org.example.lurker:1.0 (by /u/someone)",
            oauth_url=crowded.url,
            reddit_url=crowded.url,
            check_for_updates=False,
        )
        before = asked(crowded)
        submission = reddit.submission(post.removeprefix("t3_"))
        submission.comments.replace_more(limit=None)
        theirs = asked(crowded) - before

        assert {comment.fullname for comment in submission.comments.list()} == stored(post)
        assert session.status == "completed"
        assert ours <= theirs

    def test_a_thread_as_deep_as_it_may_be(self, lively):
        bot = threads_bot(subreddits=["threadplace"])
        post, chain = deep_thread(lively, 120)
        matched(bot, post)

        session = read(bot)

        assert stored(post) == set(chain)
        assert outcome_of(session, post)["outcome"] == "ok"
        assert session.requests_by_kind["tree"] == asked(lively) > 10

    def test_comments_are_matched_as_others_are(self, lively):
        bot = threads_bot(subreddits=["threadplace"], include_terms=["walrus"])
        other = BotFactory(subreddits=["threadplace"], include_terms=["otter"])
        post = new_post(lively, "About a walrus")
        mine = reply(lively, post, "a walrus!")
        theirs = reply(lively, mine, "an otter")
        reply(lively, theirs, "neither")
        matched(bot, post)

        session = read(bot)

        assert session.matched == 1
        pairs = set(BotItem.objects.values_list("bot", "fullname"))
        assert pairs == {(bot.pk, post), (bot.pk, mine), (other.pk, theirs)}

    def test_a_deleted_comment_with_replies_is_told_as_deleted(self, lively):
        bot = threads_bot(subreddits=["threadplace"])
        post, chain = deep_thread(lively, 3)
        lively.control(f"items/{chain[1]}", {"action": "delete"})
        matched(bot, post)

        read(bot)

        assert RedditComment.objects.get(pk=chain[1]).removal == "deleted"
        assert stored(post) == set(chain)

    def test_a_bot_collects_posts_and_then_their_trees(self, lively):
        bot = threads_bot(subreddits=["threadplace"])
        posts = [deep_thread(lively, 2)[0] for _ in range(3)]

        assert services.scrape_bot(bot.pk, trigger="schedule").comments_seen == 0
        session = read(bot)

        assert session.kind == "threads"
        assert all(stored(post) == visible(lively, post) for post in posts)
