"""One beat leads by a lock on the database; the others send nothing."""

from datetime import timedelta

import psycopg2
import pytest
from django.db import connection
from django.utils import timezone
from django_celery_results.models import TaskResult

from jobs import locks
from jobs.beat.scheduler import LEADER_LOCK
from tests.jobs.conftest import runs_of, schedule


def test_a_standby_sends_nothing_until_the_leader_is_gone(beat):
    schedule(overdue=1)
    leader = locks.StandingLock(LEADER_LOCK)
    assert leader.try_acquire()
    try:
        assert beat.tick() <= 1
        assert TaskResult.objects.count() == 0
    finally:
        leader.release()
    deadline = timezone.now() + timedelta(seconds=5)
    while not runs_of("hourly") and timezone.now() < deadline:
        beat.tick()
    assert len(runs_of("hourly")) == 1


def test_a_leader_that_lost_its_lock_stops_at_once(beat, caplog):
    schedule(overdue=1)
    beat.scheduler._is_leader()
    pid = beat.scheduler.leadership._connection.info.backend_pid
    rival = locks.StandingLock(LEADER_LOCK)
    assert not rival.try_acquire()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 2000)", [pid])
    assert rival.try_acquire()
    try:
        beat.tick()
        assert runs_of("hourly") == []
        assert beat.knows() == {}
    finally:
        rival.release()
    assert "leads no longer" in caplog.text


def test_the_lock_is_where_its_setting_says(beat, settings):
    settings.LOCK_DATABASE_URL = "postgresql://nobody@127.0.0.1:9/nothing"
    with pytest.raises(psycopg2.OperationalError):
        locks.StandingLock(LEADER_LOCK).try_acquire()
    beat.scheduler.tick()
    assert "cannot be used" in beat.scheduler._trouble
