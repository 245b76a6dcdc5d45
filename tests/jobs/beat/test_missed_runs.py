"""Runs that were missed are made up for or skipped, as the schedule says; nothing is missed by an edit."""

from datetime import timedelta

from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from tests.jobs.conftest import daily, runs_of, schedule


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


def test_a_crontab_that_was_off_has_missed_nothing(beat):
    hour = (timezone.now() - timedelta(hours=5)).hour
    row = schedule(
        "daily", crontab=daily(hour), last_run_at=timezone.now() - timedelta(days=2), enabled=False
    )
    row.enabled = True
    row.save()
    beat.tick()
    assert runs_of("daily") == []


def test_due_entries_are_never_filtered_out(beat):
    """Stock hides crontabs that are more than two hours away (fault 13)."""
    hour = (timezone.now().hour + 12) % 24
    schedule("far", crontab=daily(hour))
    assert [row.name for row in beat.scheduler.enabled_models()] == ["far"]
    assert set(beat.scheduler.all_as_schedule()) == {"far"}


def test_every_missed_run_is_made_up_for_when_told_so(beat):
    schedule(every=60, overdue=190, policy={"coalesce": False})
    beat.tick()
    assert len(runs_of("hourly")) == 4
    assert PeriodicTask.objects.get().total_run_count == 4
