"""Runs in the admin: evidence, found by indexes, and run again from there."""

import json

import pytest
from django.db import connection
from django.urls import reverse
from django_celery_results.models import TaskResult

from jobs.admin.runs import CappedPaginator
from jobs.runs import batches, liveness, store, transitions
from jobs.runs import requests as runs
from tests.database import rows_read
from tests.jobs import worker_jobs  # noqa: F401 - registers its jobs

pytestmark = pytest.mark.django_db


@pytest.fixture
def failed(monkeypatch):
    monkeypatch.setattr(store, "publish", lambda requests, **_: 0)
    run = runs.request_run("tests.mark", {"name": "<b>"}, trigger="manual")
    taken = transitions.claim(run.task_id, task=run.task, worker="w@h", holder=liveness.number())
    transitions.finish(taken, "FAILURE", result="null", traceback=None, reason="no luck")
    return TaskResult.objects.get(task_id=run.task_id)


@pytest.mark.slow
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


@pytest.mark.parametrize(
    ("row", "title"),
    [
        ({"periodic_task_name": "sweep hourly"}, "tests.mark (sweep hourly): pending"),
        ({"task_kwargs": '{"name": "x"}'}, "tests.mark (name x): pending"),
        ({"task_kwargs": '"not an object"', "status": "SUCCESS"}, "tests.mark: success"),
        (
            {"task_kwargs": json.dumps({"name": "x" * 99})},
            f"tests.mark (name {'x' * 54}…): pending",
        ),
        ({"task_name": None}, "run f00: pending"),
    ],
)
def test_a_run_is_called_by_what_it_does(admin_client, row, title):
    run = TaskResult.objects.create(**{"task_id": "f00", "task_name": "tests.mark"} | row)

    address = reverse("admin:django_celery_results_taskresult_change", args=[run.pk])
    page = admin_client.get(address).content.decode()

    assert str(run) == title
    assert title in page
    assert "&lt;Task" not in page
    assert title[0].upper() + title[1:] not in page


ROWS = 30_000
TIME = {"date_created": "hour"}


@pytest.fixture
def history(db):
    """A history that a scan would take visibly many pages to read."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO django_celery_results_taskresult
                (task_id, task_name, periodic_task_name, status, worker, content_type,
                 content_encoding, date_created, date_done, meta)
            SELECT 'history-' || n, CASE WHEN n %% 1000 = 0 THEN 'tests.mark' ELSE 'tests.other' END,
                   'schedule ' || n %% 300, CASE WHEN n %% 500 = 0 THEN 'FAILURE' ELSE 'SUCCESS' END,
                   'worker ' || n %% 200, 'application/json', 'utf-8', now() - n * interval '10 s',
                   now(), '{}'
            FROM generate_series(1, %s) AS n
            """,
            [ROWS],
        )
        cursor.execute("ANALYZE django_celery_results_taskresult")


@pytest.mark.slow
@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"status": "FAILURE"},
        {"status": "SUCCESS"},
        {"status": "REVOKED"},
        {"task_name": "tests.mark"},
        {"periodic_task_name": "schedule 7"},
        {"worker": "worker 9"},
        TIME,
        {"status": "FAILURE", "task_name": "tests.mark"} | TIME,
        {"q": "worker 9"},
        {"_facets": "True"},
    ],
)
def test_no_filter_reads_the_whole_history(admin_client, history, monkeypatch, chosen):
    monkeypatch.setattr(CappedPaginator, "MOST", 1_000)
    statements = []

    def note(execute, sql, params, many, context):
        if 'FROM "django_celery_results_taskresult"' in sql:
            statements.append((sql, params))
        return execute(sql, params, many, context)

    address = reverse("admin:django_celery_results_taskresult_changelist")
    with connection.execute_wrapper(note):
        assert admin_client.get(address, chosen).status_code == 200

    assert len(statements) == 2  # how many, and the first page
    for sql, params in statements:
        read = rows_read(sql, params)
        assert read <= ROWS / 5, f"{read} rows are read for {sql}"


@pytest.mark.slow
def test_the_list_finds_what_its_filters_say(admin_client, history, failed):
    address = reverse("admin:django_celery_results_taskresult_changelist")

    def shown(**chosen):
        return admin_client.get(address, chosen).context["cl"].result_count

    assert shown(status="FAILURE") == ROWS // 500 + 1
    assert shown(worker="w@h") == 1
    assert shown(periodic_task_name="schedule 7") == ROWS // 300
    assert shown(**TIME | {"worker": "w@h"}) == 1
    assert shown(**TIME) == pytest.approx(361, abs=5)


def test_a_failed_run_is_run_again_from_the_list(admin_client, failed):
    admin_client.post(
        reverse("admin:jobs_deadletter_changelist"),
        {"action": "run_again", "_selected_action": [failed.pk]},
    )

    again = TaskResult.objects.exclude(pk=failed.pk).get()
    assert (again.status, json.loads(again.task_kwargs)) == ("PENDING", {"name": "<b>"})


def test_a_batch_shows_its_progress(admin_client, failed):
    batch = batches.run_batch(
        [store.RunRequest("tests.mark", {"name": "x"}, "default", "batch")], name="one"
    )

    assert "0 of 1" in admin_client.get(reverse("admin:jobs_batch_changelist")).content.decode()
    assert admin_client.get(reverse("admin:jobs_batch_change", args=[batch.pk])).status_code == 200


def test_runs_and_batches_are_cancelled_when_one_is_sure(admin_client, failed):
    run = runs.request_run("tests.mark", {"name": "x"}, trigger="manual")
    batch = batches.run_batch(
        [store.RunRequest("tests.mark", {"name": "y"}, "default", "batch")], name="one"
    )
    waiting = TaskResult.objects.filter(status="PENDING")
    assert waiting.count() == 2
    single = TaskResult.objects.get(task_id=run.task_id)

    for model, action, row in [
        ("django_celery_results_taskresult", "cancel_runs", single),
        ("jobs_batch", "cancel_batches", batch),
    ]:
        address = reverse(f"admin:{model}_changelist")
        fields = {"action": action, "_selected_action": [row.pk]}
        before = waiting.count()
        page = admin_client.post(address, fields)
        assert "are you sure?" in page.content.decode()
        assert str(row) in page.content.decode()
        assert waiting.count() == before

        admin_client.post(address, fields | {"confirmed": "yes"})
        assert waiting.count() == before - 1
