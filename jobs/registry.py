"""The jobs there are: what Celery has registered, no list beside it."""

from typing import Any

from celery import Task, current_app

from jobs.errors import UnknownJob
from jobs.job import Job


def all_jobs() -> dict[str, Job]:
    """Every registered job by its name, in alphabetical order."""
    _load()
    return {name: task for name, task in sorted(current_app.tasks.items()) if isinstance(task, Job)}


def find(name: str) -> Task[..., Any]:
    """Return the task of this name, a job or one of a library; raise `UnknownJob`."""
    task = current_app.tasks.get(name)
    if task is None:
        _load()
        task = current_app.tasks.get(name)
    if task is None:
        raise UnknownJob(name)
    return task


def _load() -> None:
    # A web process or a command has not imported the apps' tasks modules yet.
    current_app.loader.import_default_modules()
