"""The Celery application: `celery -A config worker|beat|flower`."""

import logging.config
import os
from typing import Any

from celery import Celery, signals
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")

app = Celery("lurker")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@signals.setup_logging.connect
def configure_logging(**_: Any) -> None:
    """Write logs as the other processes do; Celery leaves them alone when this is connected."""
    logging.config.dictConfig(settings.LOGGING)
