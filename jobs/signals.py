from typing import Any

from django.db.models.signals import pre_save
from django.dispatch import receiver
from django_celery_beat.models import PeriodicTask


@receiver(pre_save, sender=PeriodicTask, dispatch_uid="jobs.keep_last_run")
def keep_last_run(instance: PeriodicTask, **_: Any) -> None:
    """Keep the last run of an interval that is switched off, which django-celery-beat empties.

    Switched on again it is overdue, or goes on in step; it does not begin anew. A crontab does: it
    has not missed what fell into the time when it was off.
    """
    if not instance.enabled and instance.interval_id and instance.pk:
        rows = PeriodicTask.objects.filter(pk=instance.pk)
        instance.last_run_at = rows.values_list("last_run_at", flat=True).first()
