from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.dispatch import receiver

from bots.models import BotConfig, matching_changed
from bots.services import SCRAPE_TASK
from jobs import schedules, system_schedules
from jobs.runs import RunRequest, request_run, run_ended, run_requested
from scraping import matching, sessions

REMATCH_TASK = "scraping.rematch_bot"

system_schedules.register(
    schedules.ScheduleSpec(
        name="close-interrupted-sessions",
        task="scraping.close_interrupted_sessions",
        kwargs={},
        queue="cleanup",
        every=timedelta(minutes=1),
        description="Ends sessions whose process died, so that none seems to run for ever.",
    )
)
system_schedules.register(
    schedules.ScheduleSpec(
        name="refresh-and-verify",
        task="scraping.check_items",
        kwargs={},
        queue="scraping",
        every=timedelta(minutes=2),
        description="Looks stored items up on Reddit: new scores, edits, and whether they still "
        "stand. What is gone is purged.",
    )
)
system_schedules.register(
    schedules.ScheduleSpec(
        name="enrol-stored-items",
        task="scraping.enrol_items",
        kwargs={},
        queue="cleanup",
        crontab="41 2 * * *",
        description="Plans checks of stored items that have none, which the other runs, that look "
        "at the last hours only, have missed.",
    )
)

system_schedules.register(
    schedules.ScheduleSpec(
        name="request-early-reads",
        task="scraping.request_early_reads",
        kwargs={},
        queue="cleanup",
        every=timedelta(minutes=1),
        description="Reads streams that would outrun what Reddit lists before their bots come to them.",
    )
)


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


@receiver(matching_changed, dispatch_uid="scraping.rematch")
def rematch_stored_items(bot_ids: Sequence[int], **_: Any) -> None:
    """Request a re-match of what is stored, in the transaction that changed what the bots match."""
    for bot_id in matching.with_stored_items(bot_ids):
        request_run(REMATCH_TASK, {"bot_id": bot_id}, queue="cleanup", trigger="task")
