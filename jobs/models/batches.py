from django.db import models


class Batch(models.Model):
    """Runs that were requested together and have one progress and one end."""

    class Status(models.TextChoices):
        """The state of a batch."""

        RUNNING = "running", "Running"
        COMPLETED = "completed", "Completed"
        CANCELLED = "cancelled", "Cancelled"

    name = models.CharField(max_length=200)
    status = models.CharField(max_length=10, choices=Status, default=Status.RUNNING)
    total = models.PositiveIntegerField()
    # How many runs of the batch have not ended.
    remaining = models.PositiveIntegerField()
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)
    finished_at = models.DateTimeField(null=True, db_index=True)
    cancel_reason = models.CharField(max_length=500, blank=True)
    # How many runs ended in each state; written once.
    summary = models.JSONField(null=True)

    class Meta:
        verbose_name_plural = "batches"
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

    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, related_name="runs")
    task_id = models.CharField(max_length=255, unique=True)
    # The state in which the run ended; empty until then.
    status = models.CharField(max_length=50, blank=True)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.task_id
