"""Retention of the run history: deletes old runs in batches that hold no lock for long."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection
from django.utils import timezone

from jobs import registry

BATCH_SIZE = 2_000

# Ordered by date_done, which has an index: without a task name, a batch costs the same with any
# history. With a task name, PostgreSQL also reads older rows of other jobs.
DELETE_OLD = """
DELETE FROM django_celery_results_taskresult WHERE id IN (
    SELECT id FROM django_celery_results_taskresult
    WHERE date_done < %s AND status IN ('SUCCESS', 'FAILURE', 'REVOKED', 'SKIPPED')
      AND (%s::text IS NULL OR task_name = %s)
    ORDER BY date_done LIMIT %s FOR UPDATE SKIP LOCKED)
"""
DELETE_BATCHES = """
WITH old AS (
    SELECT id FROM jobs_batch WHERE finished_at < %s ORDER BY finished_at LIMIT %s
), members AS (
    DELETE FROM jobs_batchrun WHERE batch_id IN (SELECT id FROM old)
)
DELETE FROM jobs_batch WHERE id IN (SELECT id FROM old)
"""
# Few at a time, because a batch has many runs.
BATCHES_AT_ONCE = 20


def delete_old_runs(*, now: datetime | None = None, batch_size: int = BATCH_SIZE) -> int:
    """Delete runs that ended more than RUN_HISTORY_DAYS ago, or the job's own `history_days`.

    Deletes ended batches, too. Unfinished runs are never deleted. Returns the number of deleted
    runs.
    """
    now = now or timezone.now()
    deleted = 0
    for name, job in registry.all_jobs().items():
        if job.history_days is not None:
            before = now - timedelta(days=job.history_days)
            deleted += _delete(DELETE_OLD, [before, name, name, batch_size], batch_size)
    before = now - timedelta(days=settings.RUN_HISTORY_DAYS)
    deleted += _delete(DELETE_OLD, [before, None, None, batch_size], batch_size)
    _delete(DELETE_BATCHES, [before, BATCHES_AT_ONCE], BATCHES_AT_ONCE)
    return deleted


def _delete(
    statement: str, parameters: Sequence[datetime | str | int | None], batch_size: int
) -> int:
    deleted = 0
    while True:
        # Each statement is a transaction of its own.
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            removed: int = cursor.rowcount
        deleted += removed
        if removed < batch_size:
            return deleted
