"""The sweep: corrects the rows of runs that lost their process, their message or their time.

- A started run whose process is dead waits again, or fails after too many attempts.
- A waiting run that is too late is revoked.
- A waiting run is sent (again) when its time has come or its message may be lost. The pause before
  each further message of the same run doubles, so that a long queue does not fill with copies of
  one message. A copy whose run cannot be claimed does nothing.

Any number of sweeps may run at once, on any machine: each skips the rows that another has locked.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from celery import current_app, states
from django.conf import settings
from django.db import connection, transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from jobs.runs.liveness import SETTLE_SECONDS
from jobs.runs.store import RunRequest, publish, run_ended
from jobs.runs.transitions import FINAL_STATES, LOST_AFTER_SECONDS

logger = logging.getLogger(__name__)

BATCH_SIZE = 500
LONGEST_PAUSE_SECONDS = 3600
DEFAULT_MAX_RETRIES = 3
DEAD_WORKER = gettext_lazy("The process of the run ended without a word.")
TOO_LATE = gettext_lazy("The run expired before it started.")

# The query reads the held locks once, not once for each row. A server that has just restarted has
# no locks at all: no process counts as dead until live processes had time to take their locks
# again.
FIND_LOST = """
WITH held AS MATERIALIZED (
    SELECT (classid::bigint << 32) | objid::bigint AS number FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 1 AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
)
SELECT id, task_id, task_name, meta FROM django_celery_results_taskresult
WHERE status = 'STARTED' AND (%s::text[] IS NULL OR task_id = ANY(%s))
  AND NOT EXISTS (SELECT FROM held WHERE number = (meta::jsonb->>'holder')::bigint)
  AND pg_postmaster_start_time() < clock_timestamp() - make_interval(secs => %s)
ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
"""

CLOSE_LOST = """
UPDATE django_celery_results_taskresult r
SET status = lost.status,
    result = CASE WHEN lost.status <> 'PENDING' THEN lost.result ELSE r.result END,
    date_done = CASE WHEN lost.status <> 'PENDING' THEN clock_timestamp() ELSE r.date_done END,
    meta = ((r.meta::jsonb - '{holder,not_before,sweep_at}'::text[]) || jsonb_build_object(
        'failures', lost.failures, 'reason', lost.reason,
        'history', COALESCE(r.meta::jsonb->'history', '[]'::jsonb) || jsonb_build_object(
            'attempt', (r.meta::jsonb->>'attempts')::int, 'worker', r.worker,
            'started', r.date_started, 'ended', clock_timestamp(), 'error', lost.reason))
        || CASE WHEN lost.status <> 'PENDING' THEN '{}'::jsonb ELSE jsonb_build_object(
            'sweep_at', floor(extract(epoch FROM clock_timestamp()))::bigint) END)::text
FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::int[], %s::text[])
     AS lost (id, status, result, failures, reason)
WHERE r.id = lost.id
"""

# Due runs: too late (revoked here and now), or to be sent.
TAKE_DUE = """
WITH due AS MATERIALIZED (
    SELECT id FROM django_celery_results_taskresult
    WHERE status IN ('PENDING', 'RETRY')
      AND (meta::jsonb->>'sweep_at')::bigint <= extract(epoch FROM clock_timestamp())
    ORDER BY (meta::jsonb->>'sweep_at')::bigint LIMIT %s FOR UPDATE SKIP LOCKED
), judged AS (
    SELECT id, COALESCE((meta::jsonb->>'sends')::int, 0) AS sends,
        (meta::jsonb->>'expires')::float8 AS expires,
        COALESCE((meta::jsonb->>'expires')::float8 <= extract(epoch FROM clock_timestamp()), false)
            AS late
    FROM django_celery_results_taskresult JOIN due USING (id)
)
UPDATE django_celery_results_taskresult r
SET status = CASE WHEN late THEN 'REVOKED' ELSE r.status END,
    date_done = CASE WHEN late THEN clock_timestamp() ELSE r.date_done END,
    meta = (CASE WHEN late
        THEN r.meta::jsonb - 'sweep_at' || jsonb_build_object('reason', %s::text)
        ELSE r.meta::jsonb || jsonb_build_object('sends', sends + 1, 'sweep_at', ceil(LEAST(
            extract(epoch FROM clock_timestamp())
                + LEAST(%s * 2 ^ LEAST(sends, 10), %s),
            expires))::bigint)
        END)::text
FROM judged WHERE r.id = judged.id
RETURNING r.task_id, r.task_name, r.task_kwargs, r.periodic_task_name, r.meta, late
"""


@dataclass
class SweepResult:
    """How many runs a sweep found lost, found expired, sent, and could not send."""

    lost: int = 0
    expired: int = 0
    sent: int = 0
    unsent: int = 0


def run() -> SweepResult:
    """Sweep once, in batches, until no run is due or the broker accepts no more messages."""
    lost = 0
    while closed := close_lost():
        lost += closed
    result = send_due()
    result.lost = lost
    if result != SweepResult():
        logger.info("Sweep: %s", result)
    return result


def send_due() -> SweepResult:
    """Revoke waiting runs that are too late, and send waiting runs that are due."""
    result = SweepResult()
    while True:
        due = _take_due()
        late = [run for run, is_late in due if is_late]
        waiting = [run for run, is_late in due if not is_late]
        result.expired += len(late)
        sent = publish(waiting)
        result.sent += sent
        result.unsent += len(waiting) - sent
        if len(due) < BATCH_SIZE or sent < len(waiting):
            return result


def close_lost(task_ids: Sequence[str] | None = None) -> int:
    """Let runs whose process died wait again, or end them; return how many."""
    ids = None if task_ids is None else list(task_ids)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(FIND_LOST, [ids, ids, SETTLE_SECONDS, BATCH_SIZE])
        lost = cursor.fetchall()
        if not lost:
            return 0
        metas = [json.loads(row[3] or "{}") for row in lost]
        verdicts = [_verdict(row[2], meta) for row, meta in zip(lost, metas, strict=True)]
        cursor.execute(
            CLOSE_LOST, [[row[0] for row in lost], *map(list, zip(*verdicts, strict=True))]
        )
        for row, meta, (status, _result, _failures, reason) in zip(
            lost, metas, verdicts, strict=True
        ):
            _id, task_id, task, _meta = row
            logger.warning("Run %s of %s is %s: %s", task_id, task, status, reason)
            if status in FINAL_STATES:
                run_ended.send(
                    sender=task,
                    task_id=task_id,
                    status=status,
                    reason=reason,
                    in_batch="batch" in meta,
                )
    return len(lost)


def _verdict(task: str, meta: dict[str, Any]) -> tuple[str, str, int, str]:
    """Decide whether a lost run gets another attempt: state, result, failures, reason."""
    failures = int(meta.get("failures", 0)) + 1
    if "cancel" in meta:
        return states.REVOKED, "null", failures, meta["cancel"]
    if failures <= max_retries_of(task):
        return states.PENDING, "null", failures, str(DEAD_WORKER)
    reason = _("%(reason)s Attempt %(number)d of %(limit)d.") % {
        "reason": DEAD_WORKER,
        "number": failures,
        "limit": failures,
    }
    error = {
        "exc_type": "WorkerLostError",
        "exc_message": [reason],
        "exc_module": "billiard.exceptions",
    }
    return states.FAILURE, json.dumps(error), failures, reason


def max_retries_of(task: str) -> int:
    """Return how many retries a task's runs may have."""
    max_retries = getattr(current_app.tasks.get(task), "max_retries", None)
    return DEFAULT_MAX_RETRIES if max_retries is None else max_retries


def _take_due() -> list[tuple[RunRequest, bool]]:
    due = []
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            TAKE_DUE, [BATCH_SIZE, str(TOO_LATE), LOST_AFTER_SECONDS, LONGEST_PAUSE_SECONDS]
        )
        for task_id, task, kwargs, schedule, meta_text, late in cursor.fetchall():
            meta = json.loads(meta_text)
            expires = meta.get("expires")
            run = RunRequest(
                task=task,
                kwargs=json.loads(kwargs or "{}"),
                queue=meta.get("queue") or settings.CELERY_TASK_DEFAULT_QUEUE,
                trigger=meta.get("trigger", ""),
                task_id=task_id,
                schedule=schedule,
                expires_at=datetime.fromtimestamp(expires, UTC) if expires else None,
            )
            due.append((run, late))
            if late:
                run_ended.send(
                    sender=task,
                    task_id=task_id,
                    status=states.REVOKED,
                    reason=meta["reason"],
                    in_batch="batch" in meta,
                )
    return due
