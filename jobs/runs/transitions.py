"""The statements that move a run from one state to another, one for each change.

PENDING -> STARTED -> SUCCESS | FAILURE | REVOKED | SKIPPED, with RETRY and PENDING between two
attempts. Each statement names the states that it may leave, so that a run only moves forward: a
late or repeated message changes nothing. The statements use the database's clock. The clock of the
requesting process sets date_created, and the first not_before, expires and sweep_at
(`jobs.runs.store`). The clock of the worker measures `duration`.

`meta` holds, as JSON, the values for which `django_celery_results.TaskResult` has no column: queue,
trigger, attempts (how often it was claimed), failures (attempts that count against max_retries),
holder (the number of the liveness lock of the process that runs it), history (how earlier attempts
ended), reason, duration (seconds), not_before and sweep_at (seconds since 1970; sweep_at is when
the sweep next looks at the run).
"""

import json
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from celery import states
from django.db import connection
from psycopg2.errors import DuplicatePreparedStatement

SKIPPED = "SKIPPED"
FINAL_STATES = frozenset({states.SUCCESS, states.FAILURE, states.REVOKED, SKIPPED})
OPEN_STATES = frozenset({states.PENDING, states.RETRY, states.STARTED})

# A message may come this early, because another machine's clock may differ.
EARLY_SECONDS = 1
# How long the sweep waits before it first counts a message as lost.
LOST_AFTER_SECONDS = 60
HISTORY_LENGTH = 20
REASON_LENGTH = 500
WORKER_LENGTH = 100


class _Statement(NamedTuple):
    """A statement that every run uses; PostgreSQL parses and plans it once per connection."""

    name: str
    types: tuple[str, ...]
    text: str


CLAIM = _Statement(
    "jobs_claim",
    ("text", "bigint", "text", "float8"),
    """
UPDATE django_celery_results_taskresult
SET status = 'STARTED', worker = %s, date_started = clock_timestamp(),
    meta = (COALESCE(meta, '{}')::jsonb || jsonb_build_object(
        'holder', %s::bigint,
        'attempts', COALESCE((meta::jsonb->>'attempts')::int, 0) + 1))::text
WHERE task_id = %s AND status IN ('PENDING', 'RETRY')
  AND COALESCE((meta::jsonb->>'not_before')::float8, 0)
      <= extract(epoch FROM clock_timestamp()) + %s::float8
RETURNING meta
""",
)

CLAIM_WITHOUT_ROW = """
INSERT INTO django_celery_results_taskresult
    (task_id, task_name, task_args, task_kwargs, meta, status, worker,
     content_type, content_encoding, date_created, date_started, date_done)
VALUES (%s, %s, '[]', %s, %s, 'STARTED', %s,
        'application/json', 'utf-8', clock_timestamp(), clock_timestamp(), clock_timestamp())
ON CONFLICT (task_id) DO NOTHING RETURNING meta
"""

FINISH = _Statement(
    "jobs_finish",
    ("text", "text", "text", "jsonb", "text", "int"),
    """
UPDATE django_celery_results_taskresult
SET status = %s, result = %s, traceback = %s, date_done = clock_timestamp(),
    meta = (meta::jsonb - '{holder,sweep_at,not_before}'::text[] || %s::jsonb)::text
WHERE task_id = %s AND status IN ('PENDING', 'RETRY', 'STARTED')
  AND (meta::jsonb->>'attempts')::int = %s
""",
)

END = """
UPDATE django_celery_results_taskresult
SET status = %s, result = %s, traceback = %s, date_done = clock_timestamp(),
    meta = (COALESCE(meta, '{}')::jsonb - '{holder,sweep_at,not_before}'::text[]
            || %s::jsonb)::text
WHERE task_id = %s AND status IN ('PENDING', 'RETRY', 'STARTED')
  AND (status <> 'STARTED' OR worker = %s OR %s IS NULL)
RETURNING meta
"""

# Return a run to waiting (RETRY or PENDING), and add the attempt to the history.
WAIT_AGAIN = """
UPDATE django_celery_results_taskresult
SET status = %s, result = %s, traceback = %s,
    meta = (meta::jsonb - 'holder' || %s::jsonb || jsonb_build_object(
        'history', COALESCE(meta::jsonb->'history', '[]'::jsonb) || jsonb_build_object(
            'attempt', (meta::jsonb->>'attempts')::int, 'worker', worker,
            'started', date_started, 'ended', clock_timestamp(), 'error', %s::text),
        'not_before', extract(epoch FROM clock_timestamp()) + %s,
        'sweep_at', (extract(epoch FROM clock_timestamp()) + %s)::bigint))::text
WHERE task_id = %s AND status = 'STARTED' AND (meta::jsonb->>'attempts')::int = %s
"""

INSERT_ENDED = """
INSERT INTO django_celery_results_taskresult
    (task_id, task_name, task_args, task_kwargs, meta, status, result, traceback,
     content_type, content_encoding, date_created, date_done)
VALUES (%s, %s, '[]', %s, %s, %s, %s, %s,
        'application/json', 'utf-8', clock_timestamp(), clock_timestamp())
ON CONFLICT (task_id) DO NOTHING
"""

STORE_UNCLAIMED = """
INSERT INTO django_celery_results_taskresult AS r
    (task_id, task_name, task_args, task_kwargs, meta, status, worker, result, traceback,
     content_type, content_encoding, date_created, date_done)
VALUES (%s, %s, %s, %s, '{}', %s, %s, %s, %s,
        'application/json', 'utf-8', clock_timestamp(), clock_timestamp())
ON CONFLICT (task_id) DO UPDATE
SET status = excluded.status, result = excluded.result, traceback = excluded.traceback,
    worker = excluded.worker, date_done = excluded.date_done
WHERE r.status NOT IN ('SUCCESS', 'FAILURE', 'REVOKED', 'SKIPPED')
"""


@dataclass
class Claim:
    """The right to run one attempt of a run; only one process has it at a time."""

    task_id: str
    task: str
    attempt: int
    meta: dict[str, Any]
    began: float = field(default_factory=time.monotonic)
    # Seconds until the next attempt; None if there is none.
    retry_delay: float | None = None
    # When a safe point next asks the database whether the run was cancelled (monotonic clock).
    look_again: float = 0

    @property
    def failures(self) -> int:
        """How many earlier attempts count against max_retries."""
        return int(self.meta.get("failures", 0))

    @property
    def seconds(self) -> float:
        """How many seconds this attempt has run."""
        return time.monotonic() - self.began


def claim(task_id: str, *, task: str, worker: str, holder: int) -> Claim | None:
    """Claim a waiting run for this process; return None if it cannot be claimed."""
    rows = _execute(CLAIM, [worker[:WORKER_LENGTH], holder, task_id, EARLY_SECONDS])
    return _claim_of(task_id, task, rows)


def claim_without_row(
    task_id: str, *, task: str, worker: str, holder: int, meta: dict[str, Any], kwargs: str
) -> Claim | None:
    """Claim a run whose message has no row, by writing the row; return None if a row exists."""
    columns = json.dumps(meta | {"holder": holder, "attempts": 1})
    rows = _execute(CLAIM_WITHOUT_ROW, [task_id, task, kwargs, columns, worker[:WORKER_LENGTH]])
    return _claim_of(task_id, task, rows)


def _claim_of(task_id: str, task: str, rows: list[tuple[Any, ...]]) -> Claim | None:
    if not rows:
        return None
    meta = json.loads(rows[0][0])
    return Claim(task_id=task_id, task=task, attempt=meta["attempts"], meta=meta)


def finish(
    claim: Claim, status: str, *, result: str | None, traceback: str | None, reason: str = ""
) -> bool:
    """End a claimed run; return False if it has ended or another process has claimed it."""
    changes: dict[str, Any] = {"attempts": claim.attempt, "duration": round(claim.seconds, 3)}
    if reason:
        changes["reason"] = one_line(reason)
    return _changed(
        FINISH,
        [status, result, storable(traceback), json.dumps(changes), claim.task_id, claim.attempt],
    )


def end(
    task_id: str,
    status: str,
    *,
    result: str | None = None,
    traceback: str | None = None,
    reason: str = "",
    worker: str | None = None,
) -> dict[str, Any] | None:
    """End a run that this process has not claimed; return its meta, or None if it has ended.

    With `worker`, a started run is ended only if it runs on this worker.
    """
    changes = json.dumps({"reason": one_line(reason)} if reason else {})
    rows = _execute(END, [status, result, storable(traceback), changes, task_id, worker, worker])
    return json.loads(rows[0][0]) if rows else None


def wait_again(
    task_id: str,
    attempt: int,
    *,
    status: str,
    error: str,
    failures: int,
    delay: float,
    sweep_after: float,
    result: str | None = None,
    traceback: str | None = None,
) -> bool:
    """Return a started run to waiting; it cannot be claimed for `delay` seconds.

    The sweep sends its message if nobody has claimed it after `sweep_after` seconds.
    """
    reason = one_line(error)
    changes = {"failures": failures, "reason": reason}
    return _changed(
        WAIT_AGAIN,
        [
            status,
            result,
            storable(traceback),
            json.dumps(changes),
            reason,
            delay,
            sweep_after,
            task_id,
            attempt,
        ],
    )


def insert_ended(
    task_id: str,
    status: str,
    *,
    task: str,
    kwargs: str,
    result: str | None,
    traceback: str | None,
    reason: str,
) -> bool:
    """Write the row of a run that ended before it had a row; return False if a row exists."""
    meta = json.dumps({"trigger": "message", "reason": one_line(reason)})
    return _changed(
        INSERT_ENDED, [task_id, task, kwargs, meta, status, result, storable(traceback)]
    )


def store_unclaimed(
    task_id: str,
    status: str,
    *,
    task: str | None,
    args: str | None,
    kwargs: str | None,
    worker: str | None,
    result: str | None,
    traceback: str | None,
) -> bool:
    """Write the result of a task that is not a job, unless the task has ended already."""
    return _changed(
        STORE_UNCLAIMED,
        [task_id, task, args, kwargs, status, worker, result, storable(traceback)],
    )


def one_line(text: str) -> str:
    """Return the text on one line, shortened for a list, without characters that JSON refuses."""
    line = " ".join(storable(text).split()) if text else ""
    return line if len(line) <= REASON_LENGTH else f"{line[: REASON_LENGTH - 1]}…"


def storable(text: Any) -> Any:
    """Replace what PostgreSQL cannot store in a text: NUL, and halves of surrogate pairs."""
    if not isinstance(text, str):
        return None if text is None else storable(str(text))
    return text.replace("\x00", "�").encode("utf-8", "replace").decode()


# The names of the statements that each psycopg2 connection has prepared.
_prepared: "WeakKeyDictionary[Any, set[str]]" = WeakKeyDictionary()


def _execute(statement: str | _Statement, parameters: list[Any]) -> list[tuple[Any, ...]]:
    _skip_health_check()
    with connection.cursor() as cursor:
        cursor.execute(_text(statement), parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def _changed(statement: str | _Statement, parameters: list[Any]) -> bool:
    _skip_health_check()
    with connection.cursor() as cursor:
        cursor.execute(_text(statement), parameters)
        changed: int = cursor.rowcount
        return changed == 1


def _skip_health_check() -> None:
    # Django would send `SELECT 1` first. A failing statement shows the same at no cost.
    connection.health_check_done = True  # type: ignore[attr-defined]  # not in Django's stubs


def _text(statement: str | _Statement) -> str:
    """Return the SQL to execute: the statement, or EXECUTE of the one that is prepared."""
    if isinstance(statement, str):
        return statement
    # Without CONN_MAX_AGE, do not prepare. A transaction pooler may give the next transaction
    # another session of the server, or the connection is not used often enough to gain anything.
    if not connection.settings_dict["CONN_MAX_AGE"]:
        return statement.text
    prepared = _prepared.setdefault(connection.connection, set())
    if statement.name not in prepared:
        parts = statement.text.split("%s")
        numbered = "".join(f"{part}${number}" for number, part in enumerate(parts[:-1], 1))
        # The statement exists if an interrupt came between PREPARE and the note of its name.
        with suppress(DuplicatePreparedStatement), connection.connection.cursor() as cursor:
            cursor.execute(
                f"PREPARE {statement.name} ({', '.join(statement.types)}) AS {numbered}{parts[-1]}"
            )
        prepared.add(statement.name)
    return f"EXECUTE {statement.name} ({', '.join(['%s'] * len(statement.types))})"
