"""Runs in the admin: evidence, found by indexes, and run again from there."""

import json

import pytest
from django.urls import reverse
from django_celery_results.models import TaskResult

from jobs import batches, liveness, records, runs, transitions
from tests.database import recorded_statements
from tests.jobs import worker_jobs  # noqa: F401 - registers its jobs

pytestmark = pytest.mark.django_db


@pytest.fixture
def failed(monkeypatch):
    monkeypatch.setattr(records, "publish", lambda requests, **_: 0)
    run = runs.request_run("tests.mark", {"name": "<b>"}, trigger="manual")
    taken = transitions.claim(run.task_id, task=run.task, worker="w@h", holder=liveness.number())
    transitions.finish(taken, "FAILURE", result="null", traceback=None, reason="no luck")
    return TaskResult.objects.get(task_id=run.task_id)


@pytest.mark.parametrize("model", ["django_celery_results_taskresult", "jobs_deadletter"])
def test_a_run_is_shown_with_its_reason_and_nobody_edits_it(admin_client, failed, model):
    page = admin_client.get(reverse(f"admin:{model}_changelist"))
    assert "no luck" in page.content.decode()

    page = admin_client.get(reverse(f"admin:{model}_change", args=[failed.pk]))
    text = page.content.decode()
    assert "&lt;b&gt;" in text
    assert 'name="_save"' not in text
    assert admin_client.get(reverse(f"admin:{model}_add")).status_code == 403
    deletion = admin_client.post(
        reverse(f"admin:{model}_delete", args=[failed.pk]), {"post": "yes"}
    )
    assert deletion.status_code == 403


def test_no_filter_reads_the_whole_history(admin_client, failed):
    address = reverse("admin:django_celery_results_taskresult_changelist")
    with recorded_statements() as statements:
        admin_client.get(address, {"status": "FAILURE", "task_name": "tests.mark", "q": "w@h"})

    assert not [text for text in statements if "DISTINCT" in text]


def test_a_failed_run_is_run_again_from_the_list(admin_client, failed):
    admin_client.post(
        reverse("admin:jobs_deadletter_changelist"),
        {"action": "run_again", "_selected_action": [failed.pk]},
    )

    again = TaskResult.objects.exclude(pk=failed.pk).get()
    assert (again.status, json.loads(again.task_kwargs)) == ("PENDING", {"name": "<b>"})


def test_a_batch_shows_its_progress(admin_client, failed):
    batch = batches.run_batch(
        [records.RunRequest("tests.mark", {"name": "x"}, "default", "batch")], name="one"
    )

    assert "0 of 1" in admin_client.get(reverse("admin:jobs_batch_changelist")).content.decode()
    assert admin_client.get(reverse("admin:jobs_batch_change", args=[batch.pk])).status_code == 200
