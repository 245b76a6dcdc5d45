"""Faults of brokers, workers and the database, with real ones: each run ends once, and truthfully.

The numbers are those of the list of faults in the documentation of the task path.
"""

import json
import signal
import time

import pytest
from django.db import connection

from jobs.models import DeadLetter
from jobs.runs import sweep
from tests.jobs.conftest import ended_row, publish_again, request, row_of, state_of
from tests.processes import wait_until

pytestmark = pytest.mark.slow

# Seconds by which a loaded machine may be late, beside what a time-out takes.
SLACK = 2
# A worker with a half-open connection to its broker has a new one after at most so many heartbeats,
# and some seconds to connect. Each test's worker has a short heartbeat.
NOTICED_HEARTBEATS = 3
CONNECT_SECONDS = 12
HEARTBEAT_SECONDS = 2


def meta_of(run):
    return json.loads(row_of(run).meta)


def sweep_until_ended(run, seconds=60):
    """What the schedule of each 15 seconds does, until the run has ended."""

    def ended():
        sweep.run()
        return state_of(run) in ("SUCCESS", "FAILURE", "REVOKED", "SKIPPED")

    wait_until(ended, seconds=seconds, what=f"the end of {run.task}")
    return row_of(run)


def test_1_the_broker_is_lost_while_a_task_runs(own_redis, start_worker, folder):
    worker = start_worker(own_redis.broker, concurrency=2)
    run = request("tests.hold", {"name": "long", "seconds": 60})
    folder.wait_for("long-held")

    own_redis.process().kill()
    worker.wait_for("Connection to broker lost")
    own_redis.start()
    folder.release()

    assert ended_row(run).status == "SUCCESS"
    after = request("tests.mark", {"name": "after"})
    publish_again(run)  # as the broker does when it hands out what was not acknowledged
    assert ended_row(after, seconds=60).status == "SUCCESS"
    assert worker.is_running
    assert folder.count("long-held") == folder.count("long-done") == 1
    assert meta_of(run)["attempts"] == 1


def test_1_the_connection_to_the_broker_is_lost_while_a_task_runs(
    breakable_broker, start_worker, folder
):
    worker = start_worker(breakable_broker, concurrency=2)
    run = request("tests.hold", {"name": "long", "seconds": 60}, broker=breakable_broker)
    folder.wait_for("long-held")

    breakable_broker.proxy.close()
    worker.wait_for("Connection to broker lost")
    # RabbitMQ hands the message out again as soon as there is anybody to take it.
    breakable_broker.proxy.open()
    after = request("tests.mark", {"name": "after"}, broker=breakable_broker)
    assert sweep_until_ended(after).status == "SUCCESS"
    folder.release()

    assert ended_row(run).status == "SUCCESS"
    last = request("tests.mark", {"name": "last"}, broker=breakable_broker)
    assert sweep_until_ended(last).status == "SUCCESS"
    assert worker.is_running
    assert folder.count("long-held") == folder.count("long-done") == 1
    assert meta_of(run)["attempts"] == 1


def test_2_the_broker_is_frozen(breakable_broker, start_worker, folder):
    start_worker(breakable_broker)
    before = request("tests.mark", {"name": "before"}, broker=breakable_broker)
    assert ended_row(before).status == "SUCCESS"

    breakable_broker.proxy.freeze()
    began = time.monotonic()
    run = request("tests.mark", {"name": "frozen"}, broker=breakable_broker)
    took = time.monotonic() - began

    assert took < 6 + SLACK
    assert state_of(run) == "PENDING"
    breakable_broker.proxy.thaw()
    make_due(run)
    row = sweep_until_ended(run)
    assert row.status == "SUCCESS"
    assert folder.count("frozen") == 1


def test_a_half_open_connection_to_the_broker_is_noticed(breakable_broker, start_worker, folder):
    """As a firewall leaves it: nothing passes, nobody is told, and new connections are welcome."""
    worker = start_worker(breakable_broker, TEST_BROKER_HEARTBEAT=str(HEARTBEAT_SECONDS))
    before = request("tests.mark", {"name": "before"}, broker=breakable_broker)
    assert ended_row(before).status == "SUCCESS"

    breakable_broker.proxy.forget()
    began = time.monotonic()
    run = request("tests.mark", {"name": "forgotten"}, broker=breakable_broker)
    took = time.monotonic() - began

    assert took < 6 + SLACK
    assert state_of(run) == "PENDING"
    make_due(run)
    noticed = NOTICED_HEARTBEATS * HEARTBEAT_SECONDS + CONNECT_SECONDS
    row = sweep_until_ended(run, seconds=noticed + SLACK)
    assert row.status == "SUCCESS"
    assert folder.count("forgotten") == 1
    assert worker.is_running


def test_the_settings_notice_a_half_open_connection_within_a_minute(settings):
    seconds = settings.CELERY_BROKER_HEARTBEAT
    assert NOTICED_HEARTBEATS * seconds + CONNECT_SECONDS <= 60
    assert settings.CELERY_BROKER_TRANSPORT_OPTIONS.get("health_check_interval", 0) <= seconds


def test_3_the_broker_is_down_when_a_run_is_asked_for(breakable_broker, start_worker, folder):
    breakable_broker.proxy.close()

    run = request("tests.mark", {"name": "late"}, broker=breakable_broker)

    assert state_of(run) == "PENDING"
    breakable_broker.proxy.open()
    start_worker(breakable_broker)
    make_due(run)
    assert sweep_until_ended(run).status == "SUCCESS"
    assert folder.count("late") == 1


def test_connections_that_broke_while_idle_cost_no_run(breakable_broker, start_worker, folder):
    start_worker(breakable_broker)
    before = request("tests.mark", {"name": "before"}, broker=breakable_broker)
    assert ended_row(before).status == "SUCCESS"

    breakable_broker.proxy.cut()

    run = request("tests.mark", {"name": "cut"}, broker=breakable_broker)
    assert sweep_until_ended(run).status == "SUCCESS"
    assert folder.count("cut") == 1


def test_4_a_task_that_kills_its_process_is_not_repeated_for_ever(
    either_broker, start_worker, folder
):
    worker = start_worker(either_broker)
    run = request("tests.kill_me", broker=either_broker)

    row = sweep_until_ended(run)

    assert row.status == "FAILURE"
    assert folder.count("killed") == 3  # and max_retries is 2
    meta = json.loads(row.meta)
    assert [attempt["attempt"] for attempt in meta["history"]] == [1, 2, 3]
    assert "ended without a word" in meta["reason"]
    assert DeadLetter.objects.get().task_id == run.task_id
    assert worker.is_running


def test_5_a_killed_worker_s_run_goes_to_another(either_broker, start_worker, folder):
    worker = start_worker(either_broker, name="first")
    run = request("tests.hold", {"name": "long", "seconds": 60}, broker=either_broker)
    folder.wait_for("long-held")

    worker.kill()
    folder.release()
    start_worker(either_broker, name="second")  # it sweeps when it starts

    row = sweep_until_ended(run)
    assert row.status == "SUCCESS"
    assert row.worker.startswith("second-")
    meta = json.loads(row.meta)
    assert meta["attempts"] == 2
    (first,) = meta["history"]
    assert first["worker"].startswith("first-")
    assert "ended without a word" in first["error"]
    assert (folder.count("long-held"), folder.count("long-done")) == (2, 1)


def test_6_a_run_that_outlasts_the_visibility_time_out_runs_once(broker, start_worker, folder):
    workers = [
        start_worker(name=f"worker-{number}", concurrency=2, CELERY_VISIBILITY_TIMEOUT="2")
        for number in range(2)
    ]
    run = request("tests.hold", {"name": "long", "seconds": 60})
    folder.wait_for("long-held")

    def copies():
        return sum(worker.output.count(f"{run.task_id}] ignored") for worker in workers)

    wait_until(copies, seconds=40, what="Redis hands out a copy")
    folder.release()

    row = ended_row(run)
    assert row.status == "SUCCESS"
    assert json.loads(row.meta)["attempts"] == 1
    assert folder.count("long-held") == folder.count("long-done") == 1


def test_7_a_stopped_worker_gives_its_run_back(either_broker, start_worker, folder):
    environment = {"REMAP_SIGTERM": "SIGQUIT", "CELERY_SOFT_SHUTDOWN_TIMEOUT": "1"}
    first = start_worker(either_broker, name="first", **environment)
    run = request("tests.hold", {"name": "long", "seconds": 60}, broker=either_broker)
    folder.wait_for("long-held")

    first.terminate(seconds=30)

    # No state that says more than is known: it is started, and its worker's lock is free.
    assert state_of(run) in ("STARTED", "PENDING")
    folder.release()
    start_worker(either_broker, name="second")
    # Its message may come before its process has died; then it is the sweep that gives it back.
    row = sweep_until_ended(run)
    assert row.status == "SUCCESS"
    assert row.worker.startswith("second-")
    assert folder.count("long-done") == 1


def test_8_postgresql_is_down_when_a_run_ends(either_broker, own_postgres, start_worker, folder):
    worker = start_worker(either_broker, **on(own_postgres))
    ends = request("tests.hold", {"name": "ends", "seconds": 60}, broker=either_broker)
    folder.wait_for("ends-held")

    stop_at_once(own_postgres)
    folder.release()
    worker.wait_for("The database is away, trying again")
    own_postgres.start()

    connection.close()
    assert ended_row(ends, seconds=30).status == "SUCCESS"
    assert meta_of(ends)["attempts"] == 1
    assert folder.count("ends-held") == 1


def test_a_run_that_goes_on_over_a_restart_of_postgresql_is_not_taken_for_dead(
    broker, own_postgres, start_worker, folder
):
    worker = start_worker(**on(own_postgres))
    run = request("tests.hold", {"name": "long", "seconds": 60})
    folder.wait_for("long-held")

    stop_at_once(own_postgres)
    own_postgres.start()
    connection.close()
    sweep.run()

    assert state_of(run) == "STARTED"
    worker.wait_for("liveness lock")
    folder.release()
    assert ended_row(run).status == "SUCCESS"
    assert meta_of(run)["attempts"] == 1


def on(server):
    """The environment of a worker on this server, whose patience is half of the time-out."""
    return {
        "DATABASE_URL": server.url(),
        "TEST_DATABASE_URL": server.url(),
        "CELERY_VISIBILITY_TIMEOUT": "120",
    }


def stop_at_once(server):
    """As `pg_ctl stop -m immediate` does."""
    process = server.process()
    process.send_signal(signal.SIGQUIT)
    process.wait(20)


def test_hard_and_soft_time_limits_say_so(either_broker, start_worker):
    start_worker(either_broker)
    soft = request("tests.overtime", {"stubborn": False}, broker=either_broker)
    hard = request("tests.overtime", {"stubborn": True}, broker=either_broker)

    assert ended_row(soft).status == ended_row(hard).status == "FAILURE"
    assert meta_of(soft)["reason"] == "The run reached the soft time limit of 1 s."
    killed = "The run reached the time limit of 2 s, and the worker killed its process."
    assert meta_of(hard)["reason"] == killed


def test_a_transient_error_is_tried_again_and_then_is_a_dead_letter(
    either_broker, start_worker, folder
):
    start_worker(either_broker)
    run = request("tests.fail", {"how": "transient"}, broker=either_broker)

    row = sweep_until_ended(run)

    assert row.status == "FAILURE"
    assert folder.count("failing-transient") == 3
    meta = json.loads(row.meta)
    assert meta["attempts"] == 3
    assert meta["failures"] == 2
    assert [attempt["error"] for attempt in meta["history"]] == [
        "OperationalError: server closed the connection"
    ] * 2


def make_due(run):
    """Let the sweep look at it now, not in a minute."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE django_celery_results_taskresult"
            " SET meta = (meta::jsonb || '{\"sweep_at\": 0}')::text WHERE task_id = %s",
            [run.task_id],
        )
