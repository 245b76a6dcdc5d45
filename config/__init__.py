"""Lurker's settings and the entry points of its processes.

Importing this package imports nothing else, so that `local.servers`, `config.environment` and
the health checks stay quick; `celery_app` is there once it is asked for.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    if name == "celery_app":
        from config.celery import app

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
