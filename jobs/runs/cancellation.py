"""Safe points: where a long job looks whether it was cancelled."""

import time

from celery import current_task
from django.db import connection

from jobs.errors import Cancelled

# A job may ask as often as it likes; the database is asked this often.
LOOK_SECONDS = 1

REQUESTED = """
SELECT meta::jsonb->>'cancel' FROM django_celery_results_taskresult
WHERE task_id = %s AND meta::jsonb ? 'cancel'
"""


def check() -> None:
    """Raise `Cancelled` when the run of this process was cancelled; call it where stopping is safe.

    Does nothing outside a run, so that a service may call it whoever called the service.
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
