"""The housekeeping jobs of runs, batches and tokens."""

from dataclasses import asdict
from typing import Any

from celery.signals import worker_ready

from accounts import tokens
from jobs.runs import batches, retention, sweep
from jobs.task import job


@job(
    name="jobs.sweep",
    queue="default",
    title="Sweep runs",
    category="housekeeping",
    soft_time_limit=60,
    time_limit=90,
    max_retries=0,
    history_days=1,
)
def sweep_runs() -> dict[str, int]:
    """Sends runs whose message was lost, and ends or repeats those whose worker died."""
    result = asdict(sweep.run())
    return result | {"settled": batches.settle()}


@job(
    name="jobs.delete_old_runs",
    queue="cleanup",
    category="housekeeping",
    soft_time_limit=1200,
    time_limit=1300,
)
def delete_old_runs() -> int:
    """Removes old runs from the history, in batches."""
    return retention.delete_old_runs()


@job(
    name="accounts.delete_expired_tokens",
    queue="cleanup",
    title="Delete expired tokens",
    category="housekeeping",
    soft_time_limit=600,
    time_limit=660,
    history_days=7,
)
def delete_expired_tokens() -> int:
    """Removes refresh and password-reset tokens that have expired."""
    return tokens.delete_expired()


@worker_ready.connect(dispatch_uid="jobs.sweep_at_start")
def sweep_at_start(**_: Any) -> None:
    """Sweep as soon as a worker is up, for the runs that the last worker left."""
    sweep.run()
