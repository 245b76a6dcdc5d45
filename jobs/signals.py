"""This app's system schedules, and its receivers of other packages' signals."""

from datetime import timedelta
from typing import Any

from django.db.models.signals import pre_save
from django.dispatch import receiver
from django.utils import timezone
from django.utils.translation import gettext_noop
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from jobs.schedules import system
from jobs.schedules.services import ScheduleSpec

system.register(
    ScheduleSpec(
        name="sweep-runs",
        task="jobs.sweep",
        kwargs={},
        queue="default",
        every=timedelta(seconds=15),
        description=gettext_noop(
            "Sends runs whose message was lost, and ends or retries runs whose worker died."
        ),
    )
)
system.register(
    ScheduleSpec(
        name="delete-old-runs",
        task="jobs.delete_old_runs",
        kwargs={},
        queue="cleanup",
        crontab="17 3 * * *",
        description=gettext_noop("Deletes runs that ended more than RUN_HISTORY_DAYS ago."),
    )
)

system.register(
    ScheduleSpec(
        name="delete-expired-tokens",
        task="accounts.delete_expired_tokens",
        kwargs={},
        queue="cleanup",
        crontab="45 * * * *",
        description=gettext_noop("Deletes refresh and password-reset tokens that have expired."),
    )
)


@receiver(pre_save, sender=PeriodicTask, dispatch_uid="jobs.keep_last_run")
def keep_last_run(instance: PeriodicTask, **_: Any) -> None:
    """Set `last_run_at` on each edit of a schedule, because it decides which slots were missed.

    django-celery-beat empties the last run of a schedule that is switched off. An interval keeps
    its last run instead: when it is switched on again, it is overdue or goes on in step. A crontab
    that is switched on, or gets other hours, has missed no past slot. Its last run becomes now, so
    that beat, the admin and a restarted beat all count from the edit.
    """
    if not instance.pk:
        return
    stored = PeriodicTask.objects.filter(pk=instance.pk)
    before = stored.values("last_run_at", "crontab_id", "enabled").first()
    if before is None:
        return
    if not instance.enabled and instance.interval_id:
        instance.last_run_at = before["last_run_at"]
    elif instance.enabled and instance.crontab_id:
        moved = before["crontab_id"] != instance.crontab_id
        if moved or not before["enabled"]:
            instance.last_run_at = timezone.now()


@receiver(pre_save, sender=CrontabSchedule, dispatch_uid="jobs.no_slots_missed")
def forget_slots_of_an_edited_crontab(instance: CrontabSchedule, **_: Any) -> None:
    """Let the schedules of an edited crontab count from now: they have missed no past slot."""
    before = CrontabSchedule.objects.filter(pk=instance.pk).first() if instance.pk else None
    if before is not None and str(before) != str(instance):
        PeriodicTask.objects.filter(crontab_id=instance.pk).update(last_run_at=timezone.now())
