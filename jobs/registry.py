"""The registered jobs. Celery's registry is the only list."""

from typing import Any

from celery import Celery, Task, current_app

from jobs.errors import UnknownJob
from jobs.job import Job


def all_jobs() -> dict[str, Job]:
    """Return every registered job by its name, in alphabetical order."""
    _load()
    return {name: task for name, task in sorted(current_app.tasks.items()) if isinstance(task, Job)}


def find(name: str) -> Task[..., Any]:
    """Return the task of this name, a job or a library's task; raise `UnknownJob`."""
    task = current_app.tasks.get(name)
    if task is None:
        _load()
        task = current_app.tasks.get(name)
    if task is None:
        raise UnknownJob(name)
    return task


def queue_of(task: str, app: Celery | None = None) -> str:
    """Return the queue of a task's runs, unless a schedule or a caller names another.

    For a job it is the queue that the job declares, for a library's task the queue in Celery's
    routes.
    """
    app = app or current_app
    found = app.tasks.get(task)
    if isinstance(found, Job):
        return found.queue_name
    routed = app.amqp.router.route({}, task).get("queue")
    queue: str = getattr(routed, "name", routed) or app.conf.task_default_queue
    return queue


def _load() -> None:
    # A web process or a command has not imported the apps' tasks modules yet.
    current_app.loader.import_default_modules()
