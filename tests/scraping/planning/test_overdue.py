"""Bots that have read nothing for twice their interval are started; the others are left alone."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from django_celery_results.models import TaskResult

from bots import refusals, services
from bots.models import BotConfig
from jobs.runs import requests as runs
from scraping.models import ScrapeSession
from scraping.planning import overdue
from scraping.sessions import lifecycle
from scraping.tasks import start_overdue_bots
from tests.factories import BotFactory

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)


def bot_with(good=3 * HOUR, **fields):
    """A bot of an hourly interval whose last good session ended so long ago."""
    bot = BotFactory(**{"every": 1, "period": "hours"} | fields)
    now = timezone.now()
    BotConfig.objects.filter(pk=bot.pk).update(
        last_success_at=now - good if good else None, created_at=now - 100 * HOUR
    )
    bot.refresh_from_db()
    return bot


def test_it_is_started_and_said_so(broker, caplog):
    bot = bot_with(name="Late")

    assert start_overdue_bots() == ["Late"]

    session = ScrapeSession.objects.get()
    assert (session.bot, session.trigger, session.status) == (bot, "overdue", "queued")
    run = TaskResult.objects.get(task_id=session.task_id)
    assert run.task_name == services.SCRAPE_TASK
    assert "Bot Late is started: its last good session ended at" in caplog.text


@pytest.mark.parametrize("good", [None, timedelta(days=9), 2 * HOUR + timedelta(minutes=1)])
def test_those_that_are_too_late(broker, good):
    bot = bot_with(good)

    assert overdue.start() == [bot.name]


def test_not_before_twice_the_interval():
    bot_with(2 * HOUR - timedelta(minutes=1))

    assert overdue.start() == []


def test_nor_a_bot_that_is_new():
    BotFactory(every=1, period="hours")

    assert overdue.start() == []


def test_a_session_that_read_some_streams_is_good_enough():
    bot = bot_with(50 * HOUR)
    BotConfig.objects.filter(pk=bot.pk).update(
        last_session_status="partial", last_session_at=timezone.now() - HOUR
    )

    assert overdue.start() == []


@pytest.mark.parametrize(
    "off",
    [
        {"is_active": False},
        {"auto_scrape_enabled": False},
        {"paused_at": datetime(2026, 1, 1, tzinfo=UTC)},
    ],
)
def test_who_does_not_run_by_himself_is_left_alone(off):
    bot = bot_with()
    BotConfig.objects.filter(pk=bot.pk).update(**off)

    assert overdue.start() == []


def test_so_is_who_uses_a_refused_app(broker):
    bot = bot_with()
    refusals.refuse(bot.reddit_app, "Wrong.")
    assert overdue.start() == []

    refusals.accept(type(bot.reddit_app).objects.all())
    assert overdue.start() == [bot.name]


def test_and_who_waits_or_runs_already(broker):
    waits, runs_now, continues, fired = (bot_with() for _ in range(4))
    lifecycle.queue(waits, trigger="manual", task_id="one")
    lifecycle.start(runs_now, trigger="schedule", task_id="two")
    ScrapeSession.objects.create(
        bot=continues,
        bot_name="x",
        trigger="schedule",
        status="failed",
        continues_at=timezone.now() + HOUR,
    )
    request = runs.RunRequest(
        task=services.SCRAPE_TASK,
        kwargs={"bot_id": fired.pk},
        queue="scraping",
        trigger="schedule",
        schedule=services.schedule_name(fired.pk),
    )
    runs.record([request])

    assert overdue.start() == []
    assert not ScrapeSession.objects.filter(trigger="overdue").exists()


def test_it_is_started_once(broker):
    bot_with()

    assert len(overdue.start()) == 1
    assert overdue.start() == []


@pytest.mark.parametrize(
    ("crontab", "good", "now", "late"),
    [
        ("0 9 * * *", "2026-03-10 09:01", "2026-03-12 08:59", False),
        ("0 9 * * *", "2026-03-10 09:01", "2026-03-12 09:01", True),
        # 2026-03-13 is a Friday.
        ("0 9 * * 1-5", "2026-03-13 09:01", "2026-03-16 23:00", False),
        ("0 9 * * 1-5", "2026-03-13 09:01", "2026-03-17 09:01", True),
        ("0 0 1 * *", "2026-03-01 00:01", "2026-04-30 00:00", False),
        ("0 0 1 * *", "2026-03-01 00:01", "2026-05-01 00:01", True),
    ],
)
def test_of_a_crontab_two_firings_must_have_passed(broker, crontab, good, now, late):
    bot = BotFactory(schedule="crontab", crontab=crontab, timezone="UTC")
    good, now = (datetime.fromisoformat(f"{at}+00:00") for at in (good, now))
    BotConfig.objects.update(last_success_at=good, created_at=good)

    assert overdue.start(now=now) == ([bot.name] if late else [])


def test_it_is_installed_every_six_hours():
    row = PeriodicTask.objects.get(name="start-overdue-bots")

    assert (row.task, row.queue, str(row.interval)) == (
        "scraping.start_overdue_bots",
        "cleanup",
        "every 6 hours",
    )
