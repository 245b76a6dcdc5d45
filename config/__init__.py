"""Lurker's settings and the entry points of its processes.

Importing this package imports nothing else, so that `local.servers`, `config.environment` and the
health checks start quickly. The first access to `celery_app` imports Celery.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    if name == "celery_app":
        from config.celery import app

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
