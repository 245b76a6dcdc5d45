"""A beat inside the test process, and schedules for it."""

from datetime import timedelta

import pytest
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask, PeriodicTasks
from django_celery_results.models import TaskResult

from config.celery import app
from jobs.models import SchedulePolicy
from jobs.scheduler import LeaderScheduler

# A registered task that needs no Reddit; it is never run here.
TASK = "scraping.close_interrupted_sessions"


@pytest.fixture
def no_schedules(db):
    """No schedule but those of the test: migrations install some."""
    PeriodicTask.objects.all()._raw_delete("default")
    PeriodicTasks.update_changed()


class Beat:
    """A scheduler whose ticks the test makes."""

    def __init__(self):
        app.loader.import_default_modules()
        self.scheduler = LeaderScheduler(app=app)

    def tick(self):
        pause = self.scheduler.tick()
        self.scheduler.publisher.drain()
        return pause

    def resync(self):
        """Let the time of the next unasked look come."""
        self.scheduler._resync_at = 0.0
        return self.tick()

    def knows(self):
        return {schedule.name: schedule for schedule in self.scheduler.loaded.by_id.values()}


@pytest.fixture
def beat(no_schedules, broker):
    found = Beat()
    yield found
    found.scheduler.close()


def schedule(name="hourly", *, every=3600, overdue=None, policy=None, **columns):
    """Create a schedule, due so many seconds ago if `overdue` is given."""
    if not {"interval", "crontab", "clocked", "solar"} & columns.keys():
        columns["interval"] = interval(every)
    if overdue is not None:
        columns["last_run_at"] = timezone.now() - timedelta(seconds=every + overdue)
    row = PeriodicTask.objects.create(name=name, **{"task": TASK, **columns})
    if policy is not None:
        SchedulePolicy.objects.create(periodic_task=row, **policy)
    return row


def interval(seconds):
    found, _ = IntervalSchedule.objects.get_or_create(every=seconds, period="seconds")
    return found


def runs_of(name):
    return list(TaskResult.objects.filter(periodic_task_name=name).order_by("pk"))


def waiting_in(queue):
    """How many messages wait in a queue."""
    with app.connection_for_write() as connection:
        channel = connection.default_channel
        if connection.transport.driver_type == "redis":
            return channel.client.llen(queue)
        return channel.queue_declare(queue, passive=True).message_count
