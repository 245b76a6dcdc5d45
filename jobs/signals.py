"""What happens in this app when something happens elsewhere, and its own schedules."""

from datetime import timedelta
from typing import Any

from django.db.models.signals import pre_save
from django.dispatch import receiver
from django_celery_beat.models import PeriodicTask

from jobs import batches, system_schedules  # noqa: F401 - their receivers
from jobs.schedules import ScheduleSpec

system_schedules.register(
    ScheduleSpec(
        name="sweep-runs",
        task="jobs.sweep",
        kwargs={},
        queue="default",
        every=timedelta(seconds=15),
        description="Sends runs whose message was lost, and ends or repeats those whose worker died.",
    )
)
system_schedules.register(
    ScheduleSpec(
        name="delete-old-runs",
        task="jobs.delete_old_runs",
        kwargs={},
        queue="cleanup",
        crontab="17 3 * * *",
        description="Removes runs that ended longer ago than RUN_HISTORY_DAYS.",
    )
)

system_schedules.register(
    ScheduleSpec(
        name="delete-expired-tokens",
        task="accounts.delete_expired_tokens",
        kwargs={},
        queue="cleanup",
        crontab="45 * * * *",
        description="Removes refresh and password-reset tokens that have expired.",
    )
)


@receiver(pre_save, sender=PeriodicTask, dispatch_uid="jobs.keep_last_run")
def keep_last_run(instance: PeriodicTask, **_: Any) -> None:
    """Keep the last run of an interval that is switched off, which django-celery-beat empties.

    Switched on again it is overdue, or goes on in step; it does not begin anew. A crontab does: it
    has not missed what fell into the time when it was off.
    """
    if not instance.enabled and instance.interval_id and instance.pk:
        rows = PeriodicTask.objects.filter(pk=instance.pk)
        instance.last_run_at = rows.values_list("last_run_at", flat=True).first()
