from celery import states
from django.db import models
from django.utils.translation import gettext_lazy as _
from django_celery_results.models import TaskResult


class DeadLetterManager(models.Manager["DeadLetter"]):
    """Selects failed runs."""

    def get_queryset(self) -> models.QuerySet["DeadLetter"]:
        """Return failed runs only."""
        return super().get_queryset().filter(status=states.FAILURE)


class DeadLetter(TaskResult):
    """A run that failed for good; it can be run again with its arguments."""

    # Not the manager of `TaskResult`: the rows of this manager are `DeadLetter` objects.
    objects = DeadLetterManager()  # type: ignore[assignment]  # see above

    class Meta:
        proxy = True
        verbose_name = _("failed run")
        verbose_name_plural = _("failed runs")
