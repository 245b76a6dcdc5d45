"""A separate database for a benchmark on the configured PostgreSQL server, and the volume file."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import django
from django.apps import apps

# Set on import: a benchmark imports this module before any other module of the project.
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.test")
os.environ.setdefault("LOG_LEVEL", "ERROR")

VOLUME = "volume/posts_2013_pddl.ndjson.gz"


def volume_file() -> Path | None:
    """Return the file of recorded posts; without it, print why and return None."""
    folder = os.environ.get("REDDIT_REFERENCE")
    path = Path(folder) / VOLUME if folder else None
    if path is None or not path.is_file():
        print(f"Skipped: REDDIT_REFERENCE does not name a folder with {VOLUME}.")
        return None
    return path


@contextmanager
def own_database() -> Iterator[str]:
    """Run Django on an empty database with all tables; yield its address, and drop it at the end."""
    if not apps.ready:
        django.setup()
    from django.db import connection

    from config.environment import database_url

    name = f"benchmark_{os.getpid()}"
    before = connection.settings_dict["NAME"]
    connection.settings_dict["TEST"]["NAME"] = name
    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        yield database_url(connection.settings_dict)
    finally:
        connection.creation.destroy_test_db(before, verbosity=0)
