"""A run moves forward only, is claimed once, and each change costs one statement."""

import json
import threading

import pytest
from celery import states
from celery.app.trace import build_tracer
from celery.exceptions import Ignore
from django.db import connection, connections
from django_celery_results.models import TaskResult

from config.celery import app
from jobs import locks
from jobs.runs import cancellation, execution, liveness, store, transitions
from jobs.runs import requests as runs
from jobs.runs.transitions import SKIPPED
from jobs.task import job
from tests.database import recorded_statements

SEEN = []


class Expected(Exception):
    """No bug."""


@job(
    name="tests.body",
    queue="default",
    lock="tests-body:{name}",
    expected=(Expected,),
    retry_on=(TimeoutError,),
    max_retries=1,
    backoff=80,
)
def body(name: str, how: str = "well") -> str:
    """Do as told."""
    SEEN.append(name)
    if how == "check":
        cancellation.check()
    errors = {"expected": Expected("no\nluck"), "bug": ValueError("a bug"), "away": TimeoutError()}
    if how in errors:
        raise errors[how]
    return name


@job(name="tests.no_op", queue="default")
def no_op() -> None:
    """Do nothing."""


@pytest.fixture(autouse=True)
def nothing_seen(monkeypatch):
    SEEN.clear()
    monkeypatch.setattr(store, "publish", lambda runs, **options: len(runs))


def requested(task="tests.body", **kwargs):
    kwargs = kwargs or ({"name": "x"} if task == "tests.body" else {})
    return runs.request_run(task, kwargs, trigger="manual")


def deliver(run, hostname="worker@here"):
    """Do with a message what a process of a worker's pool does."""
    task = app.tasks[run.task]
    request = {
        "id": run.task_id,
        "task": run.task,
        "hostname": hostname,
        "delivery_info": {"routing_key": "default"},
        "is_eager": False,
    }
    return build_tracer(run.task, task, app=app)(run.task_id, (), run.kwargs, request)


def row_of(run):
    return TaskResult.objects.get(task_id=run.task_id)


def meta_of(run):
    return json.loads(row_of(run).meta)


def claim(run):
    return transitions.claim(run.task_id, task=run.task, worker="me", holder=liveness.number())


@pytest.mark.django_db(transaction=True)
def test_each_change_of_state_is_one_statement():
    liveness.number()
    with recorded_statements() as queued:
        run = requested("tests.no_op")
    with recorded_statements() as worked:
        deliver(run)

    assert len([text for text in queued if "django_celery_results_taskresult" in text]) == 1
    assert [text.split(" (")[0] for text in worked] == ["EXECUTE jobs_claim", "EXECUTE jobs_finish"]
    assert row_of(run).status == "SUCCESS"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("seconds_kept", "prepared"), [(60, True), (0, False)])
def test_statements_are_prepared_where_connections_are_kept(monkeypatch, seconds_kept, prepared):
    monkeypatch.setitem(connections["default"].settings_dict, "CONN_MAX_AGE", seconds_kept)
    connections["default"].close()
    for _ in range(3):
        run = requested("tests.no_op")
        deliver(run)
        assert row_of(run).status == "SUCCESS"

    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT name FROM pg_prepared_statements ORDER BY name")
        names = [name for (name,) in cursor.fetchall()]
    assert names == (["jobs_claim", "jobs_finish"] if prepared else [])


@pytest.mark.django_db(transaction=True)
def test_one_of_many_gets_the_claim():
    run = requested()
    start = threading.Barrier(8)
    claims = []

    def race():
        try:
            start.wait()
            claims.append(claim(run))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(claims) == 8
    assert len([taken for taken in claims if taken]) == 1
    assert meta_of(run)["attempts"] == 1


@pytest.mark.django_db(transaction=True)
def test_a_copy_of_the_message_exits_at_the_claim():
    run = requested()
    deliver(run)
    before = row_of(run)

    result = deliver(run)

    assert isinstance(result.info.retval, Ignore)
    assert SEEN == ["x"]
    assert (row_of(run).status, row_of(run).date_done) == ("SUCCESS", before.date_done)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("final", sorted(transitions.FINAL_STATES))
def test_nothing_reopens_an_ended_run(final):
    run = requested()
    taken = claim(run)
    assert transitions.finish(taken, final, result="null", traceback=None)
    before = row_of(run)

    assert claim(run) is None
    assert not transitions.finish(taken, "SUCCESS", result="1", traceback=None)
    assert not transitions.wait_again(
        run.task_id, 1, status="RETRY", error="", failures=1, delay=0, sweep_after=0
    )
    assert transitions.end(run.task_id, "FAILURE") is None
    assert runs.cancel([run.task_id], reason="no") == (0, 0)
    assert not store.record([run])
    for state in ("STARTED", "RETRY", "FAILURE"):
        app.backend.store_result(run.task_id, None, state)
    after = row_of(run)
    assert (after.status, after.meta, after.date_done) == (
        before.status,
        before.meta,
        before.date_done,
    )


@pytest.mark.django_db(transaction=True)
def test_who_was_taken_over_writes_nothing():
    run = requested()
    first = claim(run)
    transitions.wait_again(
        run.task_id, 1, status="PENDING", error="lost", failures=1, delay=0, sweep_after=0
    )
    second = claim(run)

    assert second.attempt == 2
    assert not transitions.finish(first, "SUCCESS", result='"late"', traceback=None)
    assert transitions.finish(second, "SUCCESS", result='"right"', traceback=None)
    assert row_of(run).result == '"right"'


@pytest.mark.django_db(transaction=True)
def test_who_was_taken_for_dead_too_early_may_still_end_the_run():
    run = requested()
    taken = claim(run)
    transitions.wait_again(
        run.task_id, 1, status="PENDING", error="lost", failures=1, delay=0, sweep_after=0
    )

    assert transitions.finish(taken, "SUCCESS", result="1", traceback=None)
    assert claim(run) is None


@pytest.mark.django_db(transaction=True)
def test_an_expected_failure_has_a_reason_and_no_traceback():
    run = requested(name="x", how="expected")
    deliver(run)

    row = row_of(run)
    assert (row.status, row.traceback) == ("FAILURE", None)
    assert meta_of(run)["reason"] == "no luck"


@pytest.mark.django_db(transaction=True)
def test_a_bug_has_its_traceback():
    run = requested(name="x", how="bug")
    deliver(run)

    row = row_of(run)
    assert row.status == "FAILURE"
    assert "ValueError: a bug" in row.traceback
    assert meta_of(run)["reason"] == "ValueError: a bug"


@pytest.mark.django_db(transaction=True)
def test_attempts_keep_their_history_and_their_time():
    run = requested(name="x", how="away")
    deliver(run)

    meta = meta_of(run)
    assert row_of(run).status == "RETRY"
    assert (meta["attempts"], meta["failures"]) == (1, 1)
    wait = meta["not_before"] - meta["sweep_at"]
    assert abs(wait) < 1  # a long wait stays in the database, and the sweep sends it
    assert isinstance(deliver(run).info.retval, Ignore), "it ran before its time"
    make_ready(run)
    deliver(run)

    meta = meta_of(run)
    assert row_of(run).status == "FAILURE"
    assert [(a["attempt"], a["error"]) for a in meta["history"]] == [(1, "TimeoutError:")]
    assert meta["attempts"] == 2
    assert SEEN == ["x", "x"]


def make_ready(run):
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE django_celery_results_taskresult"
            " SET meta = (meta::jsonb - 'not_before')::text WHERE task_id = %s",
            [run.task_id],
        )


def test_back_off_doubles_up_to_its_cap_with_a_random_half():
    delays = [[body.delay_before_retry(n) for _ in range(200)] for n in range(10)]

    for number, sample in enumerate(delays):
        full = min(600, 80 * 2**number)
        assert full / 2 <= min(sample) < max(sample) <= full
        assert len(set(sample)) > 100


@pytest.mark.django_db(transaction=True)
def test_the_second_under_a_lock_is_skipped_and_says_who_holds_it():
    told = []

    def listener(task_id, status, reason, **_):
        told.append((task_id, status, reason))

    run = requested()
    runs.run_ended.connect(listener)
    try:
        with locks.hold("tests-body:x"):
            deliver(run)
    finally:
        runs.run_ended.disconnect(listener)

    row = row_of(run)
    assert (row.status, SEEN) == (SKIPPED, [])
    reason = meta_of(run)["reason"]
    assert reason.startswith("The lock tests-body:x is held by lurker ")
    assert " since " in reason
    assert told == [(run.task_id, SKIPPED, reason)]
    assert not locks.is_held("tests-body:x")


@pytest.mark.django_db(transaction=True)
def test_a_cancelled_run_that_waits_never_starts():
    run = requested()

    assert runs.cancel([run.task_id], reason="not needed") == (1, 0)

    deliver(run)
    assert (row_of(run).status, SEEN) == ("REVOKED", [])
    assert meta_of(run)["reason"] == "not needed"


@pytest.mark.django_db(transaction=True)
def test_a_cancelled_run_ends_at_its_next_safe_point(monkeypatch):
    run = requested(name="x", how="check")
    original = execution.claim

    def claim_and_cancel(*arguments):
        taken = original(*arguments)
        assert runs.cancel([run.task_id], reason="enough") == (0, 1)
        return taken

    monkeypatch.setattr(execution, "claim", claim_and_cancel)
    deliver(run)

    assert row_of(run).status == "REVOKED"
    assert meta_of(run)["reason"] == "enough"


@pytest.mark.django_db
def test_outside_a_run_there_is_nothing_to_cancel(django_assert_num_queries):
    with django_assert_num_queries(0):
        cancellation.check()


@pytest.mark.django_db(transaction=True)
def test_a_message_without_a_row_gets_one_at_the_claim():
    run = store.RunRequest("tests.body", {"name": "x"}, "default", "nobody")
    deliver(run)
    deliver(run)

    row = row_of(run)
    assert (row.status, SEEN) == ("SUCCESS", ["x"])
    assert json.loads(row.task_kwargs) == {"name": "x"}
    assert meta_of(run)["trigger"] == "message"


@pytest.mark.django_db(transaction=True)
def test_wrong_arguments_of_a_message_without_a_row_are_named():
    run = store.RunRequest("tests.body", {"nam": 3}, "default", "nobody")
    deliver(run)

    assert row_of(run).status == "FAILURE"
    assert "nam: the job has no such parameter" in meta_of(run)["reason"]


@pytest.mark.django_db(transaction=True)
def test_delay_records_before_it_sends():
    result = body.delay("x")

    row = TaskResult.objects.get(task_id=result.id)
    assert (row.status, json.loads(row.task_kwargs)) == ("PENDING", {"name": "x"})
    assert json.loads(row.meta)["trigger"] == "task"


@pytest.mark.django_db(transaction=True)
def test_a_failed_run_is_run_again_once_with_its_arguments():
    run = requested(name="x", how="bug")
    assert runs.rerun([run.task_id]) == []  # it has not ended
    deliver(run)

    (again,) = runs.rerun([run.task_id])
    assert runs.rerun([run.task_id]) == []

    assert (again.task, again.kwargs) == (run.task, run.kwargs)
    assert row_of(again).status == states.PENDING
    assert meta_of(again)["rerun_of"] == run.task_id
    assert meta_of(run)["rerun_as"] == again.task_id


@pytest.mark.django_db(transaction=True)
def test_what_postgresql_cannot_hold_does_not_hide_a_failure():
    run = requested()
    taken = claim(run)

    assert transitions.finish(
        taken, "FAILURE", result="null", traceback="a\x00b\ud800", reason="x\x00y\udc00\nz"
    )
    assert meta_of(run)["reason"] == "x\ufffdy? z"
