"""Receivers: what collection does when runs, batches or bots change elsewhere."""

from collections.abc import Sequence
from typing import Any

from django.dispatch import receiver

from bots.models import BotConfig, matching_changed
from bots.services import batch_requested, bots_listed
from jobs.models import Batch
from jobs.runs.batches import batch_finished
from jobs.runs.requests import RunRequest, request_run, run_ended, run_requested
from scraping import matching
from scraping.models import ScrapeSession
from scraping.planning import freshness
from scraping.sessions import batches, lifecycle

REMATCH_TASK = "scraping.rematch_bot"
# The attribute of a bot that pages of bots read: see `bots.services.bots_listed`.
FRESHNESS = "freshness"

# Receivers look the sender up here instead of filtering by `sender=`. Django compares senders by
# identity, and a task name that was read from a row equals ours but is another object.
KINDS = {task: kind for kind, task in lifecycle.TASKS.items()}


@receiver(run_requested, dispatch_uid="scraping.queue_session")
def queue_session(sender: str, run: RunRequest, **_: Any) -> None:
    """Record the queued session of a requested run, beside the run's row."""
    kind = KINDS.get(sender)
    if kind is None:
        return
    bot = BotConfig.objects.filter(pk=run.kwargs["bot_id"]).first()
    if bot is None:
        return
    # The trigger of the session. A follower keeps the trigger of its predecessor, not of its own run.
    trigger = run.kwargs.get("trigger", run.trigger)
    if trigger not in ScrapeSession.Trigger:
        trigger = ScrapeSession.Trigger.MANUAL  # such as "api": somebody asked
    lifecycle.queue(bot, trigger=trigger, task_id=run.task_id, kind=kind)


@receiver(run_ended, dispatch_uid="scraping.cancel_session")
def cancel_session(sender: str, task_id: str, reason: str, **_: Any) -> None:
    """End the session of a run that will not start: skipped, cancelled or too late."""
    if sender in KINDS:
        lifecycle.cancel_queued(task_id, reason=reason)


@receiver(bots_listed, dispatch_uid="scraping.tell_freshness")
def tell_freshness(bots: Sequence[BotConfig], **_: Any) -> None:
    """Give bots on a page of the admin their achieved freshness, in one query."""
    achieved = freshness.achieved(bots)
    for bot in bots:
        setattr(bot, FRESHNESS, str(achieved[bot.pk]) if bot.pk in achieved else "-")


@receiver(batch_requested, dispatch_uid="scraping.record_batch")
def record_batch(batch: Batch, by: Any, **_: Any) -> None:
    """Record the owner of a batch, in the transaction that records the batch."""
    batches.record(batch, owner=by)


@receiver(batch_finished, dispatch_uid="scraping.summarise_batch")
def summarise_batch(batch_id: int, **_: Any) -> None:
    """Write the summary of a batch's sessions when all of its runs have ended."""
    batches.summarise(batch_id)


@receiver(matching_changed, dispatch_uid="scraping.rematch")
def rematch_stored_items(bot_ids: Sequence[int], **_: Any) -> None:
    """Request a re-match for changed bots with stored items, in the transaction of the change."""
    for bot_id in matching.with_stored_items(bot_ids):
        request_run(REMATCH_TASK, {"bot_id": bot_id}, queue="cleanup", trigger="task")
