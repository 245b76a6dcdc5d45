"""What jobs raise, and how a job's body says that its run ended neither well nor badly."""

from celery.exceptions import CeleryError


class JobError(Exception):
    """Base of the errors of this app."""


class UnknownJob(JobError):
    """No task of this name is registered."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"No task is called {name!r}. `manage.py jobs` lists those there are; a new one needs "
            "a restart of this process."
        )


class InvalidJob(JobError):
    """A job is declared in a way that could not work; raised when its module is imported."""


class Skip(Exception):
    """Raised by a job's body that finds nothing to do: the run ends SKIPPED, with this reason."""


class Cancelled(CeleryError):
    """Raised by `jobs.runs.cancellation.check()` in a run that was cancelled; it ends REVOKED.

    Do not catch it but to tidy up and raise it again.
    """


class Ended:
    """What a run returns that ended as neither a success nor a failure."""

    def __init__(self, status: str, reason: str) -> None:
        self.status = status
        self.reason = reason

    def __repr__(self) -> str:
        return f"{self.status}: {self.reason}"
