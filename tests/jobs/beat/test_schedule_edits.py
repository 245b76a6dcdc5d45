"""Edits of schedules are seen by the beat, and what it writes back leaves them alone."""

import json
import time
from datetime import timedelta

from django.db import connection
from django.utils import timezone
from django_celery_beat.models import PeriodicTask, PeriodicTasks
from django_celery_results.models import TaskResult

from tests.jobs.conftest import TASK, interval, runs_of, schedule


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
