"""System checks of the settings, which every process must pass before it starts work.

Django runs them for its commands. The web process, workers and beats run them at their start
(`refuse_errors`). LURKER.E… ends the process; LURKER.W… is printed.
"""

from collections.abc import Sequence
from typing import Any

from cryptography.fernet import Fernet
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from config.environment import BROKER_SCHEMES

OLDEST_POSTGRES = 14
POSTGRES_ENGINE = "django.db.backends.postgresql"


@checks.register
def encryption_keys_are_fernet_keys(**_: Any) -> list[checks.CheckMessage]:
    """LURKER.E001: otherwise a bad key would fail only when the first secret is stored."""
    messages: list[checks.CheckMessage] = []
    for number, key in enumerate(settings.ENCRYPTION_KEYS, start=1):
        try:
            Fernet(key)
        except ValueError:
            messages.append(
                checks.Error(
                    f"ENCRYPTION_KEYS: key {number} of {len(settings.ENCRYPTION_KEYS)} is no "
                    "Fernet key.",
                    hint=(
                        "Generate one: python -c 'from cryptography.fernet import Fernet; "
                        "print(Fernet.generate_key().decode())'"
                    ),
                    id="LURKER.E001",
                )
            )
    if not settings.ENCRYPTION_KEYS:
        messages.append(
            checks.Error("ENCRYPTION_KEYS is empty.", hint="See .env.example.", id="LURKER.E001")
        )
    return messages


@checks.register
def broker_is_known(**_: Any) -> list[checks.CheckMessage]:
    """LURKER.E002: another transport would silently ignore the time-outs and queues of the settings."""
    scheme = str(settings.CELERY_BROKER_URL).partition("://")[0]
    if scheme in BROKER_SCHEMES:
        return []
    return [
        checks.Error(
            f"CELERY_BROKER_URL: {scheme!r} is not a supported broker.",
            hint=f"Use one of: {', '.join(sorted(BROKER_SCHEMES))}.",
            id="LURKER.E002",
        )
    ]


@checks.register
def time_limits_are_in_order(**_: Any) -> list[checks.CheckMessage]:
    """LURKER.E003, E004: the soft limit is below the hard limit, the hard one below the time-out."""
    messages: list[checks.CheckMessage] = []
    soft, hard = settings.CELERY_TASK_SOFT_TIME_LIMIT, settings.CELERY_TASK_TIME_LIMIT
    if not 0 < soft < hard:
        messages.append(
            checks.Error(
                f"CELERY_TASK_SOFT_TIME_LIMIT ({soft} s) is not below CELERY_TASK_TIME_LIMIT "
                f"({hard} s).",
                hint="A task needs the time between them to end in order.",
                id="LURKER.E003",
            )
        )
    visibility = settings.CELERY_BROKER_TRANSPORT_OPTIONS.get("visibility_timeout")
    if visibility is not None and visibility <= hard:
        messages.append(
            checks.Error(
                f"CELERY_VISIBILITY_TIMEOUT ({visibility} s) is not above CELERY_TASK_TIME_LIMIT "
                f"({hard} s).",
                hint="Redis would hand out the messages of tasks that still run.",
                id="LURKER.E004",
            )
        )
    return messages


@checks.register
def reddit_times_are_in_order(**_: Any) -> list[checks.CheckMessage]:
    """LURKER.E005: one request fits into the deadline of a call, and the deadline into a task."""
    request, call = settings.REDDIT_TIMEOUT_SECONDS, settings.REDDIT_DEADLINE_SECONDS
    limit = settings.CELERY_TASK_SOFT_TIME_LIMIT
    if 0 < request <= call < limit:
        return []
    return [
        checks.Error(
            f"REDDIT_TIMEOUT_SECONDS ({request}), REDDIT_DEADLINE_SECONDS ({call}) and "
            f"CELERY_TASK_SOFT_TIME_LIMIT ({limit}) are not positive numbers in this order.",
            hint="Defaults are 10, 60 and 1740 seconds.",
            id="LURKER.E005",
        )
    ]


@checks.register
def database_is_postgres(**_: Any) -> list[checks.CheckMessage]:
    """LURKER.E006: Lurker uses COPY, ON CONFLICT, advisory locks and full-text search everywhere."""
    return [
        checks.Error(
            f"DATABASES[{alias!r}] is {config['ENGINE']}, not PostgreSQL.",
            hint="Set DATABASE_URL to postgresql://user:password@host:5432/name.",
            id="LURKER.E006",
        )
        for alias, config in settings.DATABASES.items()
        if config["ENGINE"] != POSTGRES_ENGINE
    ]


@checks.register(checks.Tags.database)
def postgres_is_recent(
    databases: Sequence[str] | None = None, **_: Any
) -> list[checks.CheckMessage]:
    """LURKER.E007: PostgreSQL is recent; checked before migrations and by `check --database default`."""
    messages: list[checks.CheckMessage] = []
    for alias in databases or ():
        connection = connections[alias]
        if connection.vendor != "postgresql":
            continue  # LURKER.E006 reports it
        connection.ensure_connection()
        version = connection.connection.server_version
        if version < OLDEST_POSTGRES * 10_000:
            messages.append(
                checks.Error(
                    f"The server of database {alias!r} is PostgreSQL {version // 10_000}.",
                    hint=f"Lurker needs PostgreSQL {OLDEST_POSTGRES} or newer.",
                    id="LURKER.E007",
                )
            )
    return messages


def refuse_errors() -> None:
    """Raise `ImproperlyConfigured` if a check of the settings finds an error."""
    errors = [
        message
        for message in checks.run_checks()
        if message.is_serious() and not message.is_silenced()
    ]
    if errors:
        raise ImproperlyConfigured(
            "Lurker does not start:\n" + "\n".join(str(error) for error in errors)
        )
