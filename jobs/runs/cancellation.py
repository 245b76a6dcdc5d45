"""Safe points: places in a long job where it looks whether it was cancelled."""

import time

from celery import current_task
from django.db import connection

from jobs.errors import Cancelled

# A job may call `check` as often as it likes; it queries the database at this interval.
LOOK_SECONDS = 1

REQUESTED = """
SELECT meta::jsonb->>'cancel' FROM django_celery_results_taskresult
WHERE task_id = %s AND meta::jsonb ? 'cancel'
"""


def check() -> None:
    """Raise `Cancelled` if this process's run was cancelled. Call it where stopping is safe.

    Does nothing outside a run, so that any caller may use a service that calls it.
    """
    claim = getattr(getattr(current_task, "request", None), "claim", None)
    if claim is None or time.monotonic() < claim.look_again:
        return
    claim.look_again = time.monotonic() + LOOK_SECONDS
    with connection.cursor() as cursor:
        cursor.execute(REQUESTED, [claim.task_id])
        row = cursor.fetchone()
    if row is not None:
        raise Cancelled(row[0])
