from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models.signals import post_migrate
from django.dispatch import receiver
from django_celery_beat.models import PeriodicTask

from bots.models import BotConfig
from bots.services import SCRAPE_TASK
from jobs import schedules
from jobs.runs import RunRequest, run_ended, run_requested
from scraping import sessions

# Installed once; after that they are the operator's.
SYSTEM_SCHEDULES = [
    schedules.ScheduleSpec(
        name="close-interrupted-sessions",
        task="scraping.close_interrupted_sessions",
        kwargs={},
        queue="cleanup",
        every=timedelta(minutes=1),
        description="Ends sessions whose process died, so that none seems to run for ever.",
    ),
]


@receiver(run_requested, sender=SCRAPE_TASK, dispatch_uid="scraping.queue_session")
def queue_session(run: RunRequest, **_: Any) -> None:
    """Write the session of a requested run beside the run's row."""
    bot = BotConfig.objects.filter(pk=run.kwargs["bot_id"]).first()
    if bot is not None:
        sessions.queue(bot, trigger=run.trigger, task_id=run.task_id)


@receiver(run_ended, sender=SCRAPE_TASK, dispatch_uid="scraping.cancel_session")
def cancel_session(task_id: str, reason: str, **_: Any) -> None:
    """End the session of a run that will not start: skipped, cancelled or too late."""
    sessions.cancel_queued(task_id, reason=reason)


@receiver(post_migrate, dispatch_uid="scraping.install_schedules")
def install_schedules(sender: Any, **_: Any) -> None:
    """Install the system schedules once the tables are there."""
    if sender.name != "scraping" or PeriodicTask._meta.db_table not in (
        connection.introspection.table_names()
    ):
        return
    for spec in SYSTEM_SCHEDULES:
        schedules.install(spec)
