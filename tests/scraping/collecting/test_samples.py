"""Samples and searches store what they find, and prove nothing of what they do not show."""

import pytest

from scraping.models import RedditPost, Stream
from tests.factories import BotFactory
from tests.scraping.bot_sessions import advance, listed, run, stored

# Pages are committed one by one, as in a worker.
pytestmark = pytest.mark.django_db(transaction=True)


class TestSamples:
    @pytest.mark.parametrize("listing", ["hot", "top", "rising"])
    def test_a_sample_is_stored_and_moves_no_watermark(self, reddit, listing):
        bot = BotFactory(subreddits=["python"], listing=listing)

        session = run(bot)

        assert session.status == "completed"
        assert stored("python") <= listed(reddit, "python")
        assert not Stream.objects.exclude(watermark=None).exists()

    def test_what_a_sample_knows_proves_no_overlap(self, reddit):
        """Items that came by a sample lie below a watermark and say nothing of what is above."""
        run(BotFactory(subreddits=["python"], listing="hot"))
        run(BotFactory(subreddits=["python"]))

        assert stored("python") == listed(reddit, "python")

    def test_a_search_finds_what_is_asked_for(self, reddit):
        reddit.control("items", {"subreddit": "python", "title": "A xylophone concert"})
        reddit.control("items", {"subreddit": "berlin", "title": "Another xylophone concert"})
        advance(reddit, 60)
        bot = BotFactory(subreddits=["python"], listing="search", search_query="xylophone")

        run(bot)

        assert list(RedditPost.objects.values_list("title", flat=True)) == ["A xylophone concert"]
