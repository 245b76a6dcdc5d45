"""Schedules may be saved at any moment, however often: each is due once, and the beat runs on."""

import itertools
import time
from datetime import timedelta

import pytest
from django.utils import timezone
from django_celery_beat.models import PeriodicTask, PeriodicTasks

from tests.jobs.conftest import runs_of, schedule
from tests.processes import wait_until


def fill(count=40):
    """Enough schedules for an edit to be pushed into the heap, which is not built anew."""
    for number in range(count):
        schedule(f"other {number}")


def test_a_schedule_may_be_saved_again_and_again_before_it_is_due(beat):
    fill()
    row = schedule(overdue=-1)
    beat.tick()
    for number in range(6):
        row.description = f"edit {number}"
        row.save()
        beat.tick()
    wait_until(lambda: beat.tick() and runs_of("hourly"), seconds=3)
    for _ in range(3):
        beat.tick()
    assert len(runs_of("hourly")) == 1


def test_schedules_that_are_due_at_one_moment_may_all_be_saved(beat):
    fill()
    last = timezone.now() - timedelta(seconds=3599)
    rows = [schedule(f"twin {number}", last_run_at=last) for number in range(4)]
    beat.tick()
    for number in range(3):
        for row in rows:
            row.description = f"edit {number}"
            row.save()
        beat.tick()
    wait_until(lambda: beat.tick() and all(runs_of(row.name) for row in rows), seconds=3)
    assert [len(runs_of(row.name)) for row in rows] == [1] * 4


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_beat_runs_on_while_a_schedule_is_saved_again_and_again(processes):
    PeriodicTask.objects.all()._raw_delete("default")
    fill()
    schedule("steady", every=1, overdue=1)
    edited = schedule("edited", every=3, overdue=1)
    PeriodicTasks.update_changed()
    beat = processes.beat(ready="leads from now on")
    began = time.monotonic()
    for number in itertools.count():
        # Only what is saved: the beat writes the last run.
        edited.description = f"edit {number}"
        edited.save(update_fields=["description", "date_changed"])
        time.sleep(0.2)
        assert beat.is_running, beat.output[-3000:]
        if time.monotonic() - began > 10:
            break
    assert len(runs_of("steady")) >= 8
    assert len(runs_of("edited")) >= 3
    assert "Traceback" not in beat.output
