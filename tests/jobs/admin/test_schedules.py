"""A schedule's page in the admin: what it shows, and what it costs to show it."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from jobs.admin.schedules import PeriodicTaskForm
from jobs.schedules import diagnosis
from jobs.schedules import services as schedules

pytestmark = pytest.mark.django_db


@pytest.fixture
def row():
    interval = IntervalSchedule.objects.create(every=1, period="hours")
    return PeriodicTask.objects.create(
        name="sweep hourly", task="jobs.sweep", interval=interval,
        last_run_at=timezone.now() - timedelta(minutes=5),
    )  # fmt: skip


def url(row):
    return reverse("admin:django_celery_beat_periodictask_change", args=[row.pk])


def test_the_next_run_is_a_moment_as_others_are(admin_client, row):
    page = admin_client.get(url(row)).content.decode()

    at = schedules.next_run_at(schedules.find([row.name])[row.name])
    assert date_format(timezone.localtime(at), "DATETIME_FORMAT") in page
    assert str(at) not in page


def test_the_registered_task_is_chosen_in_the_list(admin_client, row):
    page = admin_client.get(url(row)).content.decode()

    assert '<option value="jobs.sweep" selected>' in page


def test_a_task_that_is_not_registered_stands_in_the_field_for_others(row):
    row.task = "gone.away"

    form = PeriodicTaskForm(instance=row)

    assert form.get_initial_for_field(form.fields["task"], "task") == "gone.away"
    assert not form.get_initial_for_field(form.fields["regtask"], "regtask")


def test_two_different_tasks_are_refused(row):
    form = PeriodicTaskForm({"regtask": "jobs.sweep", "task": "jobs.other"}, instance=row)

    assert not form.is_valid()
    assert "Clear one of the two fields" in form.errors["task"][0]


def test_workers_are_asked_once_a_page(admin_client, row, monkeypatch):
    asked = []
    monkeypatch.setattr(diagnosis, "_of_workers", lambda found: asked.append(found.name) or [])

    assert admin_client.get(url(row)).status_code == 200

    assert asked == [row.name]


def test_lists_are_called_what_the_navigation_calls_them(admin_client, row):
    for model, title in [
        ("django_celery_beat_periodictask", "Schedules"),
        ("django_celery_results_taskresult", "Runs"),
    ]:
        page = admin_client.get(reverse(f"admin:{model}_changelist")).content.decode()
        assert "ask results" not in page
        assert "eriodic task" not in page.lower().replace("periodictask", "")
        assert title in page


def test_a_crontab_shows_its_zone_apart(admin_client):
    crontab = CrontabSchedule.objects.create(
        minute="0", hour="2", day_of_week="1", timezone="Europe/Berlin"
    )
    row = PeriodicTask.objects.create(name="on Mondays", task="jobs.sweep", crontab=crontab)

    page = admin_client.get(
        reverse("admin:django_celery_beat_periodictask_change", args=[row.pk])
    ).content.decode()
    listed = admin_client.get(
        reverse("admin:django_celery_beat_periodictask_changelist")
    ).content.decode()

    assert "0 2 * * 1 (Europe/Berlin)" in page
    assert "Reset to None" not in page
    assert "only on Monday (Europe/Berlin)" in listed


def test_an_empty_list_of_runs_offers_no_new_run(admin_client):
    page = admin_client.get(
        reverse("admin:django_celery_results_taskresult_changelist")
    ).content.decode()

    assert "No runs found" in page
    assert "Add run" not in page
    assert "Create a new item" not in page
