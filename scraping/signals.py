from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models.signals import post_migrate
from django.dispatch import receiver
from django_celery_beat.models import PeriodicTask

from bots.models import BotConfig, matching_changed
from bots.services import SCRAPE_TASK
from jobs import schedules
from jobs.runs import RunRequest, request_run, run_requested
from scraping import matching, sessions

REMATCH_TASK = "scraping.rematch_bot"

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


@receiver(matching_changed, dispatch_uid="scraping.rematch")
def rematch_stored_items(bot_ids: Sequence[int], **_: Any) -> None:
    """Request a re-match of what is stored, in the transaction that changed what the bots match."""
    for bot_id in matching.with_stored_items(bot_ids):
        request_run(REMATCH_TASK, {"bot_id": bot_id}, queue="cleanup", trigger="task")


@receiver(post_migrate, dispatch_uid="scraping.install_schedules")
def install_schedules(sender: Any, **_: Any) -> None:
    """Install the system schedules once the tables are there."""
    if sender.name != "scraping" or PeriodicTask._meta.db_table not in (
        connection.introspection.table_names()
    ):
        return
    for spec in SYSTEM_SCHEDULES:
        schedules.install(spec)
