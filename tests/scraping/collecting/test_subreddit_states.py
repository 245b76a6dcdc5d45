"""A subreddit that cannot be read says why, and is read again when it opens."""

import pytest
from django.utils import timezone

from scraping.models import Subreddit
from scraping.models.streams import FIRST_PAUSE
from tests.factories import BotFactory
from tests.scraping.bot_sessions import bot_summary, close, listed, outcomes, run, stored

# Pages are committed one by one, as in a worker.
pytestmark = pytest.mark.django_db(transaction=True)


class TestStates:
    """A zero is a fact, never a failure in disguise."""

    STATES = ("private", "banned", "quarantined", "gated", "missing")

    @pytest.mark.parametrize("status", STATES)
    @pytest.mark.parametrize("listing", ["new", "hot", "search"])
    def test_a_single_subreddit_says_why_it_cannot_be_read(self, reddit, status, listing):
        close(reddit, "python", status)
        bot = BotFactory(subreddits=["python"], listing=listing, search_query="a")

        session = run(bot)

        assert session.status == "failed"
        assert outcomes(session) == {"r/python posts": status}
        assert status in bot_summary(bot)

    @pytest.mark.parametrize("status", STATES)
    @pytest.mark.parametrize("listing", ["new", "hot", "search"])
    def test_of_several_too_though_reddit_leaves_it_out_silently(self, reddit, status, listing):
        close(reddit, "python", status)
        bot = BotFactory(subreddits=["python", "berlin"], listing=listing, search_query="a")

        session = run(bot)

        assert session.status == "partial"
        assert outcomes(session)["r/python posts"] == status
        assert outcomes(session)["r/berlin posts"] in ("ok", "empty")

    def test_a_name_that_nobody_has_is_missing(self, reddit):
        bot = BotFactory(subreddits=["nosuchsubreddit", "berlin"])

        assert outcomes(run(bot))["r/nosuchsubreddit posts"] == "missing"

    def test_a_quiet_subreddit_is_empty_and_fine(self, reddit):
        reddit.control("subreddits", {"name": "quietplace", "status": "ok"})
        bot = BotFactory(subreddits=["quietplace", "berlin"], comments="stream")

        session = run(bot)

        assert session.status == "completed"
        assert outcomes(session)["r/quietplace posts"] == "empty"
        assert Subreddit.objects.get(name="quietplace").status == "ok"

    def test_a_closed_subreddit_is_not_asked_about_at_once_again(self, reddit):
        close(reddit, "python", "private")
        bot = BotFactory(subreddits=["python"])
        run(bot)

        again = run(bot)

        assert again.requests == 0
        assert outcomes(again) == {"r/python posts": "private"}

    def test_it_is_read_again_when_it_opens(self, reddit):
        close(reddit, "python", "private")
        bot = BotFactory(subreddits=["python", "berlin"])
        run(bot)
        close(reddit, "python", "ok")
        Subreddit.objects.update(probed_at=timezone.now() - FIRST_PAUSE)

        session = run(bot)

        assert session.status == "completed"
        assert stored("python") == listed(reddit, "python")
        assert Subreddit.objects.get(name="python").status == "ok"

    def test_one_that_closes_later_is_noticed_within_the_hour(self, bot, reddit):
        run(bot)
        close(reddit, "python", "private")
        Subreddit.objects.update(probed_at=timezone.now() - FIRST_PAUSE)

        session = run(bot)

        assert session.status == "partial"
        assert outcomes(session)["r/python posts"] == "private"
        assert Subreddit.objects.get(name="python").status == "private"
