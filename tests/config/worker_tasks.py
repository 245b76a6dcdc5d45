"""A Celery application with Lurker's configuration and a few tasks, for workers of the tests."""

import os
import time
from pathlib import Path

from config.celery import app

__all__ = ["app"]


@app.task(name="tests.hold", queue="default")
def hold(seconds):
    """Say that the task runs, and hold its message for a while."""
    folder = Path(os.environ["TASK_FOLDER"])
    (folder / "held").touch()
    time.sleep(seconds)
    (folder / "released").touch()


@app.task(name="tests.mark", queue="default")
def mark(name):
    """Leave a file."""
    (Path(os.environ["TASK_FOLDER"]) / name).touch()


@app.task(name="tests.query", queue="default")
def query(name):
    """Ask the database, and leave a file if it answers."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    (Path(os.environ["TASK_FOLDER"]) / name).touch()
