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
    """Write logs as the other processes do; Celery leaves them alone when this is connected."""
    logging.config.dictConfig(settings.LOGGING)


@signals.worker_init.connect
@signals.beat_init.connect
def refuse_to_start_with_errors(**_: Any) -> None:
    """End a worker or beat whose settings fail the system checks; Celery ignores the outcome."""
    from config.checks import refuse_errors

    try:
        refuse_errors()
    except ImproperlyConfigured as problem:
        raise SystemExit(str(problem)) from None  # an exception would only be logged


@signals.task_prerun.connect
def replace_broken_connections(task: Any, **_: Any) -> None:
    """Close database connections that broke or grew old, as Django does before each request.

    With CELERY_DB_REUSE_MAX Celery leaves them open: after a restart of PostgreSQL every process
    of every worker would fail its next tasks.
    """
    if not getattr(task.request, "is_eager", False):
        from django.db import close_old_connections

        close_old_connections()
