"""Batches: runs with one progress and one end.

A batch is not a Celery chord. A chord's counter in the database reaches zero too early if a message
comes twice. Here a conditional UPDATE counts off each run once, and another writes the summary
once.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from django.db import connection, transaction
from django.dispatch import Signal, receiver
from django.utils.translation import gettext as _

from jobs.models import Batch, BatchRun
from jobs.runs import requests as runs
from jobs.runs.requests import RunRequest
from jobs.runs.store import run_ended
from jobs.runs.transitions import one_line

logger = logging.getLogger(__name__)

# Sent with `batch_id` and `summary` once all runs of a batch have ended. It is sent once, or not at
# all if the process dies between the commit and the receivers.
batch_finished = Signal()

COUNT_OFF = """
WITH ended AS (
    UPDATE jobs_batchrun SET status = %s WHERE task_id = %s AND status = '' RETURNING batch_id
)
UPDATE jobs_batch SET remaining = remaining - 1 FROM ended WHERE id = ended.batch_id
RETURNING id, remaining
"""

SUMMARISE = """
UPDATE jobs_batch SET finished_at = clock_timestamp(),
    status = CASE WHEN cancel_reason = '' THEN 'completed' ELSE 'cancelled' END,
    summary = (SELECT jsonb_object_agg(status, number) FROM (
        SELECT status, count(*) AS number FROM jobs_batchrun WHERE batch_id = %s GROUP BY status
    ) AS counts)
WHERE id = %s AND status = 'running' AND remaining = 0
RETURNING summary
"""

# Runs that ended but were not counted off, because a process died in between. A missing row was
# deleted by hand; its run counts as revoked.
UNCOUNTED = """
SELECT m.task_id, COALESCE(r.status, 'REVOKED') FROM jobs_batchrun m
JOIN jobs_batch b ON b.id = m.batch_id AND b.status = 'running'
LEFT JOIN django_celery_results_taskresult r ON r.task_id = m.task_id
WHERE m.status = '' AND (r.id IS NULL OR r.status IN ('SUCCESS', 'FAILURE', 'REVOKED', 'SKIPPED'))
LIMIT 1000
"""


def run_batch(requests: Iterable[RunRequest], *, name: str) -> Batch:
    """Record a batch and its runs, and publish the runs when the transaction commits.

    Raises ValidationError or `UnknownJob` if any run is invalid, and ValueError for an empty batch
    or a task id that already exists. In each case nothing is recorded.
    """
    checked = [
        replace(run, kwargs=runs.validate(run.task, run.kwargs), trigger=run.trigger or "batch")
        for run in requests
    ]
    if not checked:
        raise ValueError(
            _("The batch “%(name)s” has no runs. Give at least one run.") % {"name": name}
        )
    with transaction.atomic():
        batch = Batch.objects.create(name=name, total=len(checked), remaining=len(checked))
        members = [replace(run, notes=run.notes | {"batch": batch.pk}) for run in checked]
        recorded = runs.record(members)
        if len(recorded) < len(members):
            taken = next(run.task_id for run in members if run.task_id not in recorded)
            raise ValueError(
                _(
                    "The batch “%(name)s” names the run %(id)s, which already exists. Give new task "
                    "ids."
                )
                % {"name": name, "id": taken}
            )
        BatchRun.objects.bulk_create(
            [BatchRun(batch=batch, task_id=run.task_id) for run in members], batch_size=1000
        )
        for run in members:
            runs.run_requested.send(sender=run.task, run=run)
        transaction.on_commit(lambda: runs.publish(members), robust=True)
    return batch


def cancel_batch(batch_id: int, *, reason: str) -> tuple[int, int]:
    """Cancel the unfinished runs of a batch; return how many were waiting and how many running."""
    with transaction.atomic():
        running = Batch.objects.filter(pk=batch_id, status=Batch.Status.RUNNING)
        if not running.update(cancel_reason=one_line(reason) or _("cancelled")):
            return 0, 0
        ids = BatchRun.objects.filter(batch=batch_id, status="").values_list("task_id", flat=True)
        return runs.cancel(list(ids), reason=reason)


def count_off(task_id: str, status: str) -> None:
    """Count off an ended run in its batch, if it has a batch and is not yet counted.

    The last run ends the batch.
    """
    with connection.cursor() as cursor:
        cursor.execute(COUNT_OFF, [status, task_id])
        row = cursor.fetchone()
    if row is not None and row[1] == 0:
        finish(row[0])


def finish(batch_id: int) -> bool:
    """Write the summary of a batch whose runs have all ended; return False if it was written."""
    with connection.cursor() as cursor:
        cursor.execute(SUMMARISE, [batch_id, batch_id])
        row = cursor.fetchone()
    if row is None:
        return False
    summary = Batch.objects.values_list("summary", flat=True).get(pk=batch_id)
    logger.info("Batch %s has ended: %s", batch_id, summary)
    told = batch_finished.send_robust(sender=Batch, batch_id=batch_id, summary=summary)
    for _receiver, error in told:
        if isinstance(error, Exception):
            logger.error("A receiver of batch_finished failed", exc_info=error)
    return True


def settle() -> int:
    """Count off runs and finish batches that a dead process left; return how many runs."""
    with connection.cursor() as cursor:
        cursor.execute(UNCOUNTED)
        uncounted: Sequence[tuple[str, str]] = cursor.fetchall()
    for task_id, status in uncounted:
        count_off(task_id, status)
    for batch_id in Batch.objects.filter(status=Batch.Status.RUNNING, remaining=0).values_list(
        "pk", flat=True
    ):
        finish(batch_id)
    return len(uncounted)


@receiver(run_ended, dispatch_uid="jobs.count_off_batch")
def count_off_ended(task_id: str, status: str, in_batch: bool, **_: Any) -> None:
    """Count off an ended run after the commit, when other processes can see its end."""
    if in_batch:
        transaction.on_commit(lambda: count_off(task_id, status))
