"""A Celery application with Lurker's configuration and two tasks, for workers of the tests."""

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
