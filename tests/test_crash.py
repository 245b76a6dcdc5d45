"""A worker may be killed at any instruction: nothing is lost, nothing is told wrongly.

Slow: workers are processes of their own, on the database and broker of the test.
"""

import pytest
from django.db import connection
from django_celery_results.models import TaskResult

from bots import services as bot_services
from scraping.models import Gap, RedditPost, ScrapeSession
from scraping.simulator.server import SimulatorServer
from tests.factories import BotFactory
from tests.processes import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def reddit():
    """Subreddits of several pages each, in a world that stands still."""
    with SimulatorServer(
        port=0, control=True, speed=0, seed=5, history_hours=48, posts_per_hour=6, budget=None
    ) as server:
        yield server


@pytest.fixture
def workers(processes, reddit):
    processes.environment["SIMULATOR_URL"] = reddit.url
    return processes


def listed(reddit, *names):
    return {
        item["fullname"]
        for name in names
        for item in reddit.control(f"truth?subreddit={name}&kind=t3")["items"]
        if item["state"] == "live"
    }


def statuses():
    return [session.status for session in ScrapeSession.objects.order_by("queued_at", "pk")]


@pytest.mark.parametrize("pages", [0, 1, 3])
def test_a_worker_killed_in_mid_session(pages, workers, reddit):
    """After so many pages were answered the next one keeps it waiting, and there it is killed."""
    bot = BotFactory(subreddits=["python", "berlin"])
    stuck = {"kind": "latency", "seconds": 600, "path": "/new", "skip": pages}
    reddit.control("faults", stuck)
    first = workers.worker(name="first")
    run = bot_services.run_now(bot)
    wait_until(
        lambda: reddit.control("faults")["faults"][0]["hit"] == 1, what="it waits for a page"
    )
    assert statuses() == ["running"]
    stored = set(RedditPost.objects.values_list("fullname", flat=True))
    assert bool(stored) == bool(pages)

    first.kill()
    assert statuses() == ["running"], "nobody is left to say otherwise"
    reddit.control("faults", method="DELETE")
    workers.worker(name="second")

    wait_until(lambda: statuses()[0] == "interrupted", what="the session is told as interrupted")
    interrupted = ScrapeSession.objects.order_by("queued_at", "pk").first()
    assert interrupted.task_id == run.task_id
    assert interrupted.ended_at is not None

    second = bot_services.run_now(bot)
    wait_until(lambda: statuses()[-1] == "completed", what="the next session completes")
    names = RedditPost.objects.values_list("fullname", flat=True)
    assert len(names) == len(set(names))
    assert set(names) == stored | listed(reddit, "python", "berlin")
    assert not Gap.objects.exists()
    # The killed run begins again by itself, so that the rest may be its work or the next one's.
    after = ScrapeSession.objects.exclude(pk=interrupted.pk)
    wait_until(
        lambda: set(after.values_list("status", flat=True)) == {"completed"},
        what="the killed run and the next have ended",
    )
    assert sum(session.new for session in after) == len(set(names) - stored)
    wait_until(
        lambda: TaskResult.objects.get(task_id=second.task_id).status in ("SUCCESS", "SKIPPED"),
        what="the second run has ended",
    )


def test_a_worker_that_starts_closes_what_the_last_one_left(workers):
    from jobs import locks
    from scraping.sessions import lifecycle

    bot = BotFactory()
    with locks.hold(lifecycle.lock_key(bot.pk)):
        lifecycle.start(bot, trigger="schedule")

    workers.worker()

    wait_until(lambda: statuses() == ["interrupted"], what="it is closed")


def test_the_databases_connections_may_break_in_mid_session(workers, reddit):
    """The session ends somehow, and truthfully; the next one completes."""
    bot = BotFactory(subreddits=["python", "berlin"])
    reddit.control("faults", {"kind": "latency", "seconds": 1, "path": "/new", "skip": 1})
    workers.worker()
    bot_services.run_now(bot)
    wait_until(lambda: reddit.control("faults")["faults"][0]["hit"] == 1, what="it is under way")

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    reddit.control("faults", method="DELETE")

    bot_services.run_now(bot)
    wait_until(lambda: statuses()[-1] == "completed", what="the next session completes")
    assert "running" not in statuses()
    assert statuses()[0] in ("interrupted", "failed")
    names = list(RedditPost.objects.values_list("fullname", flat=True))
    assert set(names) == listed(reddit, "python", "berlin")
