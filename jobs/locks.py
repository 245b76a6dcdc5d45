"""Locks across all machines: PostgreSQL session-level advisory locks.

Each lock has its own database connection and lives exactly as long as the connection. When the
holder dies, however suddenly, PostgreSQL frees the lock. So nobody has to choose a time-to-live,
and no stale lock has to be broken. The connection is never Django's, which is closed between tasks.
https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
"""

import hashlib
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg2
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.utils.translation import gettext as _
from psycopg2.extensions import connection as Psycopg2Connection  # noqa: N812

# PostgreSQL cuts application_name at 63 bytes.
APPLICATION_NAME_BYTES = 63

# This app's own keys begin with this prefix; a job cannot declare a key with it.
RESERVED_PREFIX = "jobs:"

# Each side notices a dead peer about six seconds after its last packet: libpq on this side, the
# server on the other. (On a Unix socket the settings do nothing; the kernel notices at once.)
KEEPALIVES = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 3,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 6000,
}
SERVER_KEEPALIVES = """
    SET tcp_keepalives_idle = 3;
    SET tcp_keepalives_interval = 1;
    SET tcp_keepalives_count = 3
"""


@dataclass(frozen=True)
class LockHolder:
    """The holder of a lock, as PostgreSQL shows it."""

    application_name: str
    since: datetime


class LockHeld(Exception):
    """Another session holds the lock."""

    def __init__(self, key: str, holder: LockHolder | None) -> None:
        self.key = key
        self.holder = holder
        if holder is None:
            super().__init__(_("The lock %(key)s is held.") % {"key": key})
            return
        super().__init__(
            _("The lock %(key)s is held by %(holder)s since %(since)s.")
            % {
                "key": key,
                "holder": holder.application_name,
                "since": f"{holder.since:%Y-%m-%d %H:%M:%S %Z}",
            }
        )


def lock_id(key: str) -> int:
    """Return the signed 64-bit number by which PostgreSQL locks `key`."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), signed=True)


@contextmanager
def hold(key: str, *, wait: float = 0) -> Iterator[None]:
    """Hold the lock `key` for the block, waiting at most `wait` seconds; raise `LockHeld` if taken."""
    with Lock(key) as lock:
        lock.acquire(wait=wait)
        yield


class Lock:
    """A lock that is held until it is released or its connection breaks."""

    def __init__(self, key: str) -> None:
        self.key = key
        self._connection: Psycopg2Connection | None = None

    def acquire(self, *, wait: float = 0) -> None:
        """Take the lock, waiting at most `wait` seconds; raise `LockHeld` if another session has it.

        Raises psycopg2's OperationalError when the database is down.
        """
        self.release()
        connection_of_lock = _connect(self.key)
        try:
            if not _acquire(connection_of_lock, self.key, wait):
                raise LockHeld(self.key, holder(self.key))
        except BaseException:
            connection_of_lock.close()
            raise
        self._connection = connection_of_lock

    def __enter__(self) -> "Lock":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Free the lock and close its connection. A second call does nothing."""
        if self._connection is not None:
            # The server notices a closed connection a little late. An explicit unlock frees the
            # lock now, for the next process.
            with suppress(psycopg2.Error), self._connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock_all()")
            self._connection.close()
            self._connection = None

    def fileno(self) -> int:
        """Return the socket of the lock's connection; it becomes readable when the connection breaks."""
        if self._connection is None or self._connection.closed:
            return -1
        return self._connection.fileno()

    def is_alive(self) -> bool:
        """Ask the server whether this process still holds the lock."""
        if self._connection is None:
            return False
        try:
            with self._connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        except psycopg2.Error:
            return False
        return True


def _acquire(lock_connection: Psycopg2Connection, key: str, wait: float) -> bool:
    with lock_connection.cursor() as cursor:
        if wait <= 0:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [lock_id(key)])
            row = cursor.fetchone()
            return row is not None and bool(row[0])
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [f"{wait * 1000:.0f}ms"])
        try:
            cursor.execute("SELECT pg_advisory_lock(%s)", [lock_id(key)])
        except psycopg2.errors.LockNotAvailable:
            return False
        return True


class StandingLock(Lock):
    """A lock that a long-lived process wants, keeps and may lose, such as the leadership of beats.

    The process also keeps the connection while it waits. Both ends notice within seconds that the
    other machine is gone: the process stops at once, and the server frees the lock for the next.
    """

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.acquired = False

    def try_acquire(self) -> bool:
        """Take the lock if it is free, without waiting; return whether this process has it now.

        Raises psycopg2.Error when the database cannot be reached.
        """
        if self.acquired:
            return True
        try:
            if self._connection is None:
                self._connection = _connect(self.key, **KEEPALIVES)
                with self._connection.cursor() as cursor:
                    cursor.execute(SERVER_KEEPALIVES)
            self.acquired = _acquire(self._connection, self.key, 0)
        except psycopg2.Error:
            self.release()
            raise
        return self.acquired

    def is_alive(self) -> bool:
        """Return whether this process still has the lock: whether the lock's connection lives."""
        if self.acquired and not super().is_alive():
            self.release()
        return self.acquired

    def release(self) -> None:
        """Free the lock and close its connection. A second call does nothing."""
        self.acquired = False
        super().release()


class LockSet:
    """Any number of locks on one connection, which is opened for the first lock and then kept."""

    def __init__(self, name: str) -> None:
        """`name` shows operators who holds the locks."""
        self._name = name
        self._connection: Psycopg2Connection | None = None

    def try_acquire(self, keys: Iterable[str]) -> set[str]:
        """Take the free locks among `keys` in one statement; return their keys.

        Raises psycopg2.Error when the database cannot be reached.
        """
        wanted = {lock_id(key): key for key in keys}
        if not wanted:
            return set()
        if self._connection is None:
            self._connection = _connect(self._name)
        with self._connection.cursor() as cursor:
            cursor.execute(
                "SELECT id FROM unnest(%s::bigint[]) AS k (id) WHERE pg_try_advisory_lock(id)",
                [list(wanted)],
            )
            return {wanted[number] for (number,) in cursor.fetchall()}

    def release(self) -> None:
        """Free all locks and keep the connection. If the connection is broken, they are free already."""
        if self._connection is not None:
            try:
                with self._connection.cursor() as cursor:
                    cursor.execute("SELECT pg_advisory_unlock_all()")
            except psycopg2.Error:
                self.close()

    def close(self) -> None:
        """Free all locks and close the connection. A second call does nothing."""
        if self._connection is not None:
            with suppress(psycopg2.Error), self._connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock_all()")
            self._connection.close()
            self._connection = None

    def __enter__(self) -> "LockSet":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def is_held(key: str) -> bool:
    """Return whether any session holds the lock `key`."""
    return holder(key) is not None


def holder(key: str) -> LockHolder | None:
    """Return the holder of the lock `key`, or None when it is free."""
    return holders([key]).get(key)


def holders(keys: list[str]) -> dict[str, LockHolder]:
    """Return the holders of the locks among `keys` that are held, in one query."""
    # pg_locks shows a 64-bit key as two halves, classid (high) and objid (low), with objsubid 1.
    # PostgreSQL keeps its view of pg_stat_activity until the transaction ends. Clear it first:
    # otherwise a process that has connected since would seem to hold nothing.
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


def _connect(key: str, **options: int) -> Psycopg2Connection:
    parameters: dict[str, Any]
    if settings.LOCK_DATABASE_URL:
        parameters = {"dsn": settings.LOCK_DATABASE_URL}
    else:
        parameters = connections[DEFAULT_DB_ALIAS].get_connection_params()
        for django_only in ("cursor_factory", "context"):
            parameters.pop(django_only, None)
    lock_connection: Psycopg2Connection = psycopg2.connect(**parameters | options)
    lock_connection.autocommit = True
    name = f"lurker {socket.gethostname()}:{os.getpid()} {key}"
    with lock_connection.cursor() as cursor:
        fitting = name.encode()[:APPLICATION_NAME_BYTES].decode(errors="ignore")
        # The server ends the session of a vanished machine within half a minute, not two hours.
        cursor.execute(
            "SET application_name = %s; SET tcp_keepalives_idle = 10;"
            "SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3",
            [fitting],
        )
    return lock_connection
