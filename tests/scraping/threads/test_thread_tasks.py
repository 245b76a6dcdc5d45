"""Trees are read by runs of their own, and a worker may be killed at any instruction of theirs.

Slow: workers are processes of their own, on the database and broker of the test.
"""

import json

import pytest
from django_celery_results.models import TaskResult

from bots import services as bot_services
from scraping.budget.app_budget import AppBudget
from scraping.models import (
    CommentThread,
    RedditComment,
    RequestBudget,
    ScrapeSession,
    ThreadBranch,
)
from scraping.sessions import lifecycle, services
from tests.factories import BotFactory
from tests.processes import wait_until
from tests.scraping.still_reddit import still_reddit

pytestmark = pytest.mark.django_db(transaction=True)

# The one subreddit of the world.
NAME = "AskScience"


@pytest.fixture
def crowded(settings):
    """A thread of nine hundred comments and two small ones."""
    with still_reddit(
        seed=12, subreddits=1, posts_per_hour=0.15, comments_per_post=2000, history_hours=16
    ) as server:
        settings.SIMULATOR_URL = server.url
        yield server


def visible(reddit):
    """Every comment that trees show, by the simulator's own account."""
    comments = {item["fullname"]: item for item in reddit.control("truth?kind=t1")["items"]}
    posts = {
        item["fullname"]
        for item in reddit.control("truth?kind=t3")["items"]
        if item["state"] == "live"
    }
    shown = set()
    for name, item in comments.items():
        if item["state"] == "live" and item["link_id"] in posts:
            while name in comments and name not in shown:
                shown.add(name)
                name = comments[name]["parent_id"]
    return shown


def stored():
    return set(RedditComment.objects.values_list("fullname", flat=True))


def reading():
    return ScrapeSession.objects.filter(kind="threads").order_by("queued_at", "pk")


class TestRequests:
    def test_only_bots_with_something_due_ask_for_a_run(self, reddit, broker):
        bot = BotFactory(comments="threads")
        assert services.request_threads(bot.pk, trigger="schedule") is None, "nothing is matched"
        services.scrape_bot(bot.pk, trigger="schedule")

        run = services.request_threads(bot.pk, trigger="schedule")

        session = reading().get()
        assert (session.status, session.trigger, session.task_id) == (
            "queued", "schedule", run.task_id,
        )  # fmt: skip
        assert services.request_threads(bot.pk, trigger="schedule") is None, "one is on its way"
        plain = BotFactory(comments="stream", subreddits=bot.subreddits)
        services.scrape_bot(plain.pk, trigger="schedule")
        assert services.request_threads(plain.pk, trigger="schedule") is None

    def test_a_follower_keeps_its_predecessors_trigger(self, reddit, broker):
        """Its run is asked for by a task, which is no door of a session."""
        from scraping.tasks import read_threads, scrape_bot

        bot = BotFactory()
        for task in (scrape_bot, read_threads):
            task.apply_async(kwargs={"bot_id": bot.pk, "trigger": "schedule"}, countdown=60)

        queued = ScrapeSession.objects.order_by("pk")
        assert [s.trigger for s in queued] == ["schedule", "schedule"]
        assert [s.kind for s in queued] == ["listings", "threads"]
        done = services.scrape_bot(bot.pk, trigger="schedule", task_id=queued[0].task_id)
        assert done.status == "completed"

    def test_trees_wait_in_the_lane_refresh(self, reddit, broker, monkeypatch):
        lanes = []
        made = AppBudget.__init__

        def watched(self, *args, lane, **options):
            lanes.append(str(lane))
            made(self, *args, lane=lane, **options)

        monkeypatch.setattr(AppBudget, "__init__", watched)
        bot = BotFactory(comments="threads")
        services.scrape_bot(bot.pk, trigger="schedule")
        services.read_threads(bot.pk, trigger="schedule")

        assert lanes == ["fresh", "refresh"]

    def test_two_readers_of_a_bot_do_not_read_at_once(self, reddit):
        from jobs import locks

        bot = BotFactory(comments="threads")
        with (
            locks.hold(lifecycle.lock_key(bot.pk, "threads")),
            pytest.raises(services.SessionSkipped, match="is held by lurker"),
        ):
            services.read_threads(bot.pk, trigger="schedule")


@pytest.mark.slow
def test_a_worker_reads_the_trees_of_what_a_session_matched(crowded, processes):
    processes.environment["SIMULATOR_URL"] = crowded.url
    bot = BotFactory(comments="threads", subreddits=[NAME])
    bot_services.run_now(bot)
    processes.worker()

    wait_until(
        lambda: list(reading().values_list("status", flat=True)) == ["completed"],
        what="the trees are read",
        seconds=60,
    )
    assert stored() == visible(crowded)
    wait_until(
        lambda: set(TaskResult.objects.filter(task_name="scraping.read_threads")
                    .values_list("status", flat=True)) == {"SUCCESS"},
        what="the run has ended",
    )  # fmt: skip
    run = TaskResult.objects.get(task_name="scraping.read_threads")
    assert json.loads(run.result)["new"] == len(stored())


@pytest.mark.slow
@pytest.mark.parametrize("answers", [0, 1, 4])
def test_a_worker_killed_in_mid_tree(crowded, processes, answers):
    """After so many answers the next one keeps it waiting, and there it is killed."""
    processes.environment["SIMULATOR_URL"] = crowded.url
    bot = BotFactory(comments="threads", subreddits=[NAME])
    services.scrape_bot(bot.pk, trigger="manual")
    crowded.control("faults", {"kind": "latency", "seconds": 600, "skip": answers,
                               "path": "/comments/|/morechildren"})  # fmt: skip
    run = services.request_threads(bot.pk, trigger="schedule")
    first = processes.worker(name="first")
    wait_until(
        lambda: crowded.control("faults")["faults"][0]["hit"] == 1, what="it waits for an answer"
    )
    before = stored()
    waiting = set(ThreadBranch.objects.values_list("name", flat=True))
    assert bool(before) == bool(answers)

    first.kill()
    assert reading().get().status == "running", "nobody is left to say otherwise"
    crowded.control("faults", method="DELETE")
    assert set(ThreadBranch.objects.values_list("name", flat=True)) == waiting
    processes.worker(name="second")

    wait_until(
        lambda: list(reading().values_list("status", flat=True)) == ["interrupted", "completed"],
        what="the killed run has begun again and completed",
        seconds=60,
    )
    dead, again = reading()
    assert (again.resumes, again.task_id, dead.task_id) == (dead, run.task_id, run.task_id)
    assert stored() == visible(crowded)
    assert again.new == len(stored()) - len(before), "only what was not stored"
    assert not ThreadBranch.objects.exists()


@pytest.mark.slow
def test_a_spent_budget_gives_the_worker_back_and_goes_on_later(crowded, processes):
    processes.environment["SIMULATOR_URL"] = crowded.url
    processes.environment["REDDIT_BUDGET_WINDOW_SECONDS"] = "2"
    processes.environment["REDDIT_BUDGET_WAIT_SECONDS"] = "0"
    bot = BotFactory(
        comments="threads",
        subreddits=[NAME],
        reddit_app__requests_per_minute=180,  # six a window, of which `refresh` leaves some
    )
    services.scrape_bot(bot.pk, trigger="manual")
    RequestBudget.objects.all().delete()
    services.request_threads(bot.pk, trigger="schedule")
    processes.worker()

    wait_until(
        lambda: (
            CommentThread.objects.exists()
            and not CommentThread.objects.filter(read_at=None).exists()
            and not reading().filter(status__in=["queued", "running"]).exists()
        ),
        what="followers have read the rest",
        seconds=120,
    )
    ends = list(reading())
    assert len(ends) > 1
    assert ends[-1].status == "completed"
    assert {s.outcomes["threads"]["outcome"] for s in ends[:-1]} == {"throttled"}
    assert stored() == visible(crowded)


@pytest.mark.slow
def test_a_reading_session_is_cancelled_at_its_next_safe_point(crowded, processes):
    processes.environment["SIMULATOR_URL"] = crowded.url
    bot = BotFactory(comments="threads", subreddits=[NAME])
    services.scrape_bot(bot.pk, trigger="manual")
    crowded.control("faults", {"kind": "latency", "seconds": 1.5, "path": "/morechildren"})
    services.request_threads(bot.pk, trigger="schedule")
    processes.worker()
    wait_until(lambda: stored(), what="something is stored")

    assert lifecycle.cancel(reading().get(), by="somebody")

    wait_until(lambda: reading().get().status == "cancelled", what="it has ended")
    session = reading().get()
    assert session.error == "Cancelled by somebody."
    assert session.new == len(stored()) < len(visible(crowded))
    crowded.control("reset", {})
    assert services.read_threads(bot.pk, trigger="manual").status == "completed"
    assert stored() == visible(crowded)
