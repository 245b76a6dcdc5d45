"""A run is recorded before it is sent, with the caller's transaction, whatever the broker does."""

import json
import socket

import pytest
from celery import Celery
from django.db import transaction
from django_celery_results.models import TaskResult

from config.celery import app
from jobs.runs import requests as runs
from jobs.runs import store
from jobs.task import job

TASK = "tests.collect"


@job(name=TASK, queue="default")
def collect(bot_id: int = 0) -> None:
    """A job to ask for."""


def request(**kwargs):
    return runs.request_run(TASK, kwargs, queue="default", trigger="manual")


def messages(queue="default"):
    """Take what lies in a queue of the broker."""
    taken = []
    with app.connection_for_read() as connection:
        bound = app.amqp.queues[queue](connection.default_channel)
        while (message := bound.get(no_ack=True)) is not None:
            taken.append((message.headers["id"], message.headers["task"], message.payload[1]))
    return taken


@pytest.fixture
def closed_port():
    """A port of this machine at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.django_db
def test_the_row_says_what_was_asked_for():
    run = request(bot_id=7)

    row = TaskResult.objects.get(task_id=run.task_id)
    assert (row.status, row.task_name) == ("PENDING", TASK)
    assert json.loads(row.task_kwargs) == {"bot_id": 7}
    meta = json.loads(row.meta)
    assert (meta["queue"], meta["trigger"]) == ("default", "manual")
    assert meta["queued_at"]


@pytest.mark.django_db(transaction=True)
def test_the_message_follows_the_commit(broker):
    with transaction.atomic():
        run = request(bot_id=7)
        assert messages() == []

    assert messages() == [(run.task_id, TASK, {"bot_id": 7})]


@pytest.mark.django_db(transaction=True)
def test_what_was_rolled_back_leaves_neither_row_nor_message(broker):
    with transaction.atomic():
        request()
        transaction.set_rollback(True)

    assert not TaskResult.objects.exists()
    assert messages() == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("scheme", ["redis://127.0.0.1:{}/0", "amqp://guest@127.0.0.1:{}//"])
def test_a_broker_that_is_away_costs_no_run(scheme, closed_port, monkeypatch, caplog):
    lonely = Celery("lonely", set_as_current=False)
    lonely.config_from_object("django.conf:settings", namespace="CELERY")
    lonely.conf.broker_url = scheme.format(closed_port)
    if scheme.startswith("amqp"):
        lonely.conf.broker_transport_options = {}
    monkeypatch.setattr(store, "current_app", lonely)

    with transaction.atomic():
        request()

    assert TaskResult.objects.get().status == "PENDING"
    assert "1 run(s) stay waiting, the broker does not take them" in caplog.text


@pytest.mark.django_db
def test_an_app_can_write_beside_the_run():
    told = []

    def listener(run, **_):
        told.append(run)

    runs.run_requested.connect(listener, sender=TASK)
    try:
        run = request(bot_id=7)
    finally:
        runs.run_requested.disconnect(listener, sender=TASK)

    assert told == [run]
