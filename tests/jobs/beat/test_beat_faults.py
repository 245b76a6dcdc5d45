"""Faults of beats, their database and their broker, with real processes and servers."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import timedelta

import psycopg2
import pytest
from django.utils import timezone
from django_celery_beat.models import PeriodicTask, PeriodicTasks
from django_celery_results.models import TaskResult

from config.environment import BASE_DIR
from jobs.beat.firing import task_id_of
from local.servers.postgres import PostgresServer
from local.servers.redis import RedisServer
from tests import needs
from tests.jobs.conftest import TASK, interval, runs_of, schedule
from tests.processes import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

LEADS = "leads from now on"


@pytest.fixture
def beats(processes):
    """Start beats; no schedules but those of the test."""
    PeriodicTask.objects.all()._raw_delete("default")
    PeriodicTasks.update_changed()

    def start(ready=LEADS):
        return processes.beat(ready=ready)

    return start


def recorded(name="every second"):
    return TaskResult.objects.filter(periodic_task_name=name).count()


def slots_of(row):
    """Which slots of an interval were recorded, by the ids that their runs must have."""
    row.refresh_from_db()
    ids = set(TaskResult.objects.values_list("task_id", flat=True))
    every = timedelta(seconds=row.interval.every)
    slots, slot = [], row.last_run_at
    while task_id_of(row.pk, slot) in ids:
        slots.append(slot)
        slot -= every
    return slots


def messages(redis):
    """The task ids of the messages that wait."""
    return [json.loads(message)["headers"]["id"] for message in redis()]


@pytest.fixture
def redis(broker, settings):
    """Read the messages of the queue as they are, which only Redis lets us do."""
    from config.celery import app

    with app.connection_for_write() as found:
        needs.REDIS.require()
        client = found.default_channel.client
        # The client puts the prefix before the keys of some commands; LRANGE is none of them.
        yield lambda: client.lrange(f"{settings.BROKER_PREFIX}scraping", 0, -1)


def age(row, seconds):
    """Make the schedule's last run so much older, as if the clock had gone on."""
    PeriodicTask.objects.filter(pk=row.pk).update(
        last_run_at=row.last_run_at - timedelta(seconds=seconds)
    )


def test_a_slot_is_not_fired_again_after_sigkill(beats, redis):
    """Fault 10. Stock writes back every three minutes and fires the slot again."""
    row = schedule("hourly", overdue=10)
    first = beats()
    wait_until(lambda: recorded("hourly") == 1 and len(messages(redis)) == 1)
    first.kill()
    beats()
    time.sleep(3)
    assert (recorded("hourly"), len(messages(redis))) == (1, 1)
    row.refresh_from_db()
    assert row.total_run_count == 1


def test_kills_at_any_moment_fire_no_slot_twice_and_lose_none(beats, redis):
    rows = [schedule(f"second {number}", every=1, overdue=1) for number in range(20)]
    for _ in range(3):
        beat = beats()
        wait_until(lambda: recorded("second 0") > 0)
        time.sleep(1.3)
        beat.kill()
    ids = Counter(messages(redis))
    assert max(ids.values()) == 1
    known = set(TaskResult.objects.values_list("task_id", flat=True))
    assert set(ids) <= known
    for row in rows:
        row.refresh_from_db()
        # Every count has its run, and every run was counted: both were written in one commit.
        assert row.total_run_count == recorded(row.name)
        assert slots_of(row)


def test_two_beats_send_each_slot_once_and_the_standby_takes_over(beats, redis):
    """Fault 11."""
    row = schedule("every second", every=1, overdue=1, policy={"coalesce": False})
    began = row.last_run_at
    leader = beats()
    standby = beats(ready="standing by")
    wait_until(lambda: recorded() >= 3)
    leader.kill()
    killed = time.monotonic()
    before = recorded()
    standby.wait_for(LEADS, seconds=10)
    wait_until(lambda: recorded() > before + 2)
    assert time.monotonic() - killed < 10
    standby.kill()
    slots = slots_of(row)
    assert len(slots) == recorded() == (row.last_run_at - began) // timedelta(seconds=1)
    assert max(Counter(messages(redis)).values()) == 1


def test_a_beat_that_is_stopped_frees_the_leadership_at_once(beats):
    leader = beats()
    standby = beats(ready="standing by")
    leader.terminate()
    standby.wait_for(LEADS, seconds=3)


def test_the_interleaved_commits_of_two_edits_are_both_seen(beats, process_environment):
    """Fault 12: the older stamp commits last."""
    rows = [schedule(name, every=86_400) for name in ("one", "two")]
    beats()
    second = interval(1).pk
    time.sleep(1.5)  # the beat has seen what the set-up announced
    late = psycopg2.connect(process_environment["DATABASE_URL"])
    try:
        with late.cursor() as cursor:
            cursor.execute(
                "UPDATE django_celery_beat_periodictask SET interval_id = %s WHERE id = %s",
                [second, rows[0].pk],
            )
            older = timezone.now()
            rows[1].interval_id = second
            rows[1].save()
            wait_until(lambda: recorded("two") > 0, seconds=10)
            cursor.execute("UPDATE django_celery_beat_periodictasks SET last_update = %s", [older])
        late.commit()
        wait_until(lambda: recorded("one") > 0, seconds=10)
    finally:
        late.close()


def test_an_edit_in_the_admin_takes_effect_within_two_seconds(beats):
    row = schedule("edited", every=86_400)
    beats()
    second = interval(1)
    time.sleep(1.5)
    row.interval = second
    row.last_run_at = timezone.now() - timedelta(seconds=5)
    row.save()
    wait_until(lambda: recorded("edited") > 0, seconds=2)


def test_raw_sql_takes_effect_within_the_resync_interval(beats):
    row = schedule("edited", every=86_400)
    beats()
    age(PeriodicTask(pk=row.pk, last_run_at=timezone.now()), 86_401)
    wait_until(lambda: recorded("edited") > 0, seconds=12)


def test_a_missed_daily_run_is_made_up_for_or_skipped(beats):
    """Fault 13: down at the slot, up five hours later; no other run of the same day."""
    from django_celery_beat.models import CrontabSchedule

    missed = (timezone.now() - timedelta(hours=5)).replace(minute=0, second=0, microsecond=0)
    daily = CrontabSchedule.objects.create(minute="0", hour=str(missed.hour), timezone="UTC")
    yesterday = missed - timedelta(days=1)
    schedule("caught up", crontab=daily, last_run_at=yesterday)
    strict = {"misfire_grace_seconds": 600}
    schedule("skipped", crontab=daily, last_run_at=yesterday, policy=strict)
    schedule("canary", every=1, overdue=1)
    beats()
    wait_until(lambda: recorded("canary") >= 3)
    assert (recorded("caught up"), recorded("skipped")) == (1, 0)
    (run,) = runs_of("caught up")
    assert run.task_id == task_id_of(PeriodicTask.objects.get(name="caught up").pk, missed)


def test_corrupt_rows_do_not_stop_the_others(beats):
    """Fault 14."""
    PeriodicTask.objects.bulk_create(
        [
            PeriodicTask(name="no timing", task=TASK),
            PeriodicTask(name="bad args", task=TASK, interval=interval(1), args="[1"),
            PeriodicTask(name="no task", task="nobody.knows", interval=interval(1)),
        ]
    )
    schedule("every second", every=1, overdue=1)
    beat = beats()
    wait_until(lambda: recorded() >= 3)
    marked = PeriodicTask.objects.exclude(policy__problem="").exclude(policy=None)
    assert set(marked.values_list("name", flat=True)) == {"no timing", "bad args", "no task"}
    assert beat.output.count("does not run") == 3


@pytest.fixture
def own_postgres(tmp_path, process_environment):
    """A PostgreSQL of this test's own, which it may stop, with the schema."""
    data_dir = tmp_path / "postgres"
    data_dir.mkdir()
    server = PostgresServer(data_dir)
    server.start()
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity=0"],
        check=True,
        cwd=BASE_DIR,
        env=process_environment | {"TEST_DATABASE_URL": server.url()},
    )
    yield server
    server.stop()


def ask(server, statement, *parameters):
    """Run a statement on a test's own server; its rows, if there are any."""
    found = psycopg2.connect(server.url())
    try:
        found.autocommit = True
        with found.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []
    finally:
        found.close()


COUNTS = """
    SELECT name, total_run_count, (SELECT count(*) FROM django_celery_results_taskresult r
                                   WHERE r.periodic_task_name = t.name)
    FROM django_celery_beat_periodictask t WHERE task = %s ORDER BY name
"""


def test_a_beat_survives_its_database_and_fires_nothing_twice(processes, own_postgres, redis):
    """Fault 9: gone for longer than the resync interval."""
    ask(own_postgres, "DELETE FROM django_celery_beat_periodictask")
    ask(
        own_postgres,
        """
        WITH timing AS (INSERT INTO django_celery_beat_intervalschedule (every, period)
                        VALUES (1, 'seconds'), (3600, 'seconds') RETURNING id, every)
        INSERT INTO django_celery_beat_periodictask
            (name, task, queue, interval_id, args, kwargs, headers, one_off, enabled, last_run_at,
             total_run_count, date_changed, description)
        SELECT 'every ' || every, %s, 'scraping', id, '[]', '{}', '{}', false, true,
               now() - make_interval(secs => every + 1), 0, now(), ''
        FROM timing
        """,
        TASK,
    )
    beat = processes.start(
        *("-m", "celery", "-A", "config", "beat", "--pidfile="),
        name="beat",
        environment={"TEST_DATABASE_URL": own_postgres.url(), "BEAT_RESYNC_SECONDS": "2"},
        ready=LEADS,
    )
    wait_until(lambda: ask(own_postgres, COUNTS, TASK)[0][1] >= 2)
    own_postgres.process().send_signal(signal.SIGQUIT)  # "immediate": as in a crash
    beat.wait_for("the database cannot be used")
    time.sleep(4)
    assert beat.is_running
    own_postgres.start()
    before = dict(
        ask(own_postgres, "SELECT name, total_run_count FROM django_celery_beat_periodictask")
    )
    wait_until(lambda: ask(own_postgres, COUNTS, TASK)[0][1] > before["every 1"] + 1)
    beat.kill()
    counts = ask(own_postgres, COUNTS, TASK)
    # Counted and recorded alike; the hourly one once, before or after.
    assert all(counted == recorded_runs for _, counted, recorded_runs in counts)
    assert {name: counted for name, counted, _ in counts}["every 3600"] == 1
    assert max(Counter(messages(redis)).values()) == 1
    assert beat.output.count("the database cannot be used") == 1
    assert "Traceback" not in beat.output


@pytest.fixture
def own_redis(tmp_path):
    """A Redis server of this test's own, which it may freeze."""
    data_dir = tmp_path / "redis"
    data_dir.mkdir()
    server = RedisServer(data_dir)
    server.start()
    yield server
    server.process().resume()
    server.stop()


def test_a_frozen_broker_delays_no_tick_and_loses_no_run(processes, own_redis, beats):
    row = schedule("every second", every=1, overdue=1, policy={"coalesce": False})
    beat = processes.start(
        *("-m", "celery", "-A", "config", "beat", "--pidfile="),
        name="beat",
        environment={"TEST_CELERY_BROKER_URL": own_redis.url()},
        ready=LEADS,
    )
    wait_until(lambda: recorded() >= 2)
    own_redis.process().suspend()
    frozen, before = time.monotonic(), recorded()
    wait_until(lambda: recorded() >= before + 8, seconds=11)
    assert time.monotonic() - frozen < 11
    late = TaskResult.objects.order_by("-pk")[0].date_created
    row.refresh_from_db()
    assert late - row.last_run_at < timedelta(seconds=1.5)
    beat.wait_for("the broker does not take them", seconds=40)
    own_redis.process().resume()
    beat.wait_for("the broker takes runs again", seconds=30)
    assert len(slots_of(row)) == recorded()


def test_a_closed_broker_stops_nothing_but_the_messages(processes, beats):
    schedule("every second", every=1, overdue=1)
    beat = processes.start(
        *("-m", "celery", "-A", "config", "beat", "--pidfile="),
        name="beat",
        environment={"TEST_CELERY_BROKER_URL": "redis://127.0.0.1:9/0"},
        ready=LEADS,
    )
    wait_until(lambda: recorded() >= 5)
    assert set(TaskResult.objects.values_list("status", flat=True)) == {"PENDING"}
    assert beat.output.count("the broker does not take them") == 1
