"""The time of the next run that the admin tells is that at which the beat fires."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from jobs.schedules import services as schedules
from tests.jobs.conftest import daily, runs_of, schedule


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
