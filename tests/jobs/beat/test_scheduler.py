"""The beat on a real database: what it fires, what it records and what it writes back."""

import json
from datetime import datetime, timedelta

import pytest
from django.db import OperationalError, connection
from django.utils import timezone
from django_celery_beat.models import ClockedSchedule, PeriodicTask
from django_celery_results.models import TaskResult

from config.celery import app
from jobs.beat.scheduler import Entry
from tests.jobs.conftest import TASK, runs_of, schedule, waiting_in


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
        patch.setattr("jobs.beat.firing.runs.record", fail)
        for _ in range(3):
            beat.tick()
    row.refresh_from_db()
    assert row.total_run_count == 0
    assert caplog.text.count("cannot be used") == 1
    beat.tick()
    assert len(runs_of("hourly")) == 1
    assert "can be used again" in caplog.text


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
