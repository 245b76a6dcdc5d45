"""What a test can see of the database: statements that were sent, versions of rows."""

import json
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


def plan_of(sql, params):
    """The nodes of the plan by which a statement was executed."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", params)
        plan = cursor.fetchone()[0]
    nodes = [(json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]]
    for node in nodes:
        nodes += node.get("Plans", [])
    return nodes


def rows_read(sql, params, *, tables=""):
    """How many rows or index entries the most expensive node of its plan touches.

    `tables`: count the nodes that read tables whose names begin so, and no joins or bitmaps.
    """
    touched = []
    for node in plan_of(sql, params):
        if not node.get("Relation Name", "").startswith(tables):
            continue
        filtered = node.get("Rows Removed by Filter", 0) + node.get(
            "Rows Removed by Index Recheck", 0
        )
        touched.append((node["Actual Rows"] + filtered) * node["Actual Loops"])
    return max(touched)
