"""A schedule that cannot be fired is marked with what is wrong, and the others run."""

from datetime import timedelta

from django.db import connection
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask
from django_celery_results.models import TaskResult

from jobs.models import SchedulePolicy
from tests.jobs.conftest import TASK, interval, runs_of, schedule

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
