"""Why is it not running? Every cause that can be found is named, with its remedy."""

import json
from datetime import timedelta

import pytest
from celery import states
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from django_celery_results.models import TaskResult

from bots import services
from jobs import locks
from jobs.beat.scheduler import LEADER_LOCK
from jobs.models import SchedulePolicy
from jobs.runs import statistics, store
from jobs.runs.store import RunRequest
from jobs.schedules import diagnosis
from jobs.schedules import services as schedules
from jobs.schedules.services import ScheduleSpec
from tests.factories import BotFactory
from tests.jobs.test_locks import HOLDER
from tests.processes import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

JOB = "scraping.close_interrupted_sessions"


@pytest.fixture
def hourly():
    schedules.upsert([ScheduleSpec("hourly", JOB, {}, queue="cleanup", every=timedelta(hours=1))])
    return PeriodicTask.objects.get(name="hourly")


def causes(name="hourly", **options):
    return [finding.cause for finding in diagnosis.why(name, **options)]


def finished(status, *, seconds=1.0, reason="", at=None):
    """A run of the schedule that has ended."""
    run = RunRequest(JOB, {}, "cleanup", "schedule", schedule="hourly", notes={"reason": reason})
    store.record([run])
    started = at or timezone.now()
    TaskResult.objects.filter(task_id=run.task_id).update(
        status=status, date_started=started, date_done=started + timedelta(seconds=seconds)
    )


def test_with_a_beat_nothing_keeps_it(hourly):
    with locks.hold(LEADER_LOCK):
        assert causes(ask_workers=False) == []


def test_no_beat_is_alive(hourly):
    assert causes(ask_workers=False) == ["No beat is running, so no schedule is fired."]


def test_a_schedule_that_does_not_exist():
    assert causes("nightly") == ["There is no schedule named “nightly”."]


def test_no_worker_reads_its_queue(hourly, broker):
    with locks.hold(LEADER_LOCK):
        assert causes() == ["No worker reads the queue cleanup."]


@pytest.mark.slow
def test_a_worker_that_reads_it_is_found(hourly, processes):
    processes.worker(queues="cleanup")
    with locks.hold(LEADER_LOCK):
        assert causes() == []


def test_what_stands_on_the_row(hourly):
    now = timezone.now()
    PeriodicTask.objects.update(
        enabled=False, task="gone.task", start_time=now + timedelta(days=1), expires=now
    )
    SchedulePolicy.objects.create(
        periodic_task=hourly, problem="kwargs are no JSON", problem_since=now
    )
    with locks.hold(LEADER_LOCK):
        told = " ".join(causes(ask_workers=False))
    assert "is disabled" in told
    assert "kwargs are no JSON" in told
    assert "gone.task" in told
    assert "The schedule starts at" in told
    assert "The schedule ended at" in told


def test_its_runs_tell(hourly):
    waiting = RunRequest(JOB, {}, "cleanup", "schedule", schedule="hourly")
    store.record([waiting])
    TaskResult.objects.update(date_created=timezone.now() - timedelta(minutes=5))
    with locks.hold(LEADER_LOCK):
        assert [waiting.task_id in cause for cause in causes(ask_workers=False)] == [True]

        finished(states.FAILURE, reason="no such table")
        assert any("FAILURE" in c and "no such table" in c for c in causes(ask_workers=False))


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        ({"auto_scrape_enabled": False}, "is paused"),
        ({"is_active": False}, "is inactive"),
    ],
)
def test_a_bot_says_why_its_schedule_is_off(changed, cause):
    bot = BotFactory(**changed)
    assert any(cause in told for told in causes(services.schedule_name(bot.pk), ask_workers=False))


@pytest.fixture
def of_a_bot():
    """The schedule of a job that holds a lock; the default of its other argument is in no key."""
    schedules.upsert(
        [
            ScheduleSpec(
                "of-a-bot",
                "scraping.scrape_bot",
                {"bot_id": 7},
                queue="scraping",
                every=timedelta(hours=1),
            )
        ]
    )
    return PeriodicTask.objects.get(name="of-a-bot")


@pytest.mark.slow
def test_the_process_that_holds_its_lock_is_named(
    of_a_bot, processes, admin_client, broker, capsys
):
    holder = processes.start("-c", HOLDER, "scrape-bot:7", name="holder", ready="HELD")
    since = locks.holder("scrape-bot:7").since

    with locks.hold(LEADER_LOCK), locks.hold("scrape-bot:8"):
        (cause,) = causes("of-a-bot", ask_workers=False)
        assert cause.startswith("The lock scrape-bot:7 is held by lurker ")
        assert f":{holder.pid} " in cause
        assert f"since {timezone.localtime(since):%Y-%m-%d %H:%M:%S}" in cause
        call_command("why", "of-a-bot", "--json")
        told = {row["cause"]: row["remedy"] for row in json.loads(capsys.readouterr().out)}
        assert "cancel that run" in told[cause]
        page = reverse("admin:django_celery_beat_periodictask_change", args=[of_a_bot.pk])
        assert cause in admin_client.get(page).content.decode()

        holder.kill()

        wait_until(
            lambda: causes("of-a-bot", ask_workers=False) == [], what="the lock is free again"
        )


def test_arguments_that_make_no_lock_are_a_cause(of_a_bot):
    PeriodicTask.objects.filter(pk=of_a_bot.pk).update(kwargs='{"bot_id": "seven"}')
    with locks.hold(LEADER_LOCK):
        (cause,) = causes("of-a-bot", ask_workers=False)
    assert "bot_id: 'seven' is not a whole number" in cause


def test_statistics_of_a_schedule(hourly, django_assert_num_queries):
    for seconds in range(1, 101):
        finished(states.SUCCESS if seconds > 20 else states.FAILURE, seconds=seconds)
    store.record([RunRequest(JOB, {}, "cleanup", "schedule", schedule="hourly")])

    with django_assert_num_queries(1):
        found = statistics.of_schedule("hourly")

    assert (found.runs, found.ended, found.succeeded) == (101, 100, 80)
    assert found.success_share == pytest.approx(0.8)
    assert found.mean == pytest.approx(50.5)
    assert (found.p95, found.p99) == (pytest.approx(95.05), pytest.approx(99.01))


def test_statistics_of_a_schedule_that_never_ran(hourly):
    found = statistics.of_schedule("hourly")
    assert (found.runs, found.success_share, found.mean, found.last_at) == (0, None, None, None)
