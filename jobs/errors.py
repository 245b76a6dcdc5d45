"""The exceptions of jobs, and the result of a run that neither succeeds nor fails."""

from celery.exceptions import CeleryError
from django.utils.translation import gettext as _


class JobError(Exception):
    """Base of the errors of this app."""


class UnknownJob(JobError):
    """No task has this name."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            _(
                "No task is called %(name)r. Choose a task from the list of ./manage.py jobs. If the "
                "task is new, restart this process."
            )
            % {"name": name}
        )


class InvalidJob(JobError):
    """The declaration of a job is wrong; raised when the job's module is imported."""


class Skip(Exception):
    """A job's body raises this if it finds nothing to do: the run ends SKIPPED, with this reason."""


class Cancelled(CeleryError):
    """`jobs.runs.cancellation.check()` raises this in a cancelled run, which then ends REVOKED.

    Catch it only to clean up, and then raise it again.
    """


class Ended:
    """The result of a run that neither succeeds nor fails: its state and the reason."""

    def __init__(self, status: str, reason: str) -> None:
        self.status = status
        self.reason = reason

    def __repr__(self) -> str:
        return f"{self.status}: {self.reason}"
