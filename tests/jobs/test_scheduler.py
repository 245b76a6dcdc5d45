"""The beat on a real database: what it fires, what it writes, what it notices."""

import json
import time
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest
from django.db import OperationalError, connection
from django.utils import timezone
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    PeriodicTasks,
)
from django_celery_results.models import TaskResult

from config.celery import app
from jobs import firing, locks, schedules
from jobs.models import SchedulePolicy
from jobs.scheduler import LEADER_LOCK, Entry
from tests.jobs.conftest import TASK, interval, runs_of, schedule, waiting_in


def test_what_is_due_is_recorded_written_back_and_sent(beat):
    row = schedule(overdue=5, kwargs='{"verbose": true}', args="[1]", headers='{"from": "us"}')
    slot = row.last_run_at + timedelta(hours=1)
    beat.tick()
    (run,) = runs_of("hourly")
    assert (run.status, run.task_name) == ("PENDING", TASK)
    assert (json.loads(run.task_args), json.loads(run.task_kwargs)) == ([1], {"verbose": True})
    assert json.loads(run.meta)["trigger"] == "schedule"
    row.refresh_from_db()
    assert (row.last_run_at, row.total_run_count, row.enabled) == (slot, 1, True)
    assert waiting_in(json.loads(run.meta)["queue"]) == 1
    beat.tick()
    assert len(runs_of("hourly")) == 1


def test_a_run_expires_within_its_interval(beat):
    schedule("short", every=60, overdue=0)
    schedule("long", every=60, overdue=0, expire_seconds=86_400)
    beat.tick()
    for name in ("short", "long"):
        (run,) = runs_of(name)
        expires_at = datetime.fromisoformat(json.loads(run.meta)["expires_at"])
        assert expires_at - run.date_created <= timedelta(seconds=60)


def test_an_interval_keeps_step_however_late_the_tick(beat):
    row = schedule(every=60, overdue=45)
    beat.tick()
    assert beat.knows()["hourly"].due == row.last_run_at + timedelta(seconds=120)


def due_rows(count):
    second = interval(3600)
    rows = [
        PeriodicTask(
            name=f"due {number}",
            task=TASK,
            interval=second,
            last_run_at=timezone.now() - timedelta(seconds=3600 + number % 60),
        )
        for number in range(count)
    ]
    PeriodicTask.objects.bulk_create(rows)


def test_all_that_is_due_goes_out_in_one_tick(beat):
    due_rows(1_200)
    beat.tick()
    assert TaskResult.objects.count() == 1_200
    assert PeriodicTask.objects.filter(total_run_count=1).count() == 1_200


@pytest.mark.parametrize("count", [1, 500])
def test_500_cost_as_many_statements_as_one(beat, count, django_assert_num_queries):
    """The look, the update, the runs; a test's transaction adds a savepoint. Stock: 6,000."""
    beat.tick()
    due_rows(count)
    beat.resync()
    PeriodicTask.objects.update(last_run_at=timezone.now() - timedelta(seconds=3601))
    beat.scheduler._resync_at = 0.0
    beat.scheduler._look()
    with django_assert_num_queries(5):
        beat.tick()
    assert TaskResult.objects.count() == 2 * count


def test_an_idle_tick_is_one_small_query(beat, django_assert_num_queries):
    schedule()
    beat.tick()
    with django_assert_num_queries(1):
        beat.tick()


def test_an_edit_is_seen_at_the_next_tick_and_reads_one_row(beat, django_assert_num_queries):
    due_rows(300)
    beat.resync()
    row = PeriodicTask.objects.get(name="due 7")
    row.expire_seconds = 17
    row.save()
    before = beat.knows()
    # The stamp, the four timing tables, the blocks, the versions of one, the row.
    with django_assert_num_queries(5):
        beat.tick()
    after = beat.knows()
    assert after["due 7"].expire_seconds == 17
    assert [name for name in before if after[name] is not before[name]] == ["due 7"]
    assert after["due 7"].due == before["due 7"].due


def test_an_edit_of_a_schedule_that_never_ran_does_not_begin_its_interval_anew(beat):
    row = schedule()
    beat.tick()
    due = beat.knows()["hourly"].due
    PeriodicTask.objects.filter(pk=row.pk).update(
        date_changed=timezone.now() + timedelta(minutes=20), description="edited"
    )
    PeriodicTasks.update_changed()
    beat.tick()
    assert beat.knows()["hourly"].due == due


def test_changes_that_nothing_announces_are_seen_at_the_resync(beat):
    for name in ("updated", "deleted", "kept"):
        schedule(name)
    timing = interval(5)
    beat.tick()
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE django_celery_beat_periodictask SET expire_seconds = 5 WHERE name = 'updated'"
        )
        cursor.execute("DELETE FROM django_celery_beat_periodictask WHERE name = 'deleted'")
    PeriodicTask.objects.bulk_create([PeriodicTask(name="new", task=TASK, interval=timing)])
    beat.tick()
    assert set(beat.knows()) == {"updated", "deleted", "kept"}
    beat.resync()
    assert set(beat.knows()) == {"updated", "new", "kept"}
    assert beat.knows()["updated"].expire_seconds == 5


def test_a_disabled_schedule_is_forgotten_and_a_deleted_one_never_fires(beat):
    disabled, deleted = schedule("disabled", overdue=-0.2), schedule("deleted", overdue=-0.2)
    beat.tick()
    PeriodicTask.objects.filter(pk=disabled.pk).update(enabled=False)
    PeriodicTask.objects.filter(pk=deleted.pk)._raw_delete("default")
    time.sleep(0.3)  # due now, and nothing was announced
    beat.tick()
    assert TaskResult.objects.count() == 0
    beat.tick()
    assert beat.knows() == {}


def test_an_edit_in_the_same_moment_wins_over_what_the_beat_remembers(beat):
    row = schedule(every=60, overdue=-0.2)
    slower = interval(7200)
    beat.tick()
    PeriodicTask.objects.filter(pk=row.pk).update(interval=slower)
    time.sleep(0.3)
    beat.tick()
    beat.tick()
    assert TaskResult.objects.count() == 0
    assert beat.knows()["hourly"].due == row.last_run_at + timedelta(seconds=7200)


def test_a_changed_interval_row_moves_all_its_schedules(beat):
    row = schedule()
    beat.tick()
    timing = row.interval
    timing.every = 7200
    timing.save()
    beat.tick()
    assert beat.knows()["hourly"].due - row.date_changed == timedelta(seconds=7200)


def daily(hour, zone="UTC"):
    return CrontabSchedule.objects.create(minute="0", hour=str(hour), timezone=zone)


def test_a_missed_daily_crontab_is_caught_up_once(beat):
    """Stock hides it until two hours before its next slot, then fires both (fault 13)."""
    missed = (timezone.now() - timedelta(hours=5)).replace(minute=0, second=0, microsecond=0)
    row = schedule("daily", crontab=daily(missed.hour), last_run_at=missed - timedelta(days=1))
    beat.tick()
    assert len(runs_of("daily")) == 1
    row.refresh_from_db()
    assert row.last_run_at == missed
    assert beat.knows()["daily"].due == missed + timedelta(days=1)


def test_a_missed_daily_crontab_beyond_its_grace_is_skipped(beat):
    missed = (timezone.now() - timedelta(hours=5)).replace(minute=0, second=0, microsecond=0)
    schedule(
        "daily",
        crontab=daily(missed.hour),
        last_run_at=missed - timedelta(days=1),
        policy={"misfire_grace_seconds": 3600},
    )
    beat.tick()
    assert runs_of("daily") == []
    assert beat.knows()["daily"].due == missed + timedelta(days=1)


def test_a_crontab_set_to_an_hour_that_is_past_waits_for_tomorrow(beat):
    now = timezone.now()
    row = schedule("daily", crontab=daily((now.hour + 2) % 24), last_run_at=now - timedelta(days=1))
    row.last_run_at = now - timedelta(hours=22)
    row.save()
    beat.tick()
    row.crontab = daily((now.hour - 1) % 24)
    row.save()
    beat.tick()
    assert runs_of("daily") == []


@pytest.mark.parametrize("edited", ["schedule", "crontab"])
def test_the_admin_and_a_beat_that_comes_later_know_that_nothing_was_missed(beat, edited):
    now = timezone.now()
    later, past = (now + timedelta(hours=2)).hour, (now - timedelta(hours=1)).hour
    row = schedule("daily", crontab=daily(later), last_run_at=now - timedelta(hours=22))
    if edited == "schedule":
        row.crontab = daily(past)
        row.save()
    else:
        row.crontab.hour = str(past)
        row.crontab.save()

    row = schedules.find(["daily"])["daily"]
    assert schedules.next_run_at(row) > now + timedelta(hours=20)
    beat.tick()  # its first: it has not seen the row before
    assert runs_of("daily") == []
    assert beat.knows()["daily"].due == schedules.next_run_at(row)


def test_counting_unfinished_runs_reads_their_index_alone(beat):
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO django_celery_results_taskresult
                (task_id, periodic_task_name, status, content_type, content_encoding,
                 date_created, date_done, meta)
            SELECT 'old-' || n, 'hourly', 'SUCCESS', 'application/json', 'utf-8', now(), now(), '{}'
            FROM generate_series(1, 20000) AS n
            """
        )
        cursor.execute("ANALYZE django_celery_results_taskresult")
        cursor.execute(f"EXPLAIN {firing.COUNT_UNFINISHED}", [["hourly"]])
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "jobs_unfinished_runs" in plan


def test_every_missed_run_is_made_up_for_when_told_so(beat):
    schedule(every=60, overdue=190, policy={"coalesce": False})
    beat.tick()
    assert len(runs_of("hourly")) == 4
    assert PeriodicTask.objects.get().total_run_count == 4


@pytest.mark.parametrize(
    ("policy", "unfinished", "fired"),
    [
        ({"skip_if_running": True}, 1, 0),
        ({"skip_if_running": True}, 0, 1),
        ({"max_instances": 2}, 1, 1),
        ({"max_instances": 2}, 2, 0),
        ({"max_instances": 3, "coalesce": False}, 1, 2),
        ({}, 9, 1),
    ],
)
def test_unfinished_runs_limit_new_ones(beat, policy, unfinished, fired):
    for number in range(unfinished):
        TaskResult.objects.create(
            task_id=f"a{number}",
            periodic_task_name="hourly",
            status=["STARTED", "PENDING"][number % 2],
        )
    TaskResult.objects.create(task_id="done", periodic_task_name="hourly", status="SUCCESS")
    schedule(every=60, overdue=200, policy=policy)
    beat.tick()
    assert len(runs_of("hourly")) == unfinished + 1 + fired
    assert PeriodicTask.objects.get().last_run_at > timezone.now() - timedelta(seconds=60)


def test_jitter_delays_the_run_not_the_slot(beat):
    row = schedule("spread", overdue=0, policy={"jitter_seconds": 3000})
    beat.tick()
    known = beat.knows()["spread"]
    assert known.jitter > timedelta(seconds=1)
    assert known.due == row.last_run_at + timedelta(hours=1) + known.jitter
    assert runs_of("spread") == []


def test_a_one_off_runs_once_and_is_switched_off(beat):
    past = ClockedSchedule.objects.create(clocked_time=timezone.now() - timedelta(seconds=30))
    schedule("once", clocked=past, one_off=True)
    schedule("once too", every=60, overdue=1, one_off=True)
    for _ in range(3):
        beat.resync()
    for name in ("once", "once too"):
        assert len(runs_of(name)) == 1
        row = PeriodicTask.objects.get(name=name)
        assert (row.enabled, row.total_run_count) == (False, 1)
    assert beat.knows() == {}


def test_a_schedule_that_ended_is_switched_off(beat):
    schedule(overdue=10, expires=timezone.now() - timedelta(seconds=1))
    beat.tick()
    assert runs_of("hourly") == []
    assert not PeriodicTask.objects.get().enabled


CORRUPT = {
    "no timing": {"interval": None},
    "bad args": {"args": "[1"},
    "bad kwargs": {"kwargs": "[]"},
    "bad headers": {"headers": "{"},
    "no such task": {"task": "nobody.knows"},
    "no such queue": {"queue": "nowhere"},
    "never": {"interval": None, "crontab": {"day_of_month": "31", "month_of_year": "2"}},
    "no interval": {"interval": 0},
}


def test_corrupt_rows_are_marked_once_and_the_others_run(beat, caplog):
    rows = []
    for name, columns in CORRUPT.items():
        columns = {"interval": interval(60), "task": TASK, **columns}
        if columns.get("crontab"):
            columns["crontab"] = CrontabSchedule.objects.create(**columns["crontab"])
        if columns["interval"] == 0:
            columns["interval"] = IntervalSchedule.objects.create(every=0, period="seconds")
        rows.append(
            PeriodicTask(name=name, last_run_at=timezone.now() - timedelta(seconds=61), **columns)
        )
    PeriodicTask.objects.bulk_create(rows)
    schedule(overdue=1)
    for _ in range(3):
        beat.resync()
    assert len(runs_of("hourly")) == 1
    assert TaskResult.objects.count() == 1
    problems = dict(SchedulePolicy.objects.values_list("periodic_task__name", "problem"))
    assert set(problems) == set(CORRUPT)
    assert all(problems.values())
    assert "nobody.knows" in problems["no such task"]
    for name in CORRUPT:
        said = [record for record in caplog.records if f"schedule {name} does" in record.message]
        assert len(said) == 1


def test_a_mended_row_is_unmarked_and_runs(beat):
    row = schedule(overdue=1, kwargs="{", policy={"jitter_seconds": 0, "coalesce": False})
    beat.tick()
    assert SchedulePolicy.objects.get().problem_since is not None
    row.kwargs = "{}"
    row.save()
    beat.tick()
    policy = SchedulePolicy.objects.get()
    assert (policy.problem, policy.problem_since, policy.coalesce) == ("", None, False)
    beat.tick()
    assert len(runs_of("hourly")) == 1


def test_a_timing_that_vanished_is_a_problem_of_its_schedules(no_schedules, beat):
    row = schedule("orphan")
    beat.tick()
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        cursor.execute(
            "DELETE FROM django_celery_beat_intervalschedule WHERE id = %s", [row.interval_id]
        )
    beat.resync()
    assert "gone" in SchedulePolicy.objects.get().problem
    row.delete()


def test_the_beat_touches_no_column_that_an_admin_edits(beat):
    row = schedule(overdue=1)
    edited = PeriodicTask.objects.get(pk=row.pk)
    beat.tick()
    edited.description, edited.queue = "of the operator", "cleanup"
    edited.save(update_fields=["description", "queue"])
    PeriodicTask.objects.filter(pk=row.pk).update(
        last_run_at=timezone.now() - timedelta(seconds=3601)
    )
    beat.resync()
    row.refresh_from_db()
    assert (row.description, row.queue) == ("of the operator", "cleanup")
    assert json.loads(runs_of("hourly")[1].meta)["queue"] == "cleanup"


def test_a_slot_that_is_recorded_already_is_not_sent_again(beat):
    row = schedule(overdue=1)
    beat.tick()
    (run,) = runs_of("hourly")
    sent = waiting_in(json.loads(run.meta)["queue"])
    # As if the row had been written by a beat that saw an older state.
    PeriodicTask.objects.filter(pk=row.pk).update(last_run_at=row.last_run_at)
    beat.resync()
    assert len(runs_of("hourly")) == 1
    assert waiting_in(json.loads(run.meta)["queue"]) == sent


def test_what_cannot_be_recorded_is_not_written_back(beat, monkeypatch, caplog):
    row = schedule(overdue=1)

    def fail(_):
        raise OperationalError("the server closed the connection")

    with monkeypatch.context() as patch:
        patch.setattr("jobs.firing.runs.record", fail)
        for _ in range(3):
            beat.tick()
    row.refresh_from_db()
    assert row.total_run_count == 0
    assert caplog.text.count("cannot be used") == 1
    beat.tick()
    assert len(runs_of("hourly")) == 1
    assert "can be used again" in caplog.text


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


def test_the_admin_tells_what_the_beat_does(beat):
    for name, columns in {
        "plain": {},
        "jitter": {"policy": {"jitter_seconds": 600}},
        "overdue": {"overdue": 5},
        "late": {"overdue": 1800, "policy": {"misfire_grace_seconds": 60}},
        "crontab": {"crontab": daily(3, "America/New_York")},
        "start": {"start_time": timezone.now() + timedelta(days=2)},
    }.items():
        schedule(name, **columns)
    told = {
        name: schedules.next_run_at(row)
        for name, row in schedules.find(PeriodicTask.objects.values_list("name", flat=True)).items()
    }
    assert told["overdue"] <= timezone.now()
    beat.tick()
    knows = beat.knows()
    for name in ("plain", "jitter", "late", "crontab", "start"):
        assert told[name] == knows[name].due, name


def test_next_run_at_is_none_for_what_will_not_run(no_schedules):
    assert schedules.next_run_at(schedule("off", enabled=False)) is None
    row = schedule("marked", policy={"problem": "broken"})
    assert schedules.next_run_at(row) is None
    assert (
        schedules.next_run_at(schedule("ended", expires=datetime(2020, 1, 1, tzinfo=UTC))) is None
    )


def test_an_entry_saves_only_what_is_the_beats(beat):
    row = schedule()
    entry = next(Entry(row, app=app))
    PeriodicTask.objects.filter(pk=row.pk).update(description="of the operator")
    entry.save()
    row.refresh_from_db()
    assert (row.description, row.total_run_count) == ("of the operator", 1)


def test_entries_that_could_not_be_written_stay_to_be_written(beat, monkeypatch):
    row = schedule()
    entries = beat.scheduler.schedule
    entries[row.name] = beat.scheduler.reserve(entries[row.name])

    def fail(_):
        raise connection.Database.OperationalError("away")

    with monkeypatch.context() as patch:
        patch.setattr(Entry, "save", fail)
        beat.scheduler.sync()
    assert beat.scheduler._dirty == {row.name}
    beat.scheduler.sync()
    assert beat.scheduler._dirty == set()
    row.refresh_from_db()
    assert row.total_run_count == 1


def test_due_entries_are_never_filtered_out(beat):
    """Stock hides crontabs that are more than two hours away (fault 13)."""
    hour = (timezone.now().hour + 12) % 24
    schedule("far", crontab=daily(hour))
    assert [row.name for row in beat.scheduler.enabled_models()] == ["far"]
    assert set(beat.scheduler.all_as_schedule()) == {"far"}


def test_a_timing_beyond_the_calendar_is_a_problem_and_no_crash(beat):
    eternal = IntervalSchedule.objects.create(every=900_000_000, period="days")
    schedule("eternal", interval=eternal)
    schedule(overdue=1)
    beat.tick()
    assert len(runs_of("hourly")) == 1
    policy = SchedulePolicy.objects.get()
    assert policy.periodic_task.name == "eternal"
    assert "cannot be computed" in policy.problem


def test_a_run_that_the_database_refuses_does_not_stop_the_others(beat):
    schedule("refused", overdue=1, total_run_count=2_147_483_647)
    for number in range(3):
        schedule(f"fine {number}", overdue=1)
    beat.tick()
    assert TaskResult.objects.count() == 3
    policy = SchedulePolicy.objects.get()
    assert policy.periodic_task.name == "refused"
    assert "refuses" in policy.problem


def test_an_interval_that_is_switched_off_and_on_keeps_step(beat):
    row = schedule(overdue=-600)
    beat.tick()
    due = beat.knows()["hourly"].due
    for enabled in (False, True):
        row = PeriodicTask.objects.get(pk=row.pk)
        row.enabled = enabled
        row.save()
        beat.tick()
    assert beat.knows()["hourly"].due == due


def test_a_crontab_that_was_off_has_missed_nothing(beat):
    hour = (timezone.now() - timedelta(hours=5)).hour
    row = schedule(
        "daily", crontab=daily(hour), last_run_at=timezone.now() - timedelta(days=2), enabled=False
    )
    row.enabled = True
    row.save()
    beat.tick()
    assert runs_of("daily") == []


def test_the_list_of_schedules_reads_policies_with_them(
    no_schedules, admin_client, django_assert_max_num_queries
):
    for number in range(30):
        schedule(f"listed {number}", policy={"jitter_seconds": 60})
    with django_assert_max_num_queries(12):
        assert admin_client.get("/admin/django_celery_beat/periodictask/").status_code == 200
