"""What a test can see of the database: statements that were sent, versions of rows."""

from contextlib import contextmanager

from django.db import connection

WRITES = ("INSERT", "UPDATE", "DELETE", "COPY", "TRUNCATE")


@contextmanager
def recorded_statements():
    """The texts of all statements that are executed in the block."""
    statements = []

    def record(execute, sql, params, many, context):
        statements.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(record):
        yield statements


def writes(statements):
    """Those among the statements that change rows."""
    return [statement for statement in statements if statement.split()[0] in WRITES]


def row_versions(table, key="id", keys=None):
    """The version of each row by its key: an UPDATE changes it, even one that changes no value."""
    chosen = "" if keys is None else f"WHERE {key} = ANY(%s)"
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {key}, ctid::text, xmin::text FROM {table} {chosen}",
            None if keys is None else [list(keys)],
        )
        return {row[0]: row[1:] for row in cursor.fetchall()}


def sessions_waiting_for_locks():
    """How many sessions of this test's database wait for a lock that another one holds."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_stat_clear_snapshot(); SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return cursor.fetchone()[0]
