"""A stream that outruns what Reddit lists is read before its bots come to it."""

from datetime import timedelta

import pytest
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from django_celery_results.models import TaskResult

from bots import refusals
from config.celery import app as celery
from scraping import tasks
from scraping.coverage.rates import HALF_HORIZON
from scraping.models import Gap, RedditPost, ScrapeSession, Stream, Subreddit
from scraping.planning import early_reads
from scraping.sessions import services
from tests.factories import BotFactory, RedditAppFactory
from tests.scraping.bot_sessions import fill

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)


@pytest.fixture
def bot(reddit):
    """One that comes once a day, and has been there."""
    bot = BotFactory(subreddits=["python", "berlin"], every=1, period="days")
    services.scrape_bot(bot.pk, trigger="schedule")
    return bot


def overflow(name="python"):
    Stream.objects.filter(subreddit__name=name).update(poll_by=timezone.now())


def read_at():
    return dict(Stream.objects.values_list("subreddit__name", "last_fetch_at"))


def test_a_walk_says_by_when_its_streams_must_be_read_again(reddit):
    fill(reddit, "python", number=HALF_HORIZON // 2, each=2)
    bot = BotFactory(subreddits=["python"])

    services.scrape_bot(bot.pk, trigger="schedule")

    stream = Stream.objects.get()
    # 250 in 500 seconds, the quiet hours before notwithstanding.
    assert stream.arrivals_per_hour > 30
    assert timezone.now() < stream.poll_by < timezone.now() + 24 * HOUR


def test_only_what_overflows_is_read(bot, reddit):
    reddit.control("clock", {"advance": 3600})
    overflow()
    before, known = read_at(), RedditPost.objects.count()

    session = services.read_early(bot.reddit_app_id)

    after = read_at()
    assert after["python"] > before["python"]
    assert after["berlin"] == before["berlin"]
    assert (session.status, session.bot, session.trigger) == ("completed", None, "schedule")
    assert list(session.outcomes) == ["r/python posts"]
    assert RedditPost.objects.count() == known + session.new > known
    assert Stream.objects.get(subreddit__name="python").poll_by > timezone.now()
    assert not Gap.objects.exists()


def test_when_nothing_overflows_there_is_no_session(bot):
    sessions = ScrapeSession.objects.count()

    assert early_reads.apps_to_read_early() == []
    with pytest.raises(services.SessionSkipped, match="is about to overflow"):
        services.read_early(bot.reddit_app_id)

    assert ScrapeSession.objects.count() == sessions


@pytest.mark.parametrize("state", ["unwanted", "closed", "refused"])
def test_streams_that_nobody_may_or_wants_to_read_are_left(bot, state):
    overflow()
    assert early_reads.apps_to_read_early() == [bot.reddit_app_id]
    if state == "unwanted":
        bot.auto_scrape_enabled = False
        bot.save()
    elif state == "closed":
        Subreddit.objects.update(status="private")
    else:
        refusals.refuse(bot.reddit_app, "a wrong secret")

    assert early_reads.apps_to_read_early() == []


def test_each_app_that_needs_it_has_one_run(bot, broker):
    other = BotFactory(subreddits=["PYTHON"], reddit_app=RedditAppFactory())
    BotFactory(subreddits=["berlin"], reddit_app=RedditAppFactory())
    overflow()

    assert tasks.request_early_reads() == 2

    runs = TaskResult.objects.filter(task_name="scraping.read_early")
    asked = sorted(run.as_dict()["task_kwargs"] for run in runs)
    assert len(asked) == 2
    for app in (bot.reddit_app_id, other.reddit_app_id):
        assert any(str(app) in kwargs for kwargs in asked)


def test_what_one_app_has_read_the_other_need_not(bot, broker):
    other = BotFactory(subreddits=["python"], reddit_app=RedditAppFactory())
    overflow()
    services.read_early(bot.reddit_app_id)

    with pytest.raises(services.SessionSkipped):
        services.read_early(other.reddit_app_id)


def test_it_is_looked_for_each_minute():
    row = PeriodicTask.objects.get(name="request-early-reads")

    assert row.task in celery.tasks
    assert (row.enabled, row.queue, str(row.interval)) == (True, "cleanup", "every minute")
