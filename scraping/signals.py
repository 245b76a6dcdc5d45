from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.dispatch import receiver

from bots.models import BotConfig, matching_changed
from bots.services import batch_requested
from jobs import schedules, system_schedules
from jobs.batches import batch_finished
from jobs.models import Batch
from jobs.runs import RunRequest, request_run, run_ended, run_requested
from scraping import batches, matching, sessions
from scraping.models import ScrapeSession

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
system_schedules.register(
    schedules.ScheduleSpec(
        name="probe-subreddits",
        task="scraping.probe_subreddits",
        kwargs={},
        queue="scraping",
        every=timedelta(minutes=5),
        description="Asks about subreddits that cannot be read, so that they come back by "
        "themselves: each after an hour at first, later once a day.",
    )
)

system_schedules.register(
    schedules.ScheduleSpec(
        name="delete-old-sessions",
        task="scraping.delete_old_sessions",
        kwargs={},
        queue="cleanup",
        crontab="0 2 * * *",
        description="Deletes sessions that are older than SESSION_RETENTION_DAYS.",
    )
)
system_schedules.register(
    schedules.ScheduleSpec(
        name="delete-old-content",
        task="scraping.delete_old_content",
        kwargs={},
        queue="cleanup",
        crontab="30 2 * * 0",
        description="Deletes posts and comments that are older than CONTENT_RETENTION_DAYS, or than "
        "the bots that watch them wish to keep them.",
    )
)
system_schedules.register(
    schedules.ScheduleSpec(
        name="start-overdue-bots",
        task="scraping.start_overdue_bots",
        kwargs={},
        queue="cleanup",
        every=timedelta(hours=6),
        description="Starts bots on schedule whose last good session is older than twice their "
        "interval.",
    )
)

system_schedules.register(
    schedules.ScheduleSpec(
        name="deep-walk",
        task="scraping.deep_walk",
        kwargs={},
        queue="scraping",
        every=timedelta(hours=1),
        description="Reads streams anew, further down: finds what moderators let through late and "
        "closes gaps. How often each stream has its turn is the setting DEEP_WALK_INTERVAL_HOURS.",
    )
)


# By hand, not by `sender=`: Django tells senders apart by identity, and a name that was read from a
# row is equal to ours without being it.
KINDS = {task: kind for kind, task in sessions.TASKS.items()}


@receiver(run_requested, dispatch_uid="scraping.queue_session")
def queue_session(sender: str, run: RunRequest, **_: Any) -> None:
    """Write the session of a requested run beside the run's row."""
    kind = KINDS.get(sender)
    bot = BotConfig.objects.filter(pk=run.kwargs["bot_id"]).first() if kind else None
    if bot is None:
        return
    # The session's door, which for a follower is its predecessor's and not the run's.
    trigger = run.kwargs.get("trigger", run.trigger)
    if trigger not in ScrapeSession.Trigger:
        trigger = ScrapeSession.Trigger.MANUAL  # "api", say: somebody asked
    sessions.queue(bot, trigger=trigger, task_id=run.task_id, kind=kind)


@receiver(run_ended, dispatch_uid="scraping.cancel_session")
def cancel_session(sender: str, task_id: str, reason: str, **_: Any) -> None:
    """End the session of a run that will not start: skipped, cancelled or too late."""
    if sender in KINDS:
        sessions.cancel_queued(task_id, reason=reason)


@receiver(batch_requested, dispatch_uid="scraping.record_batch")
def record_batch(batch: Batch, by: Any, **_: Any) -> None:
    """Write down whose the batch is, in the transaction that records it."""
    batches.record(batch, owner=by)


@receiver(batch_finished, dispatch_uid="scraping.summarise_batch")
def summarise_batch(batch_id: int, **_: Any) -> None:
    """Write what came of a batch's sessions when all of them have ended."""
    batches.summarise(batch_id)


@receiver(matching_changed, dispatch_uid="scraping.rematch")
def rematch_stored_items(bot_ids: Sequence[int], **_: Any) -> None:
    """Request a re-match of what is stored, in the transaction that changed what the bots match."""
    for bot_id in matching.with_stored_items(bot_ids):
        request_run(REMATCH_TASK, {"bot_id": bot_id}, queue="cleanup", trigger="task")
