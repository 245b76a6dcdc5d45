"""The `job` decorator, and how Celery runs a job: a row first, one claim, and a true end.

@job(name="reports.send", queue="default", retry_on=(SMTPException,))
def send_report(report_id: int, copies: int = 1) -> dict[str, int]:
    \"\"\"Send a report.\"\"\"
"""

import re
import string
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from typing import Any, NoReturn

from celery import shared_task, states
from celery.exceptions import Ignore, Reject, Retry, SoftTimeLimitExceeded
from celery.result import AsyncResult
from django.db import DatabaseError, InterfaceError, OperationalError
from django.utils import timezone
from django.utils.translation import gettext as _
from kombu.exceptions import OperationalError as BrokerError

from jobs import locks
from jobs.errors import Cancelled, Ended, InvalidJob, Skip
from jobs.job import Job
from jobs.parameters import Parameters
from jobs.runs import execution, store, transitions
from jobs.runs.transitions import Claim

# Errors that pass: the database or the broker restarts, or PostgreSQL ends a deadlock.
TRANSIENT = (OperationalError, InterfaceError, BrokerError)

# A key begins with a literal part, so that no value of a parameter can form another job's key.
LOCK_TEMPLATE = re.compile(r"[a-z][a-z0-9-]*(:.+)?")
NAME = re.compile(r"[a-z_]+(\.[a-z_]+)+")

# Options of Celery's `apply_async` for which a run's row has no place. The sweep could not send
# them again.
UNSUPPORTED_OPTIONS = (
    "link",
    "link_error",
    "chain",
    "chord",
    "group_id",
    "ignore_result",
    "replaced_task_nesting",
    "add_to_parent",
    "shadow",
    "time_limit",
    "soft_time_limit",
)


class JobTask(Job):
    """The task class of a job."""

    abstract = True

    def apply_async(  # type: ignore[override]  # named options, some refused
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        task_id: str | None = None,
        **options: Any,
    ) -> AsyncResult[Any]:
        """Record a run in the caller's transaction; publish its message on commit.

        Takes Celery's `queue`, `countdown`, `eta` and `expires`. Raises ValidationError for
        wrong arguments, and `InvalidJob` for options that a run's row cannot keep.
        """
        if self.app.conf.task_always_eager:
            return super().apply_async(
                tuple(args or ()), dict(kwargs or {}), task_id=task_id, **options
            )
        if unsupported := [name for name in UNSUPPORTED_OPTIONS if options.get(name)]:
            raise InvalidJob(
                f"{self.name}: a run's row cannot keep {', '.join(unsupported)}. "
                "For several runs with one end use jobs.runs.batches."
            )
        run = store.RunRequest(
            task=self.name,
            task_id=task_id or store.new_task_id(),
            kwargs=self.parameters.bind(args or (), kwargs or {}),
            queue=options.get("queue") or self.queue_name,
            trigger="task",
            expires_at=_moment(options.get("expires")),
            not_before=_moment(options.get("eta") or options.get("countdown")),
        )
        return self.AsyncResult(store.request(run).task_id)

    def retry(
        self,
        args: object = None,
        kwargs: object = None,
        exc: Exception | None = None,
        throw: object = True,
        eta: object = None,
        countdown: float | None = None,
        max_retries: object = None,
        **options: object,
    ) -> NoReturn:
        """End this attempt and retry after the job's back-off, or after `countdown` seconds.

        Raises `Retry`; raises `exc` if no attempts are left.
        """
        error = exc or OperationalError(_("The job asked for a retry."))
        claim: Claim | None = getattr(self.request, "claim", None)
        if claim is None or claim.failures >= self.max_retries:
            raise error
        claim.retry_delay = self.delay_before_retry(claim.failures)
        if countdown is not None:
            claim.retry_delay = countdown
        raise Retry(exc=error, when=claim.retry_delay)  # type: ignore[arg-type]  # a float is a Real

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the body: directly, or in a worker for the one message that gets the claim."""
        request = self.request
        if request.called_directly or request.is_eager or hasattr(request, "claim"):
            return self.run(*args, **kwargs)
        claim = execution.claim(self, request, args, kwargs)
        if claim is None:
            raise Ignore(f"Run {request.id} is waiting for its time, taken, or has ended.")
        request.update(claim=claim)
        if claim.meta.get("trigger") == "message":
            self.parameters.bind(args, kwargs)  # every other trigger has validated them
        if self.parameters.enumerations:
            kwargs = self.parameters.to_python(kwargs)
        try:
            lock = self._locked(args, kwargs)
        except locks.LockHeld as held:
            return Ended(transitions.SKIPPED, str(held))
        transient: tuple[type[Exception], ...] = (*self.retry_on, *TRANSIENT)
        try:
            with lock:
                return self.run(*args, **kwargs)
        except Skip as reason:
            return Ended(transitions.SKIPPED, str(reason))
        except Cancelled as reason:
            return Ended(states.REVOKED, str(reason))
        except Ignore as reason:
            return Ended(transitions.SKIPPED, str(reason) or _("ignored"))
        except (Retry, Reject, SoftTimeLimitExceeded):
            raise
        except transient as error:
            self.retry(exc=error)
        except DatabaseError as error:
            if not execution.is_away(error):
                raise
            self.retry(exc=error)

    def _locked(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> AbstractContextManager[Any]:
        if self.lock is None:
            return nullcontext()
        key = self.lock_key(self.parameters.bind(args, kwargs))
        lock = locks.Lock(str(key))
        lock.acquire(wait=self.lock_wait)
        return lock

    def on_retry(
        self, exc: Any, task_id: str, args: Sequence[Any], kwargs: Mapping[str, Any], einfo: Any
    ) -> None:
        """Send the message of the next attempt; its row is already written."""
        claim = getattr(self.request, "claim", None)
        if claim is not None:
            execution.publish_retry(claim, self, args, kwargs)


def _moment(value: datetime | float | None) -> datetime | None:
    """Return the moment itself, or the moment so many seconds from now."""
    if value is None or isinstance(value, datetime):
        return value
    return timezone.now() + timedelta(seconds=value)


def job(
    *,
    name: str,
    queue: str,
    title: str = "",
    description: str = "",
    category: str = "",
    soft_time_limit: int | None = None,
    time_limit: int | None = None,
    retry_on: tuple[type[Exception], ...] = (),
    expected: tuple[type[Exception], ...] = (),
    max_retries: int = 3,
    backoff: float = 1,
    backoff_cap: float = 600,
    lock: str | None = None,
    lock_wait: float = 0,
    history_days: int | None = None,
    bind: bool = False,
) -> Callable[[Callable[..., Any]], Job]:
    """Declare a function as a job.

    - `name`: its permanent name in messages and rows: `app.verb_object`.
    - `title`, `description`, `category`: texts for people; by default from the function's name and
      docstring, and from `name`.
    - `soft_time_limit`, `time_limit`: seconds; by default those of the settings.
    - `retry_on`: errors that cause a retry. An unreachable database or broker always does.
    - `max_retries`: the most retries, including those after the death of a worker.
    - `expected`: errors that are not bugs: the run fails with one line and without a traceback.
    - `backoff`, `backoff_cap`: seconds before the first retry, doubled for each further retry, and
      the limit of that pause; the actual pause is between half of it and all of it.
    - `lock`: a key with parameters in it, such as `"scrape-bot:{bot_id}"`. One run at a time holds
      it, on all machines. Another run waits `lock_wait` seconds for it, and then ends SKIPPED.
    - `history_days`: how many days its rows are kept, if not RUN_HISTORY_DAYS.
    - `bind`: whether the function takes the task as its first argument.

    The decorator raises `InvalidJob` for a wrong declaration, when the module is imported.
    """

    def declare(function: Callable[..., Any]) -> Job:
        if not NAME.fullmatch(name):
            raise InvalidJob(f"{name!r} is no name of a job. Name it like scraping.scrape_bot.")
        errors: tuple[object, ...] = (*retry_on, *expected)
        for error in errors:
            if not (isinstance(error, type) and issubclass(error, Exception)):
                raise InvalidJob(f"{name}: {error!r} is no class of exceptions.")
        if soft_time_limit and time_limit and soft_time_limit >= time_limit:
            raise InvalidJob(
                f"{name}: soft_time_limit ({soft_time_limit} s) is not below time_limit "
                f"({time_limit} s)."
            )
        parameters = Parameters.of(function, bound=bind)
        _check_lock(name, lock, parameters)
        doc = (function.__doc__ or "").strip()
        limits = {"soft_time_limit": soft_time_limit, "time_limit": time_limit}
        # Leave out a limit instead of passing None: Celery's stubs do not allow None.
        given: dict[str, Any] = {key: value for key, value in limits.items() if value is not None}
        declared: Job = shared_task(
            base=JobTask,
            name=name,
            bind=bind,
            queue_name=queue,
            title=title or function.__name__.replace("_", " ").capitalize(),
            description=description or doc.partition("\n\n")[0].replace("\n    ", " "),
            category=category or name.partition(".")[0],
            parameters=parameters,
            retry_on=tuple(retry_on),
            throws=tuple(expected),
            max_retries=max_retries,
            backoff=backoff,
            backoff_cap=backoff_cap,
            lock=lock,
            lock_wait=lock_wait,
            history_days=history_days,
            **given,
        )(function)
        return declared

    return declare


def _check_lock(name: str, lock: str | None, parameters: Parameters) -> None:
    if lock is None:
        return
    if not LOCK_TEMPLATE.fullmatch(lock) or lock.startswith(locks.RESERVED_PREFIX):
        raise InvalidJob(
            f"{name}: the lock {lock!r} must begin with a word of its own and a colon, as in "
            f"scrape-bot:{{bot_id}}; {locks.RESERVED_PREFIX!r} is taken."
        )
    for _text, field, _spec, _conversion in string.Formatter().parse(lock):
        if field is not None and field not in parameters.by_name:
            raise InvalidJob(f"{name}: the lock {lock!r} names {field!r}, which is no parameter.")
