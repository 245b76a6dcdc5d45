"""A database of its own for a benchmark, on the server of the tests, gone when it ends."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.test")


@contextmanager
def database(name: str) -> Iterator[dict[str, str]]:
    """Set Django up on a fresh database and yield the environment that child processes need.

    One that an earlier run left behind is replaced.
    """
    import django

    django.setup()
    from django.db import connection

    from config.environment import database_url

    kept = connection.settings_dict["NAME"]
    connection.settings_dict.setdefault("TEST", {})["NAME"] = f"lurker_bench_{name}"
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        yield os.environ | {"TEST_DATABASE_URL": database_url(connection.settings_dict)}
    finally:
        connection.creation.destroy_test_db(kept, verbosity=0)
