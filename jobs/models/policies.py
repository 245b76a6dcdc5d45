from django.core.validators import MinValueValidator
from django.db import models
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django_celery_beat.models import PeriodicTask


class SchedulePolicy(models.Model):
    """The rule for a schedule that is late, missed runs, or still runs.

    A schedule without a policy follows the defaults.
    """

    periodic_task = models.OneToOneField(
        PeriodicTask, on_delete=models.CASCADE, related_name="policy", verbose_name=_("schedule")
    )
    misfire_grace_seconds = models.PositiveIntegerField(
        _("misfire grace"),
        null=True,
        blank=True,
        help_text=_(
            "Beat skips a run that is more than this many seconds late. If the field is empty, a run "
            "is never too late."
        ),
    )
    coalesce = models.BooleanField(
        _("coalesce"), default=True, help_text=_("One run makes up for all missed runs.")
    )
    jitter_seconds = models.PositiveIntegerField(
        _("jitter"),
        default=0,
        help_text=_(
            "Beat delays each run of the schedule by a fixed number of seconds, at most this many. "
            "The delay spreads a thousand hourly schedules over the hour."
        ),
    )
    max_instances = models.PositiveIntegerField(
        _("maximum instances"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_(
            "At most this many runs of the schedule wait or run at once. If the field is empty, "
            "there is no limit."
        ),
    )
    skip_if_running = models.BooleanField(
        _("skip if running"),
        default=False,
        help_text=_("Beat skips a run while another run of the schedule waits or runs."),
    )
    # Beat writes these when it cannot use the schedule's row, and clears them when it can again.
    problem = models.TextField(_("problem"), blank=True, editable=False)
    problem_since = models.DateTimeField(_("problem since"), null=True, editable=False)

    class Meta:
        verbose_name = _("policy")
        verbose_name_plural = _("policy")

    def __str__(self) -> str:
        return gettext("policy of %(schedule)s") % {"schedule": self.periodic_task.name}
