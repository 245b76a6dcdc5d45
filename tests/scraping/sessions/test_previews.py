"""A preview reads what a session would read, and stores nothing."""

import pytest
from django.utils import timezone

from scraping.budget.clients import client_for
from scraping.collecting.collector import Collector, Plan, Progress
from scraping.models import (
    BotItem,
    Gap,
    RedditComment,
    RedditPost,
    ScrapeSession,
    Stream,
    Subreddit,
)
from scraping.models.streams import FIRST_PAUSE
from scraping.reddit.errors import Unauthorized
from scraping.sessions import lifecycle, services
from tests.factories import BotFactory
from tests.scraping.bot_sessions import close, listed, run

# Pages are committed one by one, as in a worker.
pytestmark = pytest.mark.django_db(transaction=True)


class TestDryRun:
    def test_it_reads_and_stores_nothing(self, reddit):
        bot = BotFactory(subreddits=["python", "berlin"], comments="stream")
        models = (RedditPost, RedditComment, Subreddit, Stream, Gap, ScrapeSession, BotItem)

        progress = services.preview(bot.reddit_app, Plan.of(bot))

        assert progress.posts_seen == len(listed(reddit, "python") | listed(reddit, "berlin"))
        assert lifecycle.status_of(progress.outcomes) == "completed"
        assert not any(model.objects.exists() for model in models)

    def test_it_leaves_what_is_known_alone(self, bot, reddit):
        run(bot)
        close(reddit, "python", "private")
        Subreddit.objects.update(probed_at=timezone.now() - FIRST_PAUSE)
        before = list(Subreddit.objects.values()), list(Stream.objects.values())

        services.preview(bot.reddit_app, Plan.of(bot))

        assert (list(Subreddit.objects.values()), list(Stream.objects.values())) == before

    def test_progress_is_true_after_an_error(self, bot, reddit, no_pauses):
        reddit.control("faults", {"kind": "status", "status": 401, "path": "/comments"})
        progress = Progress()
        with client_for(bot.reddit_app, permits=None) as client:
            collector = Collector(Plan.of(bot), client, progress=progress)

            with pytest.raises(Unauthorized):
                collector.run()

        assert progress.posts_seen > 0
        assert {told["outcome"] for told in progress.outcomes.values()} == {"ok", "unauthorized"}

    def test_a_preview_tells_its_requests(self, bot):
        seen = []

        progress = services.preview(
            bot.reddit_app,
            Plan.of(bot),
            on_progress=lambda progress: seen.append(progress.requests),
        )

        assert seen == sorted(seen)
        assert 0 < seen[0] < progress.requests == sum(progress.requests_by_kind.values())
