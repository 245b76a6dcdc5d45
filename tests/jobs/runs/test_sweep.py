"""The sweep finds lost messages and dead workers, is patient with queues, and works beside others."""

import json
import threading
from datetime import timedelta

import pytest
from django.db import connection, connections
from django.utils import timezone
from django_celery_results.models import TaskResult

from jobs.models import Batch
from jobs.runs import batches, liveness, retention, store, sweep, transitions
from jobs.runs import requests as runs
from jobs.runs.requests import RunRequest
from tests.jobs import worker_jobs  # noqa: F401 - registers its jobs

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def sent(monkeypatch):
    """What would have been published by the sweep, and nothing else."""
    taken = []

    def publish(requests, **_):
        taken.extend(run.task_id for run in requests)
        return len(requests)

    monkeypatch.setattr(sweep, "publish", publish)
    monkeypatch.setattr(store, "publish", lambda requests, **_: 0)
    monkeypatch.setattr(runs, "publish", lambda requests, **_: 0)
    # The test's server may be younger than that.
    monkeypatch.setattr(sweep, "SETTLE_SECONDS", 0)
    return taken


def requested(name="x"):
    return runs.request_run("tests.mark", {"name": name}, trigger="manual")


def claim(run, holder=None):
    return transitions.claim(
        run.task_id, task=run.task, worker="me", holder=holder or liveness.number()
    )


def row_of(run):
    return TaskResult.objects.get(task_id=run.task_id)


def meta_of(run):
    return json.loads(row_of(run).meta)


def change(run, **changes):
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE django_celery_results_taskresult SET meta = (meta::jsonb || %s)::text"
            " WHERE task_id = %s",
            [json.dumps(changes), run.task_id],
        )


NOBODY = 4711


def test_a_message_is_given_time_and_then_sent_again_with_growing_pauses(sent):
    run = requested()
    sweep.run()
    assert sent == []

    pauses = []
    for number in range(1, 9):
        change(run, sweep_at=0)
        assert sweep.run().sent == 1
        meta = meta_of(run)
        assert meta["sends"] == number
        pauses.append(meta["sweep_at"] - timezone.now().timestamp())
        assert sweep.run().sent == 0

    assert sent == [run.task_id] * 8
    assert [round(pause / 60) for pause in pauses] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert row_of(run).status == "PENDING"


def test_what_is_too_late_is_revoked_and_told():
    told = []

    def listener(task_id, status, reason, **_):
        told.append((task_id, status, reason))

    run = store.request(
        RunRequest(
            "tests.mark",
            {"name": "x"},
            "default",
            "schedule",
            expires_at=timezone.now() + timedelta(seconds=-1),
        )
    )
    runs.run_ended.connect(listener)
    try:
        assert sweep.run().expired == 1
    finally:
        runs.run_ended.disconnect(listener)

    assert row_of(run).status == "REVOKED"
    assert told == [(run.task_id, "REVOKED", "The run expired before it started.")]


def test_who_lives_is_left_alone():
    run = requested()
    claim(run)

    assert sweep.close_lost() == 0
    assert row_of(run).status == "STARTED"


def test_a_dead_one_s_run_waits_again_and_fails_after_the_last_try(sent):
    run = requested()
    for failures in range(1, 4):
        claim(run, holder=NOBODY)
        assert sweep.run().lost == 1
        assert (row_of(run).status, meta_of(run)["failures"]) == ("PENDING", failures)
        assert sent == [run.task_id] * failures
    claim(run, holder=NOBODY)
    sweep.run()

    row, meta = row_of(run), meta_of(run)
    assert row.status == "FAILURE"
    assert meta["reason"] == "The process of the run ended without a word. Attempt 4 of 4."
    assert [attempt["attempt"] for attempt in meta["history"]] == [1, 2, 3, 4]
    assert sweep.run() == sweep.SweepResult()


def test_a_server_that_was_just_started_is_given_time(monkeypatch):
    run = requested()
    claim(run, holder=NOBODY)
    monkeypatch.setattr(sweep, "SETTLE_SECONDS", 10**8)

    assert sweep.close_lost() == 0


def test_who_gave_up_its_sign_of_life_counts_as_dead():
    run = requested()
    claim(run)
    liveness.abandon()

    assert sweep.close_lost() == 1


def test_a_copy_of_the_message_takes_over_from_the_dead():
    run = requested()
    claim(run, holder=NOBODY)

    assert sweep.close_lost([run.task_id]) == 1
    assert claim(run).attempt == 2


def test_several_sweeps_at_once_send_each_run_once(sent):
    waiting = [requested(str(number)) for number in range(60)]
    for run in waiting:
        change(run, sweep_at=0)
    lost = [requested(f"lost {number}") for number in range(40)]
    for run in lost:
        claim(run, holder=NOBODY)
    start = threading.Barrier(4)

    def work():
        try:
            start.wait()
            sweep.run()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    sweep.run()  # what another had in hand at that moment
    assert sorted(sent) == sorted(run.task_id for run in (*waiting, *lost))
    assert {meta_of(run)["failures"] for run in lost} == {1}


def test_a_broker_that_takes_nothing_stops_the_sweep(monkeypatch):
    for number in range(3):
        change(requested(str(number)), sweep_at=0)
    monkeypatch.setattr(sweep, "publish", lambda requests: 0)

    assert sweep.run() == sweep.SweepResult(unsent=3)


def members(number=3):
    return [RunRequest("tests.mark", {"name": str(n)}, "default", "batch") for n in range(number)]


def finish(task_id, status="SUCCESS"):
    taken = transitions.claim(task_id, task="tests.mark", worker="me", holder=liveness.number())
    transitions.finish(taken, status, result="null", traceback=None)
    batches.count_off(task_id, status)


def test_a_batch_ends_once_with_one_summary():
    told = []

    def listener(batch_id, summary, **_):
        told.append((batch_id, summary))

    batches.batch_finished.connect(listener)
    try:
        batch = batches.run_batch(members(), name="three")
        ids = list(batch.runs.values_list("task_id", flat=True))
        assert TaskResult.objects.filter(task_id__in=ids, status="PENDING").count() == 3
        finish(ids[0])
        batches.count_off(ids[0], "SUCCESS")  # told twice
        batch.refresh_from_db()
        assert (batch.done, batch.status) == (1, "running")
        finish(ids[1], "FAILURE")
        finish(ids[2])
        batches.settle()
    finally:
        batches.batch_finished.disconnect(listener)

    batch.refresh_from_db()
    assert (batch.status, batch.remaining) == ("completed", 0)
    assert told == [(batch.pk, {"SUCCESS": 2, "FAILURE": 1})]


def test_the_last_members_of_a_batch_may_end_at_the_same_time():
    batch = batches.run_batch(members(8), name="eight")
    ids = list(batch.runs.values_list("task_id", flat=True))
    start = threading.Barrier(8)

    def work(task_id):
        try:
            start.wait()
            batches.count_off(task_id, "SUCCESS")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=[task_id]) for task_id in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    batch.refresh_from_db()
    assert (batch.status, batch.summary) == ("completed", {"SUCCESS": 8})


def test_what_a_dead_process_did_not_count_off_is_settled():
    batch = batches.run_batch(members(2), name="two")
    for task_id in batch.runs.values_list("task_id", flat=True):
        taken = transitions.claim(task_id, task="tests.mark", worker="me", holder=1)
        transitions.finish(taken, "SUCCESS", result="null", traceback=None)

    assert batches.settle() == 2
    batch.refresh_from_db()
    assert batch.summary == {"SUCCESS": 2}


def test_a_cancelled_batch_starts_nothing_more_and_ends():
    batch = batches.run_batch(members(3), name="three")
    running = RunRequest("tests.mark", {}, "default", "batch", task_id=batch.runs.first().task_id)
    claim(running)

    assert batches.cancel_batch(batch.pk, reason="enough") == (2, 1)
    assert meta_of(running)["cancel"] == "enough"
    taken = transitions.Claim(running.task_id, "tests.mark", 1, {})
    transitions.finish(taken, "REVOKED", result="null", traceback=None)
    batches.count_off(running.task_id, "REVOKED")

    batch.refresh_from_db()
    assert (batch.status, batch.summary) == ("cancelled", {"REVOKED": 3})
    assert batches.cancel_batch(batch.pk, reason="again") == (0, 0)


def test_a_batch_with_one_bad_run_is_not_recorded():
    from django.core.exceptions import ValidationError

    bad = [*members(2), RunRequest("tests.mark", {"name": 3}, "default", "batch")]
    with pytest.raises(ValidationError, match="name: 3 is not text"):
        batches.run_batch(bad, name="bad")
    with pytest.raises(ValueError, match="has no runs"):
        batches.run_batch([], name="none")

    assert not Batch.objects.exists()
    assert not TaskResult.objects.exists()


def test_retention_removes_what_ended_long_ago_in_batches(settings):
    settings.RUN_HISTORY_DAYS = 30
    old, fresh, waiting = requested("old"), requested("fresh"), requested("waiting")
    more = [requested(f"old {number}") for number in range(6)]
    for run in (old, fresh, *more):
        transitions.finish(claim(run), "SUCCESS", result="null", traceback=None)
    sweeps = [runs.request_run("jobs.sweep", {}, trigger="schedule") for _ in range(2)]
    transitions.finish(claim(sweeps[0]), "SUCCESS", result="null", traceback=None)
    transitions.finish(claim(sweeps[1]), "SUCCESS", result="null", traceback=None)
    long_ago = timezone.now() - timedelta(days=31)
    ids = [run.task_id for run in (old, waiting, *more)]
    TaskResult.objects.filter(task_id__in=ids).update(date_done=long_ago)
    TaskResult.objects.filter(task_id=sweeps[0].task_id).update(
        date_done=timezone.now() - timedelta(days=2)
    )

    assert retention.delete_old_runs(batch_size=2) == 8  # seven old ones, and a sweep

    left = set(TaskResult.objects.values_list("task_id", flat=True))
    assert left == {fresh.task_id, waiting.task_id, sweeps[1].task_id}


def test_the_sweep_s_statements_use_their_indexes():
    for number in range(20):
        requested(str(number))
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
        try:
            cursor.execute(
                "EXPLAIN " + sweep.TAKE_DUE,
                [10, "late", transitions.LOST_AFTER_SECONDS, sweep.LONGEST_PAUSE_SECONDS],
            )
            due = "\n".join(line for (line,) in cursor.fetchall())
            cursor.execute("EXPLAIN " + sweep.FIND_LOST, [None, None, 15, 10])
            lost = "\n".join(line for (line,) in cursor.fetchall())
        finally:
            cursor.execute("RESET enable_seqscan")

    assert "jobs_waiting_runs" in due
    assert "jobs_started_runs" in lost
