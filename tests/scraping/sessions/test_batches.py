"""Bots that run together have one end and one summary, whatever becomes of each."""

import pytest
from django_celery_results.models import TaskResult

from bots import services as bot_services
from jobs.models import Batch
from jobs.runs import batches as job_batches
from scraping.models import ScrapeBatch, ScrapeSession
from scraping.sessions import batches
from tests.factories import BotFactory, SuperuserFactory
from tests.processes import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def statuses():
    return dict(ScrapeSession.objects.values_list("bot_name", "status"))


class TestAsking:
    def test_each_bot_has_a_queued_session_of_the_batch(self, broker):
        owner = SuperuserFactory()
        bots = BotFactory.create_batch(3)

        batch = batches.scrape_batch(bots, by=owner).batch

        sessions = batches.sessions_of(batch.pk)
        assert {session.bot for session in sessions} == set(bots)
        assert {(s.status, s.trigger) for s in sessions} == {("queued", "batch")}
        assert ScrapeBatch.objects.get().owner == owner
        assert ScrapeBatch.objects.get().summary is None

    def test_inactive_bots_are_left_out_and_told(self, broker):
        on, off = BotFactory(), BotFactory(is_active=False)

        asked = batches.scrape_batch([on, off])

        assert (asked.batch.total, asked.inactive) == (1, [off])

    def test_a_batch_of_none_is_refused(self, broker):
        with pytest.raises(ValueError, match="at least one active bot"):
            batches.scrape_batch([BotFactory(is_active=False)])

        assert not Batch.objects.exists()

    def test_a_long_list_of_bots_has_a_name_that_fits(self, broker):
        bots = BotFactory.create_batch(5, subreddits=["python"])
        for bot in bots:
            bot.name = bot.name + "x" * (100 - len(bot.name))

        assert len(batches.scrape_batch(bots).batch.name) <= 200

    def test_a_schedule_may_run_a_batch(self, broker):
        from scraping.tasks import scrape_batch

        bots = BotFactory.create_batch(2)

        told = scrape_batch([bot.pk for bot in bots])

        assert told == {"batch": ScrapeBatch.objects.get().pk, "sessions": 2}


class TestCancelling:
    def test_what_waits_never_starts(self, broker):
        bots = BotFactory.create_batch(3)
        batch = batches.scrape_batch(bots).batch

        assert batches.cancel(batch.scrape, by="somebody") == (3, 0)

        assert set(statuses().values()) == {"cancelled"}
        assert {s.error for s in ScrapeSession.objects.all()} == {"Cancelled by somebody."}
        batch.refresh_from_db()
        assert batch.status == "cancelled"
        summary = ScrapeBatch.objects.get().summary
        assert (summary["sessions"], summary["requests"]) == ({"cancelled": 3}, 0)


class TestTheSummary:
    def test_it_is_written_once(self, broker):
        batch = batches.scrape_batch([BotFactory()]).batch
        assert not batches.summarise(batch.pk), "it runs still"
        batches.cancel(batch.scrape, by="somebody")

        assert not batches.summarise(batch.pk)

    def test_one_that_nobody_wrote_is_written_later(self, broker):
        """The process died between the end of the batch and its summary."""
        batch = batches.scrape_batch([BotFactory()]).batch
        batches.cancel(batch.scrape, by="somebody")
        ScrapeBatch.objects.update(summary=None)

        assert batches.settle() == 1
        assert ScrapeBatch.objects.get().summary["sessions"] == {"cancelled": 1}
        assert batches.settle() == 0

    def test_batches_of_other_runs_are_none_of_ours(self, broker):
        job_batches.run_batch(
            [bot_services.RunRequest(task="scraping.rematch_bot", kwargs={"bot_id": 1},
                                     queue="cleanup", trigger="batch")],
            name="another",
        )  # fmt: skip

        assert not ScrapeBatch.objects.exists()
        assert not batches.summarise(Batch.objects.get().pk)


@pytest.mark.slow
def test_one_failing_bot_costs_no_other_and_is_told(reddit, processes):
    processes.environment["SIMULATOR_URL"] = reddit.url
    good = BotFactory.create_batch(2, subreddits=["berlin"])
    reddit.control("subreddits", {"name": "python", "status": "private"})
    failing = BotFactory(subreddits=["python"])
    batch = batches.scrape_batch([*good, failing]).batch
    processes.worker(concurrency=2)

    wait_until(
        lambda: ScrapeBatch.objects.get().summary is not None, what="the batch is summarised"
    )

    summary = ScrapeBatch.objects.get().summary
    assert summary["sessions"] == {"completed": 2, "failed": 1}
    assert statuses() == {good[0].name: "completed", good[1].name: "completed",
                          failing.name: "failed"}  # fmt: skip
    sessions = ScrapeSession.objects.all()
    for name in batches.ADDED_UP:
        assert summary[name] == sum(getattr(session, name) for session in sessions)
    assert summary["requests"] > 2
    batch.refresh_from_db()
    assert (batch.status, batch.done) == ("completed", 3)


@pytest.mark.slow
def test_a_running_batch_is_cancelled_at_its_next_safe_points(reddit, processes):
    processes.environment["SIMULATOR_URL"] = reddit.url
    reddit.control("faults", {"kind": "latency", "seconds": 3, "path": "/new"})
    bots = BotFactory.create_batch(2, subreddits=["python"])
    batch = batches.scrape_batch(bots).batch
    processes.worker(concurrency=1)
    wait_until(lambda: "running" in statuses().values(), what="the first is under way")

    waiting, running = batches.cancel(batch.scrape, by="somebody")

    assert (waiting, running) == (1, 1)
    wait_until(
        lambda: ScrapeBatch.objects.get().summary is not None, what="the batch is summarised"
    )
    assert ScrapeBatch.objects.get().summary["sessions"] == {"cancelled": 2}
    assert set(TaskResult.objects.filter(task_name="scraping.scrape_bot")
               .values_list("status", flat=True)) == {"REVOKED"}  # fmt: skip
