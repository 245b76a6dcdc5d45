"""Locks over all machines: PostgreSQL session-level advisory locks.

Each lock has a database connection of its own and lives exactly as long: the holder's death, however
sudden, frees it, so there is no time-to-live to choose and no stale lock to break. The connection
is never Django's, which is closed between tasks.
https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
"""

import hashlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

import psycopg2
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connection, connections
from psycopg2.extensions import connection as Psycopg2Connection  # noqa: N812

# PostgreSQL cuts application_name at 63 bytes.
APPLICATION_NAME_BYTES = 63


@dataclass(frozen=True)
class LockHolder:
    """Who holds a lock, as PostgreSQL sees it."""

    application_name: str
    since: datetime


class LockHeld(Exception):
    """Another session holds the lock."""

    def __init__(self, key: str, holder: LockHolder | None) -> None:
        self.key = key
        self.holder = holder
        by = (
            f" by {holder.application_name} since {holder.since:%Y-%m-%d %H:%M:%S %Z}"
            if holder
            else ""
        )
        super().__init__(f"{key} is held{by}")


def lock_id(key: str) -> int:
    """Map a lock's name to the signed 64-bit number that PostgreSQL locks by."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), signed=True)


@contextmanager
def hold(key: str) -> Iterator[None]:
    """Hold the lock named `key` for the block, or raise `LockHeld` at once."""
    lock_connection = _connect(key)
    try:
        with lock_connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [lock_id(key)])
            (acquired,) = cursor.fetchone()
        if not acquired:
            raise LockHeld(key, holder(key))
        yield
    finally:
        # The end of the connection frees it too, but not before the server has noticed that.
        with suppress(psycopg2.Error), lock_connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock_all()")
        lock_connection.close()


def is_held(key: str) -> bool:
    """Whether any session holds the lock named `key`."""
    return holder(key) is not None


def holder(key: str) -> LockHolder | None:
    """Return who holds the lock named `key`, or None when it is free."""
    return holders([key]).get(key)


def holders(keys: list[str]) -> dict[str, LockHolder]:
    """Return the holders of those locks among `keys` that are held, in one query."""
    # pg_locks shows a 64-bit key as two halves, classid (high) and objid (low), with objsubid 1.
    # What pg_stat_activity shows is kept until a transaction's end: without clearing it, a process
    # that connected meanwhile would seem to hold nothing.
    ids = {lock_id(key): key for key in keys}
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT pg_stat_clear_snapshot();
            SELECT (l.classid::bigint << 32) | l.objid::bigint, a.application_name, a.backend_start
            FROM pg_locks l JOIN pg_stat_activity a USING (pid)
            WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
              AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
              AND (l.classid::bigint << 32) | l.objid::bigint = ANY(%s)
            """,
            [list(ids)],
        )
        return {ids[number]: LockHolder(name, since) for number, name, since in cursor.fetchall()}


def _connect(key: str) -> Psycopg2Connection:
    if settings.LOCK_DATABASE_URL:
        lock_connection = psycopg2.connect(settings.LOCK_DATABASE_URL)
    else:
        parameters = connections[DEFAULT_DB_ALIAS].get_connection_params()
        for django_only in ("cursor_factory", "context"):
            parameters.pop(django_only, None)
        lock_connection = psycopg2.connect(**parameters)
    lock_connection.autocommit = True
    name = f"lurker {socket.gethostname()}:{os.getpid()} {key}"
    with lock_connection.cursor() as cursor:
        fitting = name.encode()[:APPLICATION_NAME_BYTES].decode(errors="ignore")
        cursor.execute("SET application_name = %s", [fitting])
    return lock_connection
