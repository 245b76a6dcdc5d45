"""The Celery application: `celery -A config worker|beat|flower`."""

import logging.config
import os
from typing import Any

from celery import Celery, signals
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from config.celery_events import EventsInGroups
from config.celery_redis import reuse_clients, survive_lost_connections
from config.heartbeat import ConsumerPulse, start_beat_pulse

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")

survive_lost_connections()
reuse_clients()

app = Celery("lurker")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.steps["consumer"].add(ConsumerPulse)
app.steps["consumer"].add(EventsInGroups)
signals.beat_init.connect(start_beat_pulse)


@signals.setup_logging.connect
def configure_logging(**_: Any) -> None:
    """Log as the other processes do. Connecting this receiver stops Celery's own logging set-up."""
    logging.config.dictConfig(settings.LOGGING)


@signals.worker_init.connect
@signals.beat_init.connect
def refuse_to_start_with_errors(**_: Any) -> None:
    """End a worker or beat whose settings fail the system checks; Celery ignores their result."""
    from config.checks import refuse_errors

    try:
        refuse_errors()
    except ImproperlyConfigured as problem:
        raise SystemExit(str(problem)) from None  # Celery would only log an exception


@signals.task_prerun.connect
def replace_broken_connections(task: Any, **_: Any) -> None:
    """Close database connections that broke or are too old, as Django does before each request.

    With CELERY_DB_REUSE_MAX, Celery keeps connections open. After a restart of PostgreSQL, the next
    tasks of every worker process would fail.
    """
    if not getattr(task.request, "is_eager", False):
        from django.db import close_old_connections

        close_old_connections()
