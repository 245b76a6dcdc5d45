"""Celery's doors to collection: thin, the work is in the services."""

from dataclasses import asdict
from typing import Any

from celery import Task
from celery.signals import worker_process_shutdown, worker_ready
from django.utils import timezone

from bots.models import BotConfig
from jobs.errors import Skip
from jobs.runs import request_run
from jobs.task import job
from scraping import checks, clients, matching, refresh, services, sessions

# A session that reads a thousand pages at the API's pace ends well within these.
SOFT_LIMIT_SECONDS = 20 * 60
HARD_LIMIT_SECONDS = 21 * 60


@job(
    name="scraping.scrape_bot",
    bind=True,
    queue="scraping",
    title="Scrape a bot's subreddits",
    soft_time_limit=SOFT_LIMIT_SECONDS,
    time_limit=HARD_LIMIT_SECONDS,
    lock=sessions.LOCK,
)
def scrape_bot(self: Task, bot_id: int, trigger: str = "schedule") -> dict[str, Any]:
    """Run one session of a bot.

    A session that ended for want of budget is followed by another run when there is some.

    Returns the session's id, status and counts. SKIPPED when another session of the bot runs, or
    the bot is gone or inactive.
    """
    try:
        session = services.scrape_locked_bot(bot_id, trigger=trigger, task_id=self.request.id or "")
    except services.SessionSkipped as reason:
        raise Skip(str(reason)) from reason
    if session.continues_at is not None:
        # Out of the worker, which others need: a run of its own, when there is budget again.
        self.apply_async(kwargs={"bot_id": bot_id, "trigger": trigger}, eta=session.continues_at)
    counts = {name: getattr(session, name) for name in sessions.COUNTS}
    return {"session": session.pk, "status": session.status, **counts}


@job(
    name="scraping.request_early_reads",
    queue="cleanup",
    title="Find streams that are about to overflow",
    soft_time_limit=50,
    time_limit=60,
    history_days=1,
)
def request_early_reads() -> int:
    """Have those apps read whose bots want a stream that overflows before they come to it.

    Returns how many runs of `scraping.read_early` were requested.
    """
    apps = services.apps_to_read_early()
    for app_id in apps:
        request_run("scraping.read_early", {"app_id": app_id}, trigger="task")
    return len(apps)


@job(
    name="scraping.read_early",
    queue="scraping",
    title="Read streams that are about to overflow",
    soft_time_limit=SOFT_LIMIT_SECONDS,
    time_limit=HARD_LIMIT_SECONDS,
    lock="read-early:{app_id}",
    history_days=7,
)
def read_early(app_id: int) -> dict[str, Any]:
    """Read what an app's bots want and what would outrun Reddit's listings before they come to it.

    Returns the session's id, status and counts. SKIPPED when there is nothing of the kind, and while
    another such run of the app goes on.
    """
    try:
        session = services.read_early(app_id)
    except services.SessionSkipped as reason:
        raise Skip(str(reason)) from reason
    counts = {name: getattr(session, name) for name in sessions.COUNTS}
    return {"session": session.pk, "status": session.status, **counts}


@job(name="scraping.rematch_bot", queue="cleanup", title="Re-match a bot's stored items")
def rematch_bot(bot_id: int) -> dict[str, Any]:
    """Match the stored items of a bot that was changed anew. May run any number of times.

    Returns the counts, with `superseded` when a later change has asked for another run. SKIPPED
    when the bot is gone.
    """
    bot = BotConfig.objects.filter(pk=bot_id).first()
    if bot is None:
        raise Skip(f"bot {bot_id} does not exist any more")
    return asdict(matching.rematch(bot))


@job(
    name="scraping.close_interrupted_sessions",
    queue="cleanup",
    soft_time_limit=50,
    time_limit=60,
    history_days=1,
)
def close_interrupted_sessions() -> int:
    """End the running sessions whose process died; return how many there were."""
    return sessions.close_interrupted()


@job(
    name="scraping.check_items",
    queue="scraping",
    title="Refresh and verify stored items",
    soft_time_limit=8 * 60,
    time_limit=9 * 60,
    lock="check-items",
    history_days=3,
)
def check_items() -> dict[str, Any]:
    """Look up on Reddit what is due for a refresh or a check that it still stands; purge what is gone.

    Returns the counts. What a run leaves is done by the next one.
    """
    return asdict(refresh.check_items())


@job(name="scraping.enrol_items", queue="cleanup", title="Plan checks of all stored items")
def enrol_items() -> int:
    """Plan the checks of stored items that have none, however that came; return how many."""
    return checks.enrol_new(now=timezone.now(), everything=True)


@worker_process_shutdown.connect(dispatch_uid="scraping.close_clients")
def close_clients(**kwargs: Any) -> None:
    """Close the connections to Reddit that a worker's process has kept."""
    clients.close_all()


@worker_ready.connect(dispatch_uid="scraping.close_interrupted_sessions")
def close_interrupted_sessions_at_start(**kwargs: Any) -> None:
    """Tell the truth about what the last worker left as soon as a new one is up."""
    sessions.close_interrupted()
