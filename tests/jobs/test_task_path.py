"""The way of a run through real workers, and what each change of state costs."""

import json

import pytest
from django.db import transaction
from django_celery_results.models import TaskResult

from jobs.runs import requests as runs
from tests.jobs import worker_jobs  # noqa: F401 - registers the jobs here, too
from tests.processes import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def worker(processes, tmp_path):
    return lambda **options: processes.worker(
        application="tests.jobs.worker_jobs",
        environment={"TASK_FOLDER": str(tmp_path)} | options.pop("environment", {}),
        **options,
    )


def ended(run):
    row = TaskResult.objects.get(task_id=run.task_id)
    return row.status not in ("PENDING", "RETRY", "STARTED")


def row_of(run, seconds=20):
    wait_until(lambda: ended(run), seconds=seconds, what="the run has ended")
    return TaskResult.objects.get(task_id=run.task_id)


def test_a_run_is_recorded_claimed_and_finished(worker, tmp_path):
    with transaction.atomic():
        run = runs.request_run("tests.mark", {"name": "once"}, trigger="manual")
        assert TaskResult.objects.get(task_id=run.task_id).status == "PENDING"
    worker(name="first")

    row = row_of(run)

    assert (row.status, json.loads(row.result)) == ("SUCCESS", "once")
    assert row.worker.startswith("first-")
    assert row.date_created < row.date_started < row.date_done
    meta = json.loads(row.meta)
    assert (meta["attempts"], meta["queue"], meta["trigger"]) == (1, "default", "manual")
    assert meta["duration"] >= 0
    assert not meta.keys() & {"holder", "sweep_at", "not_before"}


def test_duplicates_exit_at_the_claim(worker, tmp_path):
    run = runs.request_run("tests.mark", {"name": "once"}, trigger="manual")
    for _ in range(5):
        runs.publish([run])
    worker(concurrency=2)
    row_of(run)
    last = runs.request_run("tests.mark", {"name": "last"}, trigger="manual")
    row_of(last)

    assert len(list(tmp_path.glob("once.*"))) == 1
    assert TaskResult.objects.get(task_id=run.task_id).status == "SUCCESS"
