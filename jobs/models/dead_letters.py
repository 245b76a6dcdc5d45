from celery import states
from django.db import models
from django_celery_results.models import TaskResult


class DeadLetterManager(models.Manager["DeadLetter"]):
    """Runs that failed and were not run again."""

    def get_queryset(self) -> models.QuerySet["DeadLetter"]:
        """Failed runs only."""
        return super().get_queryset().filter(status=states.FAILURE)


class DeadLetter(TaskResult):
    """A run that failed for good, from where it can be run again with its arguments."""

    # Not the manager of all runs: those that it gives are of this class.
    objects = DeadLetterManager()  # type: ignore[assignment]  # see above

    class Meta:
        proxy = True
        verbose_name = "failed run"
        verbose_name_plural = "failed runs"
