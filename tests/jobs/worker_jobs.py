"""A Celery application with Lurker's configuration and jobs that tests run in real workers.

They leave files in TASK_FOLDER, so that a test can wait for what they do and count it.
"""

import os
import signal
import time
import uuid
from pathlib import Path

from django.db import OperationalError
from kombu import Exchange, Queue

from config.celery import app
from jobs.runs import cancellation
from jobs.task import job

__all__ = ["app"]


def queues(url, name):
    """Lurker's default queue under another name, so that tests on one server do not meet."""
    amqp = url.startswith("amqp")
    return [
        Queue(
            name,
            exchange=Exchange(name, type="topic" if amqp else "direct"),
            routing_key=name,
            queue_arguments=app.conf.task_queues[0].queue_arguments
            if amqp == app.conf.broker_url.startswith("amqp")
            else {"x-queue-type": "quorum", "x-delivery-limit": 5},
        )
    ]


if "TEST_QUEUE" in os.environ:
    app.conf.task_queues = queues(app.conf.broker_url, os.environ["TEST_QUEUE"])
    app.conf.task_default_queue = os.environ["TEST_QUEUE"]


class Expected(Exception):
    """An error that is no bug."""


def leave(name):
    """Leave one file for each call."""
    (Path(os.environ["TASK_FOLDER"]) / f"{name}.{uuid.uuid4().hex}").touch()


@job(name="tests.mark", queue="default")
def mark(name: str) -> str:
    """Leave a file."""
    leave(name)
    return name


@job(name="tests.hold", queue="default", soft_time_limit=100, time_limit=120)
def hold(name: str, seconds: float) -> str:
    """Run for a while, or until the file `release` is there."""
    leave(f"{name}-held")
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (Path(os.environ["TASK_FOLDER"]) / "release").exists():
            break
        time.sleep(0.05)
    leave(f"{name}-done")
    return name


@job(name="tests.hold_locked", queue="default", lock="tests-hold:{name}")
def hold_locked(name: str, seconds: float) -> str:
    """The same, one at a time for a name."""
    return hold(name, seconds)


@job(name="tests.kill_me", queue="default", max_retries=2)
def kill_me() -> None:
    """Kill the process that runs it."""
    leave("killed")
    os.kill(os.getpid(), signal.SIGKILL)


@job(name="tests.fail", queue="default", expected=(Expected,), max_retries=2, backoff=0.2)
def fail(how: str) -> None:
    """Fail as told."""
    leave(f"failing-{how}")
    if how == "expected":
        raise Expected("The subreddit\nis private.")
    if how == "transient":
        raise OperationalError("server closed the connection")
    raise ZeroDivisionError("a bug")


@job(name="tests.overtime", queue="default", soft_time_limit=1, time_limit=2)
def overtime(stubborn: bool) -> None:
    """Run longer than it may."""
    leave("overtime")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            time.sleep(30)
        except Exception:
            if not stubborn:
                raise


@job(name="tests.until_cancelled", queue="default")
def until_cancelled(seconds: float = 30) -> None:
    """Run until it is cancelled."""
    leave("cancellable")
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        cancellation.check()
        time.sleep(0.02)
