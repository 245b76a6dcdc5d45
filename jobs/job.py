"""The base class of jobs: the attributes that all runs share, and the check of arguments.

`jobs.task` runs jobs. Code that only has to recognise a job imports this module.
"""

import random
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from celery.contrib.django.task import DjangoTask

from jobs.parameters import Parameters


class Job(DjangoTask[..., Any]):
    """The base of all jobs. `jobs.task.job` explains the attributes.

    Do not keep data on `self`: all runs of a job in a process share one task instance.
    """

    abstract = True

    title: str = ""
    description: str = ""
    category: str = ""
    # Not `queue`: Celery is removing that attribute.
    queue_name: str = "default"
    retry_on: tuple[type[Exception], ...] = ()
    max_retries = 3
    backoff: float = 1
    backoff_cap: float = 600
    lock: str | None = None
    lock_wait: float = 0
    history_days: int | None = None
    parameters: Parameters

    # The claim writes STARTED. The row and the sweep decide what happens after a worker dies.
    track_started = False
    acks_late = True
    acks_on_failure_or_timeout = True
    reject_on_worker_lost = False
    retry_on_worker_lost = False
    ignore_result = False
    store_errors_even_if_ignored = True

    def validate(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments as a run records them; raise ValidationError naming each fault."""
        return self.parameters.validate(kwargs)

    def lock_key(self, kwargs: Mapping[str, Any]) -> str | None:
        """Return the key of the lock that a run with these arguments holds, or None.

        The key contains validated values only. Each value is quoted, so that a colon in a text
        cannot start another part of the key.
        """
        if self.lock is None:
            return None
        values = self.parameters.complete(self.parameters.validate(kwargs))
        return self.lock.format_map({name: quote(str(v), safe="") for name, v in values.items()})

    def delay_before_retry(self, failures: int) -> float:
        """Return the seconds to wait before a retry, after `failures` earlier failures.

        The pause doubles with each failure, up to the cap; half of it is random. Without the random
        half, all runs that failed together would retry together.
        """
        full: float = min(self.backoff_cap, self.backoff * 2**failures)
        return full * random.uniform(0.5, 1)  # noqa: S311 - spreads load, guards nothing
