"""What a job is: the attributes that its runs share, and how its arguments are validated.

`jobs.task` runs jobs; everything that only has to know one imports this.
"""

import random
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from celery.contrib.django.task import DjangoTask

from jobs.parameters import Parameters


class Job(DjangoTask[..., Any]):
    """The base of all jobs. `jobs.task.job` explains the attributes. Nothing is kept on `self`."""

    abstract = True

    title: str = ""
    description: str = ""
    category: str = ""
    # Not `queue`, an attribute that Celery is giving up.
    queue_name: str = "default"
    retry_on: tuple[type[Exception], ...] = ()
    max_retries = 3
    backoff: float = 1
    backoff_cap: float = 600
    lock: str | None = None
    lock_wait: float = 0
    history_days: int | None = None
    parameters: Parameters

    # The claim writes STARTED; the row and the sweep decide what a lost worker means.
    track_started = False
    acks_late = True
    acks_on_failure_or_timeout = True
    reject_on_worker_lost = False
    retry_on_worker_lost = False
    ignore_result = False
    store_errors_even_if_ignored = True

    def validate(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments as they are recorded; raise ValidationError naming the parameter."""
        return self.parameters.validate(kwargs)

    def lock_key(self, kwargs: Mapping[str, Any]) -> str | None:
        """The key of the lock that a run with these arguments holds, or None.

        Made of validated values only, quoted: text with a colon in it stays one part of the key.
        """
        if self.lock is None:
            return None
        values = self.parameters.complete(self.parameters.validate(kwargs))
        return self.lock.format_map({name: quote(str(v), safe="") for name, v in values.items()})

    def delay_before_retry(self, failures: int) -> float:
        """Seconds to wait after so many failures: exponential, capped, and half of it random.

        Without the random half, all that failed together would come back together.
        """
        full: float = min(self.backoff_cap, self.backoff * 2**failures)
        return full * random.uniform(0.5, 1)  # noqa: S311 - spreads load, guards nothing
