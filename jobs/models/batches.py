from typing import cast

from django.db import models
from django.utils.translation import gettext_lazy as _


class Batch(models.Model):
    """Runs that were requested together and have one progress and one end."""

    class Status(models.TextChoices):
        """The state of a batch."""

        # The casts tell a type checker that the labels serve as plain texts.
        RUNNING = "running", cast("str", _("Running"))
        COMPLETED = "completed", cast("str", _("Completed"))
        CANCELLED = "cancelled", cast("str", _("Cancelled"))

    name = models.CharField(_("name"), max_length=200)
    status = models.CharField(_("status"), max_length=10, choices=Status, default=Status.RUNNING)
    total = models.PositiveIntegerField(_("runs"))
    # How many runs of the batch have not ended.
    remaining = models.PositiveIntegerField(_("remaining runs"))
    created_at = models.DateTimeField(_("requested"), auto_now_add=True, db_index=True)
    finished_at = models.DateTimeField(_("ended"), null=True, db_index=True)
    cancel_reason = models.CharField(_("reason of the cancellation"), max_length=500, blank=True)
    # How many runs ended in each state; written once.
    summary = models.JSONField(_("summary"), null=True)

    class Meta:
        verbose_name = _("batch of runs")
        verbose_name_plural = _("batches of runs")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(remaining__lte=models.F("total")), name="jobs_batch_remaining"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def done(self) -> int:
        """How many runs of the batch have ended."""
        return self.total - self.remaining


class BatchRun(models.Model):
    """One run of a batch."""

    batch = models.ForeignKey(
        Batch, on_delete=models.CASCADE, related_name="runs", verbose_name=_("batch of runs")
    )
    task_id = models.CharField(_("task id"), max_length=255, unique=True)
    # The state in which the run ended; empty until then.
    status = models.CharField(_("status"), max_length=50, blank=True)

    class Meta:
        verbose_name = _("run of a batch")
        verbose_name_plural = _("runs of the batch")
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.task_id
