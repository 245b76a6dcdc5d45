"""Workers run sessions by the tasks' names, over a real broker."""

import json

import pytest
from celery.contrib.testing.worker import start_worker
from celery.signals import task_postrun
from django.core.management import call_command
from django.db import connections
from django_celery_beat.models import PeriodicTask
from django_celery_results.models import TaskResult

from bots import services as bot_services
from config.celery import app
from scraping.models import RedditPost, ScrapeSession
from tests.factories import BotFactory
from tests.processes import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

QUEUES = ["default", "scraping", "cleanup"]


@pytest.fixture
def worker(broker):
    """A worker in a thread of this process, on the test's database and broker."""

    def leave_no_connection(**_):
        connections.close_all()  # those of the thread that ran the task

    task_postrun.connect(leave_no_connection)
    with start_worker(app, pool="solo", perform_ping_check=False, queues=QUEUES, loglevel="ERROR"):
        yield
    task_postrun.disconnect(leave_no_connection)


def wait_for(task_id):
    done = ("SUCCESS", "FAILURE", "SKIPPED")
    wait_until(
        lambda: TaskResult.objects.filter(task_id=task_id, status__in=done).exists(),
        what=f"run {task_id} has ended",
    )
    return TaskResult.objects.get(task_id=task_id)


def test_run_now_ends_in_stored_posts(reddit, worker):
    bot = BotFactory()

    run = wait_for(bot_services.run_now(bot).task_id)

    session = ScrapeSession.objects.get()
    assert (run.status, session.status, session.trigger) == ("SUCCESS", "completed", "manual")
    assert run.as_dict()["result"].count(f'"session": {session.pk}') == 1
    assert RedditPost.objects.filter(subreddit__name="python").count() == session.new > 0
    assert TaskResult.objects.count() == 1, "a run has one row, from its request to its end"


def test_what_beat_sends_is_a_scheduled_session(reddit, worker):
    bot = BotFactory()
    row = PeriodicTask.objects.get(name=f"scrape-bot-{bot.pk}")

    sent = app.send_task(row.task, kwargs=json.loads(row.kwargs), queue=row.queue)

    assert wait_for(sent.id).status == "SUCCESS"
    assert ScrapeSession.objects.get().trigger == "schedule"


def test_a_run_that_has_nothing_to_do_says_why(worker):
    sent = app.send_task("scraping.scrape_bot", kwargs={"bot_id": 999_999}, queue="scraping")

    run = wait_for(sent.id)

    assert run.status == "SKIPPED"
    assert "does not exist any more" in json.loads(run.meta)["reason"]


def test_reddits_faults_end_the_session_and_not_the_task(reddit, worker):
    reddit.control("faults", {"kind": "status", "status": 429})

    run = wait_for(bot_services.run_now(BotFactory()).task_id)

    assert run.status == "SUCCESS"
    # Another run follows when there is budget again.
    assert ScrapeSession.objects.earliest("queued_at").status == "failed"


def test_the_sweep_that_does_the_same_is_scheduled_once_and_stays_the_operators():
    PeriodicTask.objects.filter(name="close-interrupted-sessions").delete()
    call_command("migrate", "scraping", verbosity=0)
    row = PeriodicTask.objects.get(name="close-interrupted-sessions")
    assert row.task in app.tasks
    assert (row.enabled, row.queue, str(row.interval)) == (True, "cleanup", "every minute")

    PeriodicTask.objects.filter(pk=row.pk).update(enabled=False)
    call_command("migrate", "scraping", verbosity=0)

    row.refresh_from_db()
    assert not row.enabled
