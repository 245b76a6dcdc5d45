"""The result backend: the end of a run is one UPDATE of its existing row."""

import logging
import time
from typing import Any, TypedDict

from billiard.exceptions import WorkerLostError
from celery import Celery, states
from celery.app.task import Context
from celery.exceptions import SoftTimeLimitExceeded, TaskRevokedError, TimeLimitExceeded
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django_celery_results.backends.database import DatabaseBackend
from kombu.utils.json import dumps

from jobs.errors import Ended
from jobs.job import Job
from jobs.runs import execution, sweep, transitions
from jobs.runs.store import run_ended
from jobs.runs.transitions import Claim

logger = logging.getLogger(__name__)

# How long a worker's main process waits for the database: all its tasks wait meanwhile. If it
# cannot write an end, the sweep ends the run later.
MAIN_PROCESS_PATIENCE_SECONDS = 1


class _Written(TypedDict):
    """The columns of a run that ended outside its body."""

    result: str
    traceback: str | None
    reason: str


class RunBackend(DatabaseBackend):
    """Stores how runs end; never changes a run that has ended."""

    app: Celery

    def store_result(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: str | None = None,
        request: Context | None = None,
        **_: Any,
    ) -> Any:
        """Write the end of a run or of one attempt; return the result as stored.

        Waits while the database is down. Raises `Reject` if it stays down at the end of a claimed
        run.
        """
        claim = getattr(request, "claim", None)
        task = self.app.tasks.get(getattr(request, "task", None) or "")
        # Only jobs have a claim, and a claim always comes with its request.
        if claim is not None and request is not None and isinstance(task, Job):
            self._end_claimed(claim, task, result, state, traceback, request)
        elif isinstance(task, Job):
            self._end_from_outside(task_id, task, result, state, traceback, request)
        else:
            self._store_plain(task_id, result, state, traceback, request)
        return None if isinstance(result, Ended) else self.encode_result(result, state)

    def _end_claimed(
        self,
        claim: Claim,
        job: Job,
        result: Any,
        state: str,
        traceback: str | None,
        request: Context,
    ) -> None:
        """Write the end from the process that ran the body."""
        reason = ""
        if isinstance(result, Ended):
            state, reason, result = result.status, result.reason, None
        elif isinstance(result, BaseException):
            reason = _reason(result, job, request)
            if _is_expected(result, job):
                traceback = None
        stored = self._encoded(result, state)

        def write() -> bool:
            if state != states.RETRY:
                return transitions.finish(
                    claim, state, result=stored, traceback=traceback, reason=reason
                )
            delay = claim.retry_delay or 0
            return transitions.wait_again(
                claim.task_id,
                claim.attempt,
                status=state,
                error=reason,
                failures=claim.failures + 1,
                delay=delay,
                sweep_after=execution.sweep_after_retry(delay),
                result=stored,
                traceback=traceback,
            )

        if not execution.write_end(claim, write):
            logger.warning("Run %s had ended, or was taken over: not %s", claim.task_id, state)
        elif state in (transitions.SKIPPED, states.REVOKED) or (
            "batch" in claim.meta and state != states.RETRY
        ):
            _tell(claim.task, claim.task_id, state, reason, in_batch="batch" in claim.meta)

    def _end_from_outside(
        self,
        task_id: str,
        job: Job,
        result: Any,
        state: str,
        traceback: str | None,
        request: Context | None,
    ) -> None:
        """Write the end from a worker's main process, when the body did not finish."""
        if state == states.RETRY:
            return  # Celery cancelled it at a shutdown; the row still names the holder
        try:
            if isinstance(result, WorkerLostError):
                _wait_for_lost(task_id)
                return
            reason = _reason(result, job, request)
            values: _Written = {
                "result": self._encoded(result, state),
                "traceback": None if _is_expected(result, job) else traceback,
                "reason": reason,
            }
            meta = execution.patiently(
                lambda: transitions.end(
                    task_id, state, worker=getattr(request, "hostname", None), **values
                ),
                seconds=MAIN_PROCESS_PATIENCE_SECONDS,
            )
            if meta is not None:
                _tell(job.name, task_id, state, reason, in_batch="batch" in meta)
            elif request is not None:
                # A message without a row: the run ended before the claim, which would write the
                # row.
                arguments = job.parameters.by_name
                named = dict(zip(arguments, request.args or (), strict=False))
                transitions.insert_ended(
                    task_id,
                    state,
                    task=job.name,
                    kwargs=dumps(named | dict(request.kwargs or {})),
                    **values,
                )
        except execution.DATABASE_AWAY as error:
            logger.warning("The sweep will have to end run %s: %s", task_id, error)

    def _store_plain(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: str | None,
        request: Context | None,
    ) -> None:
        """Write the row of a library's task, which is not a job, at its end."""
        transitions.store_unclaimed(
            task_id,
            state,
            task=getattr(request, "task", None),
            args=getattr(request, "argsrepr", None),
            kwargs=getattr(request, "kwargsrepr", None),
            worker=getattr(request, "hostname", None),
            result=self._encoded(result, state),
            traceback=traceback,
        )

    def _encoded(self, result: Any, state: str) -> str:
        _, _, content = self.encode_content(self.encode_result(result, state))
        return content


def _tell(task: str, task_id: str, status: str, reason: str, *, in_batch: bool) -> None:
    """Send `run_ended`. The end is written already: an error of a receiver changes nothing."""
    told = run_ended.send_robust(
        sender=task, task_id=task_id, status=status, reason=reason, in_batch=in_batch
    )
    for _receiver, error in told:
        if isinstance(error, Exception):
            logger.error("A receiver of run_ended failed for %s", task_id, exc_info=error)


def _wait_for_lost(task_id: str) -> None:
    """Wait, after a pool process died, until PostgreSQL has freed its lock; then close its run."""
    deadline = time.monotonic() + MAIN_PROCESS_PATIENCE_SECONDS
    while not sweep.close_lost([task_id]) and time.monotonic() < deadline:
        time.sleep(0.02)
    sweep.send_due()


def _is_expected(error: Any, job: Job) -> bool:
    return isinstance(error, (*job.throws, ValidationError, TaskRevokedError, TimeLimitExceeded))


def _reason(error: Any, job: Job, request: Context | None) -> str:
    """Return the error in one line."""
    soft, hard = _limits(job, request)
    if isinstance(error, SoftTimeLimitExceeded):
        return _("The run reached the soft time limit of %(seconds)s s.") % {"seconds": soft}
    if isinstance(error, TimeLimitExceeded):
        return _(
            "The run reached the time limit of %(seconds)s s, and the worker killed its process."
        ) % {"seconds": hard}
    if isinstance(error, TaskRevokedError):
        why = str(error)
        if why == "expired":
            return str(sweep.TOO_LATE)
        return _("Revoked: %(reason)s.") % {"reason": why}
    if isinstance(error, ValidationError):
        return " ".join(error.messages)
    if isinstance(error, job.throws):
        return str(error) or type(error).__name__
    return f"{type(error).__name__}: {error}"


def _limits(job: Job, request: Context | None) -> tuple[Any, Any]:
    hard, soft = getattr(request, "timelimit", None) or (None, None)
    return soft or job.soft_time_limit, hard or job.time_limit
