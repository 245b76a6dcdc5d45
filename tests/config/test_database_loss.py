"""A worker's next task works after its database connections were lost."""

import pytest
from celery import Celery
from django.db import connection

from tests.processes import wait_until

pytestmark = pytest.mark.slow


def test_a_lost_connection_costs_no_later_task(
    processes, process_environment, broker, settings, tmp_path
):
    """As after a restart of PostgreSQL; Celery keeps connections for many tasks."""
    processes.worker(
        application="tests.config.worker_tasks", environment={"TASK_FOLDER": str(tmp_path)}
    )
    sender = Celery("sender", broker=broker, set_as_current=False)
    sender.conf.broker_transport_options = settings.CELERY_BROKER_TRANSPORT_OPTIONS
    sender.send_task("tests.query", args=["before"], queue="default")
    wait_until((tmp_path / "before").exists, what="a first task has opened the connection")

    def sessions(column):
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT {column} FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            return cursor.fetchall()

    assert sessions("pid"), "the worker keeps no connection: this test shows nothing"
    assert all(ended for (ended,) in sessions("pg_terminate_backend(pid)"))
    wait_until(lambda: not sessions("pid"))

    sender.send_task("tests.query", args=["after"], queue="default")
    wait_until((tmp_path / "after").exists, what="the next task reaches the database")
