"""What there is on Reddit is stored, once, and matched for every bot that watches."""

from collections import Counter

import pytest
from django.utils import timezone

from scraping.models import BotItem, Gap, RedditComment, RedditPost, Subreddit
from scraping.models.streams import FIRST_PAUSE
from tests.factories import BotFactory
from tests.scraping.bot_sessions import HOUR, advance, close, listed, outcomes, run, stored

# Pages are committed one by one, as in a worker.
pytestmark = pytest.mark.django_db(transaction=True)


class TestCompleteness:
    def test_everything_that_is_listed_is_stored(self, bot, reddit):
        session = run(bot)

        assert session.status == "completed"
        assert set(outcomes(session).values()) == {"ok"}
        for name in bot.subreddits:
            assert stored(name) == listed(reddit, name)
            assert stored(name, RedditComment) == listed(reddit, name, "t1")
        assert session.posts_seen == session.new - session.comments_seen
        assert session.new == RedditPost.objects.count() + RedditComment.objects.count()
        assert not Gap.objects.exists()

    def test_the_second_session_reads_little_and_stores_only_what_is_new(self, bot, reddit):
        first = run(bot)
        before = stored("python")
        advance(reddit, 2 * HOUR)

        second = run(bot)

        assert stored("python") == before | listed(reddit, "python")
        assert stored("python") - before
        assert second.new == RedditPost.objects.count() + RedditComment.objects.count() - first.new
        # A token, and a page or two of each kind.
        assert second.requests <= 6
        assert not Gap.objects.exists()

    def test_when_nothing_happened_nothing_is_written(self, bot):
        run(bot)

        again = run(bot)

        assert (again.status, again.new, again.updated) == ("completed", 0, 0)

    def test_what_changed_is_updated(self, bot, reddit):
        run(bot)
        newest = RedditPost.objects.filter(subreddit__name="python").first()
        reddit.control(f"items/{newest.fullname}", {"action": "edit", "selftext": "Rewritten"})

        session = run(bot)

        newest.refresh_from_db()
        assert session.updated == 1
        assert (newest.selftext, newest.edited) == ("Rewritten", True)

    def test_a_late_approved_post_in_the_middle_is_found(self, bot, reddit):
        run(bot)
        advance(reddit, 60)
        created = reddit.control("")["now"] - 600
        late = reddit.control(
            "items", {"subreddit": "python", "title": "Held back", "created_utc": created}
        )

        run(bot)

        assert RedditPost.objects.filter(fullname=late["fullname"]).exists()

    def test_a_post_that_vanished_does_not_stop_the_next_session(self, bot, reddit):
        """The newest post, on which a cursor `before` would hang, was deleted."""
        run(bot)
        newest = RedditPost.objects.filter(subreddit__name="python").first()
        reddit.control(f"items/{newest.fullname}", {"action": "delete"})
        advance(reddit, 2 * HOUR)

        run(bot)

        assert listed(reddit, "python") <= stored("python")
        assert not Gap.objects.exists()

    def test_a_subreddit_that_joins_later_is_read_to_its_end(self, bot, reddit):
        run(bot)
        bot.subreddits = ["python", "berlin", "france"]
        bot.save()

        run(bot)

        assert stored("france") == listed(reddit, "france")
        assert not Gap.objects.exists()

    def test_names_in_another_case_are_the_same_subreddit(self, bot, reddit):
        bot.subreddits = ["PYTHON"]
        bot.save()

        session = run(bot)

        assert outcomes(session) == {"r/PYTHON posts": "ok", "r/PYTHON comments": "ok"}
        assert stored("python") == listed(reddit, "python")

    @pytest.mark.parametrize("listing", ["new", "hot"])
    def test_a_stream_has_one_outcome_in_whatever_case_a_bot_names_it(
        self, bot, reddit, no_pauses, listing
    ):
        run(bot)
        close(reddit, "berlin", "private")
        Subreddit.objects.update(probed_at=timezone.now() - FIRST_PAUSE)
        reddit.control("faults", {"kind": "status", "status": 401, "path": "/comments"})
        shouting = BotFactory(subreddits=["PYTHON", "BERLIN"], comments="stream", listing=listing)

        session = run(shouting)

        # A sample names at once what is closed; silent members of walks are asked about at the end.
        berlin = "private" if listing == "hot" else "unauthorized"
        assert {name.lower(): outcome for name, outcome in outcomes(session).items()} == {
            "r/python posts": "ok",
            "r/berlin posts": berlin,
            "r/python comments": "unauthorized",
            "r/berlin comments": berlin,
        }
        assert len(session.outcomes) == 4


class TestMatches:
    @pytest.mark.slow
    def test_every_bot_that_watches_gets_its_items_at_no_cost(self, bot, reddit):
        everything = BotFactory(subreddits=["python"])
        picky = BotFactory(subreddits=["PYTHON"], include_terms=["no such words anywhere"])

        session = run(bot)

        items = Counter(BotItem.objects.values_list("bot_id", flat=True))
        assert session.matched == items[bot.pk] == session.posts_seen + session.comments_seen
        python = len(stored("python")) + len(stored("python", RedditComment))
        assert items[everything.pk] == python
        assert items[picky.pk] == 0

    def test_a_bot_that_comes_later_finds_what_is_known(self, bot, reddit):
        run(bot)
        later = BotFactory(subreddits=["python"])
        BotItem.objects.all().delete()

        session = run(later)

        assert session.new == 0
        assert session.matched == BotItem.objects.filter(bot=later).count() > 0
