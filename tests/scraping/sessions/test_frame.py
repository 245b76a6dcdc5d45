"""Whoever runs a session, and however that ends: it tells all that was done, asked and waited for."""

from datetime import timedelta

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.utils import timezone

from bots.models import BotConfig, RedditApp
from jobs.errors import Cancelled
from scraping.collecting.collector import Plan
from scraping.completing import backfill, deep_walks, gap_searches
from scraping.models import Gap, ScrapeSession, Stream
from scraping.sessions import services
from tests.factories import BotFactory

# Pages are committed one by one, as in a worker.
pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def ignore(progress):
    pass


def ordinary(bot, watch=ignore):
    services.scrape_bot(bot.pk, trigger="manual", on_progress=watch)


def without_a_bot(bot, watch=ignore):
    services.scrape_subreddits(bot.reddit_app, Plan.of(bot), on_progress=watch)


def of_trees(bot, watch=ignore):
    services.read_threads(bot.pk, trigger="manual", on_progress=watch)


def early(bot, watch=ignore):
    Stream.objects.update(poll_by=timezone.now() - timedelta(minutes=1))
    services.read_early(bot.reddit_app_id)


def deep_walk(bot, watch=ignore):
    deep_walks.walk_deep(bot.reddit_app, on_page=watch)


def back(bot, watch=ignore):
    backfill.backfill_bot(bot, timezone.now() - timedelta(days=900), on_page=watch)


def gap_search(bot, watch=ignore):
    stream = Stream.objects.get(kind="posts")
    Gap.objects.create(
        stream=stream,
        starts_at=stream.watermark - timedelta(hours=3),
        ends_at=stream.watermark - timedelta(hours=2),
        reason="listing_cap",
        found_at=timezone.now() - timedelta(days=1),
    )
    Stream.objects.update(deep_read_at=timezone.now())
    gap_searches.search_gaps(bot.reddit_app, on_page=watch)


KINDS = {
    ordinary: {"listing"},
    without_a_bot: {"listing"},
    early: {"listing"},
    of_trees: {"tree"},
    deep_walk: {"listing"},
    back: {"listing"},
    gap_search: {"search"},
}
WATCHED = [door for door in KINDS if door is not early]


@pytest.fixture
def bot(reddit):
    """A bot with something to read by each door: nothing of it has been read deep."""
    bot = BotFactory(subreddits=["python"], comments="threads")
    services.scrape_bot(bot.pk, trigger="manual")
    Stream.objects.update(deep_read_at=None, complete_since=timezone.now())
    return bot


@pytest.mark.parametrize("door", KINDS)
class TestEachDoor:
    def test_requests_are_told_by_kind(self, door, bot):
        door(bot)

        session = ScrapeSession.objects.latest()
        assert not session.error
        assert session.requests > 0
        assert sum(session.requests_by_kind.values()) == session.requests
        assert KINDS[door] <= session.requests_by_kind.keys()

    def test_what_was_waited_is_told(self, door, bot, reddit, settings):
        settings.REDDIT_BUDGET_WAIT_SECONDS = 30
        pause = {"kind": "status", "status": 429, "times": 1, "retry_after": 1}
        reddit.control("faults", pause | {"path": "/(new|comments|search)"})

        door(bot)

        session = ScrapeSession.objects.latest()
        assert not session.error
        assert 0.5 < session.wait_seconds < 20

    def test_an_answer_ends_a_refusal(self, door, bot):
        RedditApp.objects.update(refused_at=timezone.now(), refusal="No.")

        door(BotConfig.objects.get())

        assert RedditApp.objects.get().refused_at is None

    def test_a_refusal_is_told_to_the_app(self, door, bot, reddit, no_pauses):
        reddit.control("faults", {"kind": "status", "status": 401})

        door(bot)

        session = ScrapeSession.objects.latest()
        assert session.status == "failed"
        assert "401" in session.error
        assert RedditApp.objects.get().is_refused
        assert sum(session.requests_by_kind.values()) == session.requests > 0


@pytest.mark.parametrize("door", WATCHED)
class TestItsEnd:
    """Whatever comes between two pages, the session has ended and tells what it did until then."""

    @pytest.fixture
    def end_by(self, door, bot):
        def end_by(error):
            def stop(progress):
                raise error

            door(bot, stop)

        return end_by

    def ended(self):
        session = ScrapeSession.objects.latest()
        assert session.ended_at is not None
        assert session.posts_seen + session.comments_seen > 0
        assert sum(session.requests_by_kind.values()) == session.requests > 0
        return session.status, session.error

    def test_a_time_limit(self, door, end_by):
        end_by(SoftTimeLimitExceeded())

        assert self.ended() == ("partial", "The session reached the time limit of its task.")

    def test_its_run_was_cancelled(self, door, end_by):
        with pytest.raises(Cancelled):
            end_by(Cancelled("Asked to."))

        assert self.ended() == ("cancelled", "Asked to.")

    @pytest.mark.parametrize("error", [ZeroDivisionError("a bug"), KeyboardInterrupt("stop")])
    def test_a_bug_or_an_order_to_stop(self, door, end_by, error):
        with pytest.raises(type(error)):
            end_by(error)

        assert self.ended() == ("failed", f"{type(error).__name__}: {error}")
