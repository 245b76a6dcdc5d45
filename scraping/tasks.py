"""Celery's doors to collection. They are thin: the services do the work."""

import time
from dataclasses import asdict
from typing import Any

from celery import Task
from celery.signals import worker_process_shutdown, worker_ready
from django.utils import timezone

from bots.models import BotConfig, RedditApp
from jobs.errors import Skip
from jobs.runs.requests import request_run
from jobs.task import job
from scraping import matching
from scraping.budget import clients
from scraping.collecting import availability
from scraping.completing import deep_walks, gap_searches
from scraping.content import check_plan, retention
from scraping.models import ScrapeSession
from scraping.planning import early_reads, overdue
from scraping.sessions import batches, lifecycle, services
from scraping.verifying import recheck

# At the API's pace, a session that reads a thousand pages ends well within these limits.
SOFT_LIMIT_SECONDS = 20 * 60
HARD_LIMIT_SECONDS = 21 * 60


@job(
    name="scraping.scrape_bot",
    bind=True,
    queue="scraping",
    title="Scrape a bot's subreddits",
    soft_time_limit=SOFT_LIMIT_SECONDS,
    time_limit=HARD_LIMIT_SECONDS,
    lock=lifecycle.LOCK,
)
def scrape_bot(self: Task[..., Any], bot_id: int, trigger: str = "schedule") -> dict[str, Any]:
    """Run one session of a bot.

    When the app's budget is spent, the session ends and a follower runs once there is budget again.

    Returns the session's id, status and counts. SKIPPED when another session of the bot runs, when
    the bot is gone or inactive, when Reddit refuses its app, or when the run has had its session.
    """
    try:
        session = services.scrape_locked_bot(bot_id, trigger=trigger, task_id=self.request.id or "")
    except services.SessionSkipped as reason:
        raise Skip(str(reason)) from reason
    if session.continues_at is not None:
        # A follower waits for the budget outside the worker, which other runs need.
        self.apply_async(kwargs={"bot_id": bot_id, "trigger": trigger}, eta=session.continues_at)
    services.request_threads(bot_id, trigger=trigger)
    return _told(session)


@job(
    name=lifecycle.THREADS_TASK,
    bind=True,
    queue="scraping",
    title="Read the comment trees of a bot's matches",
    soft_time_limit=SOFT_LIMIT_SECONDS,
    time_limit=HARD_LIMIT_SECONDS,
    lock=lifecycle.THREADS_LOCK,
)
def read_threads(self: Task[..., Any], bot_id: int, trigger: str = "schedule") -> dict[str, Any]:
    """Read the due comment trees of the posts that a bot has matched.

    Trees for which the session has no requests left are read after the bot's next session.
    When the app's budget is spent, the session ends and a follower runs once there is budget again.

    Returns the session's id, status and counts. SKIPPED for the same reasons as `scrape_bot`.
    """
    try:
        session = services.read_locked_threads(
            bot_id, trigger=trigger, task_id=self.request.id or ""
        )
    except services.SessionSkipped as reason:
        raise Skip(str(reason)) from reason
    if session.continues_at is not None:
        self.apply_async(kwargs={"bot_id": bot_id, "trigger": trigger}, eta=session.continues_at)
    return _told(session)


def _told(session: ScrapeSession) -> dict[str, Any]:
    counts = {name: getattr(session, name) for name in lifecycle.COUNTS}
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
    """Request an early read for each app with streams that would outrun Reddit's listings.

    Returns how many runs of `scraping.read_early` were requested.
    """
    apps = early_reads.apps_to_read_early()
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
    """Read an app's streams that would outrun Reddit's listings before its bots read them.

    Returns the session's id, status and counts. SKIPPED when the app has no such stream or is gone,
    when Reddit refuses it, and while another such run of the app goes on.
    """
    try:
        session = services.read_early(app_id)
    except services.SessionSkipped as reason:
        raise Skip(str(reason)) from reason
    counts = {name: getattr(session, name) for name in lifecycle.COUNTS}
    return {"session": session.pk, "status": session.status, **counts}


@job(name="scraping.rematch_bot", queue="cleanup", title="Re-match a bot's stored items")
def rematch_bot(bot_id: int) -> dict[str, Any]:
    """Match the stored items again for a bot that was changed. May run any number of times.

    Returns the counts. `superseded` is true when a later change has requested another run. SKIPPED
    when the bot is gone.
    """
    bot = BotConfig.objects.filter(pk=bot_id).first()
    if bot is None:
        raise Skip(f"bot {bot_id} does not exist any more")
    return asdict(matching.rematch(bot))


@job(name="scraping.scrape_batch", queue="default", title="Scrape several bots as one batch")
def scrape_batch(bot_ids: list[int]) -> dict[str, Any]:
    """Request one session of each of these bots, as one batch with one summary at the end.

    A schedule can run several bots together with it. Returns the batch's number and how many
    sessions it has. SKIPPED when none of the bots exists and is active.
    """
    try:
        batch = batches.scrape_batch(BotConfig.objects.filter(pk__in=bot_ids)).batch
    except ValueError as reason:
        raise Skip(str(reason)) from reason
    return {"batch": batch.pk, "sessions": batch.total}


@job(
    name="scraping.deep_walk",
    queue="scraping",
    title="Read streams anew, further down",
    soft_time_limit=SOFT_LIMIT_SECONDS,
    time_limit=HARD_LIMIT_SECONDS,
    lock="deep-walk",
)
def deep_walk() -> dict[str, dict[str, Any]]:
    """Find items that moderators let through late, and close the gaps that listings still reach.

    Then search for the posts in gaps that listings no longer reach. Returns the results by app, for
    each app with something due or an early end: the counts of its deep walk, and under `search` those
    of its gap search.
    """
    began = time.monotonic()
    results = {}
    for app in RedditApp.objects.order_by("pk"):
        if time.monotonic() - began >= SOFT_LIMIT_SECONDS:
            break  # The time limit ended the last walk. The next run reads for the other apps.
        walked = deep_walks.walk_deep(app)
        searched = gap_searches.GapSearch()
        if time.monotonic() - began < SOFT_LIMIT_SECONDS:
            searched = gap_searches.search_gaps(app)
        if walked.due or walked.ended_early or searched.due or searched.ended_early:
            results[str(app)] = asdict(walked) | {"search": asdict(searched)}
    return results


@job(
    name="scraping.close_interrupted_sessions",
    queue="cleanup",
    soft_time_limit=50,
    time_limit=60,
    history_days=1,
)
def close_interrupted_sessions() -> int:
    """End the running sessions whose process died; return how many there were.

    Also summarises ended batches that have no summary because a process died.
    """
    closed = lifecycle.close_interrupted()
    batches.settle()
    return closed


@job(
    name="scraping.probe_subreddits",
    queue="scraping",
    title="Ask whether closed subreddits can be read again",
    soft_time_limit=240,
    time_limit=280,
    lock="probe-subreddits",
    history_days=1,
)
def probe_subreddits() -> dict[str, int]:
    """Ask Reddit about the watched subreddits that cannot be read, each when its pause is over.

    Returns how many were asked about, and how many of them can be read again.
    """
    return availability.probe_watched()


@job(
    name="scraping.delete_old_sessions",
    queue="cleanup",
    title="Delete old sessions",
    category="housekeeping",
    soft_time_limit=3600,
    time_limit=3660,
    lock="delete-old-sessions",
)
def delete_old_sessions() -> int:
    """Delete the sessions that are older than SESSION_RETENTION_DAYS; return how many there were."""
    return retention.delete_old_sessions()


@job(
    name="scraping.delete_old_content",
    queue="cleanup",
    title="Delete old posts and comments",
    category="housekeeping",
    soft_time_limit=6 * 3600,
    time_limit=6 * 3600 + 60,
    lock="delete-old-content",
)
def delete_old_content() -> dict[str, int]:
    """Delete content older than CONTENT_RETENTION_DAYS, or than its bots keep it if that is longer.

    Returns how many posts, comments and other rows were deleted.
    """
    return asdict(retention.delete_old_content())


@job(
    name="scraping.start_overdue_bots",
    queue="cleanup",
    title="Start bots that have read nothing for too long",
    soft_time_limit=240,
    time_limit=280,
    lock="start-overdue-bots",
)
def start_overdue_bots() -> list[str]:
    """Start bots on schedule whose last good session is two intervals or firings old; return their names."""
    return overdue.start()


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
    """Refresh and verify the stored items whose check is due; purge the items that are gone.

    Returns the counts. The next run makes the checks that this run does not reach.
    """
    return asdict(recheck.check_items())


@job(name="scraping.enrol_items", queue="cleanup", title="Plan checks of all stored items")
def enrol_items() -> int:
    """Plan a check for every stored item that has none; return how many were planned."""
    return check_plan.enrol_new(now=timezone.now(), everything=True)


@worker_process_shutdown.connect(dispatch_uid="scraping.close_clients")
def close_clients(**kwargs: Any) -> None:
    """Close the connections to Reddit that a worker's process has kept open."""
    clients.close_all()


@worker_ready.connect(dispatch_uid="scraping.close_interrupted_sessions")
def close_interrupted_sessions_at_start(**kwargs: Any) -> None:
    """End the sessions that a dead worker left running, as soon as a new worker is up."""
    lifecycle.close_interrupted()
