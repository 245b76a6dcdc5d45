"""The Celery applications that `task_path` compares; TASK_PATH_KIND selects one.

``python -m benchmarks._task_path_app NUMBER`` puts NUMBER no-op tasks into its queue.
"""

import os
import sys

from celery import Celery

KIND = os.environ["TASK_PATH_KIND"]
TASK = "benchmarks.no_op"
QUEUE = "default"


def _bare() -> Celery:
    app = Celery("bare", broker=os.environ["CELERY_BROKER_URL"])
    app.conf.task_default_queue = QUEUE
    app.conf.task_ignore_result = True
    app.task(name=TASK)(_no_op)
    return app


def _stock() -> Celery:
    app = Celery("stock", broker=os.environ["CELERY_BROKER_URL"], backend="django-db")
    app.conf.task_default_queue = QUEUE
    app.conf.task_track_started = True
    app.conf.result_extended = True
    if KIND == "stock_reused":
        app.conf["CELERY_DB_REUSE_MAX"] = 500
    app.task(name=TASK)(_no_op)
    return app


def _ours() -> Celery:
    from config.celery import app
    from jobs.task import job

    job(name=TASK, queue=QUEUE)(_no_op)
    return app


def _no_op() -> None:
    """Do nothing."""


def fill(number: int) -> None:
    """Put `number` tasks into the queue, in the usual way of the selected application."""
    app.finalize()
    if KIND != "ours":
        with app.producer_or_acquire() as producer:
            for _ in range(number):
                app.send_task(TASK, queue=QUEUE, producer=producer)
        return
    from jobs.runs import requests as runs

    requests = [runs.RunRequest(TASK, {}, QUEUE, "benchmark") for _ in range(number)]
    for start in range(0, number, 500):
        runs.record(requests[start : start + 500])
    if runs.publish(requests) < number:
        raise SystemExit("The broker does not take the messages.")


if KIND != "bare":
    import django

    django.setup()
app = {"bare": _bare, "stock": _stock, "stock_reused": _stock, "ours": _ours}[KIND]()

if __name__ == "__main__":
    fill(int(sys.argv[1]))
