from django.core.validators import MinValueValidator
from django.db import models
from django_celery_beat.models import PeriodicTask


class SchedulePolicy(models.Model):
    """The rule for a schedule that is late, missed runs, or still runs.

    A schedule without a policy follows the defaults.
    """

    periodic_task = models.OneToOneField(
        PeriodicTask, on_delete=models.CASCADE, related_name="policy", verbose_name="schedule"
    )
    misfire_grace_seconds = models.PositiveIntegerField(
        "misfire grace",
        null=True,
        blank=True,
        help_text="In seconds: a run that is later than this is skipped. Empty: however late, it runs.",
    )
    coalesce = models.BooleanField(
        default=True, help_text="However many runs were missed, one makes up for them."
    )
    jitter_seconds = models.PositiveIntegerField(
        "jitter",
        default=0,
        help_text="In seconds: the schedule runs this much later at most, always by the same amount. "
        "Spreads a thousand hourly schedules over the hour.",
    )
    max_instances = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="As many runs as may be waiting or running at once. Empty: any number.",
    )
    skip_if_running = models.BooleanField(
        default=False, help_text="Skip a run while one of the same schedule waits or runs."
    )
    # Beat writes these when it cannot use the schedule's row, and clears them when it can again.
    problem = models.TextField(blank=True, editable=False)
    problem_since = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = "policy"
        verbose_name_plural = "policy"

    def __str__(self) -> str:
        return f"policy of {self.periodic_task.name}"
