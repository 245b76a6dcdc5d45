"""Run sessions: the functions that tasks, commands and the admin call."""

import uuid
from datetime import timedelta
from functools import partial

from django.utils import timezone

from bots import refusals
from bots.models import BotConfig, RedditApp
from jobs import locks
from jobs.runs import execution
from jobs.runs import requests as runs
from jobs.runs.requests import RunRequest
from scraping.budget.app_budget import AppBudget, Lane
from scraping.collecting.collector import Collector, Plan, Progress
from scraping.collecting.page_store import OnProgress
from scraping.models import ScrapeSession
from scraping.planning import early_reads
from scraping.planning.demand import demands
from scraping.planning.freshness import longest_between_reads
from scraping.reddit.client import RedditClient
from scraping.sessions import frame, lifecycle
from scraping.sessions.frame import ignore
from scraping.threads import due_threads
from scraping.threads.thread_reader import ThreadReader

Status = ScrapeSession.Status
NAME_LENGTH = ScrapeSession._meta.get_field("bot_name").max_length

# The lane of a session's requests, by its trigger; the lane for every other trigger is manual.
LANES = {
    ScrapeSession.Trigger.SCHEDULE: Lane.FRESH,
    ScrapeSession.Trigger.OVERDUE: Lane.FRESH,
    ScrapeSession.Trigger.BACKFILL: Lane.BACKFILL,
}


class SessionSkipped(Exception):
    """The run has nothing to do; the message says why."""


def scrape_bot(
    bot_id: int,
    *,
    trigger: str,
    task_id: str = "",
    item_limit: int | None = None,
    on_progress: OnProgress = ignore,
) -> ScrapeSession:
    """Run one session of the bot in this process, under its lock, and return it as it ended.

    Raises `SessionSkipped` when another process scrapes the bot, and whenever `scrape_locked_bot` does.
    """
    try:
        with locks.hold(lifecycle.lock_key(bot_id)):
            return scrape_locked_bot(
                bot_id,
                trigger=trigger,
                task_id=task_id,
                item_limit=item_limit,
                on_progress=on_progress,
            )
    except locks.LockHeld as held:
        lifecycle.cancel_queued(task_id, reason=str(held))
        raise SessionSkipped(str(held)) from held


def scrape_locked_bot(
    bot_id: int,
    *,
    trigger: str,
    task_id: str = "",
    item_limit: int | None = None,
    on_progress: OnProgress = ignore,
) -> ScrapeSession:
    """Run one session of the bot, whose lock the caller holds, and return it as it ended.

    If the app has no budget in time, the session ends, and `continues_at` says when its bot should run
    again. Only one session of a bot at a time has a `continues_at` in the future.

    Raises `SessionSkipped` when the bot is gone or inactive, when this run has had its session, or
    when Reddit refuses the bot's app. An error of Reddit's is recorded in the session and not raised.
    A bug ends the session as failed and is raised.
    """
    bot = _startable_bot(bot_id, task_id)
    session = lifecycle.start(bot, trigger=trigger, task_id=task_id)
    if session is None:
        raise SessionSkipped(f"run {task_id} has had its session")
    insist = trigger != ScrapeSession.Trigger.SCHEDULE
    plan = Plan.of(bot, item_limit=item_limit, insist=insist)
    _collect(session, plan, bot.reddit_app, on_progress)
    return session


def _startable_bot(bot_id: int, task_id: str) -> BotConfig:
    """Return the bot if it may ask Reddit; else cancel its queued session and raise `SessionSkipped`."""
    bot = BotConfig.objects.select_related("reddit_app").filter(pk=bot_id).first()
    if bot is None or not bot.is_active:
        reason = (
            f"bot {bot_id} does not exist any more"
            if bot is None
            else f"bot “{bot}” is inactive: activate the bot"
        )
        lifecycle.cancel_queued(task_id, reason=reason)
        raise SessionSkipped(reason)
    if not refusals.may_try(bot.reddit_app):
        reason = (
            f"Reddit refuses the app “{bot.reddit_app}”: {bot.reddit_app.refusal} "
            "Correct the credentials of the app."
        )
        lifecycle.cancel_queued(task_id, reason=reason)
        raise SessionSkipped(reason)
    return bot


def request_threads(bot_id: int, *, trigger: str) -> RunRequest | None:
    """Request a run that reads the bot's due comment trees, unless such a session waits or runs.

    Returns None when no run was requested. Called after each of the bot's sessions.
    """
    bot = BotConfig.objects.filter(pk=bot_id, is_active=True).first()
    under_way = ScrapeSession.objects.filter(
        bot=bot_id, kind=ScrapeSession.Kind.THREADS, status__in=(Status.QUEUED, Status.RUNNING)
    )
    if bot is None or not due_threads.anything_due(bot) or under_way.exists():
        return None
    return runs.request_run(
        lifecycle.THREADS_TASK, {"bot_id": bot_id, "trigger": trigger}, trigger=trigger
    )


def read_threads(
    bot_id: int, *, trigger: str, task_id: str = "", on_progress: OnProgress = ignore
) -> ScrapeSession:
    """Read the bot's due comment trees in this process, under its lock, in a session of their own.

    Raises `SessionSkipped` when another process reads them, and whenever `read_locked_threads` does.
    """
    try:
        with locks.hold(lifecycle.lock_key(bot_id, ScrapeSession.Kind.THREADS)):
            return read_locked_threads(
                bot_id, trigger=trigger, task_id=task_id, on_progress=on_progress
            )
    except locks.LockHeld as held:
        lifecycle.cancel_queued(task_id, reason=str(held))
        raise SessionSkipped(str(held)) from held


def read_locked_threads(
    bot_id: int, *, trigger: str, task_id: str = "", on_progress: OnProgress = ignore
) -> ScrapeSession:
    """Read the bot's due comment trees; the caller holds the bot's lock for threads.

    Raises `SessionSkipped` for the same reasons as `scrape_locked_bot`.
    """
    bot = _startable_bot(bot_id, task_id)
    session = lifecycle.start(
        bot, trigger=trigger, task_id=task_id, kind=ScrapeSession.Kind.THREADS
    )
    if session is None:
        raise SessionSkipped(f"run {task_id} has had its session")

    def work(client: RedditClient, progress: Progress, after_page: OnProgress) -> None:
        ThreadReader(bot, client, on_progress=after_page, progress=progress).run()

    frame.run(session, bot.reddit_app, work, lane=Lane.REFRESH, on_progress=on_progress)
    return session


def scrape_subreddits(
    app: RedditApp, plan: Plan, *, on_progress: OnProgress = ignore
) -> ScrapeSession:
    """Run one session over the subreddits of a plan, without a bot, and return it as it ended."""
    lock = f"scrape-subreddits:{uuid.uuid4()}"
    with locks.hold(lock):
        name = ", ".join(f"r/{name}" for name in plan.subreddits)[:NAME_LENGTH]
        session = lifecycle.start_without_bot(
            name, trigger=ScrapeSession.Trigger.COMMAND, lock=lock
        )
        _collect(session, plan, app, on_progress)
        return session


def read_early(app_id: int) -> ScrapeSession:
    """Read the app's overflowing streams in a session without a bot, and return it as it ended.

    Raises `SessionSkipped` when there are no such streams, when the app is gone, or when Reddit
    refuses the app.
    """
    app = RedditApp.objects.filter(pk=app_id).first()
    if app is None:
        raise SessionSkipped(f"app {app_id} does not exist any more")
    if app.is_refused:
        raise SessionSkipped(
            f"Reddit refuses the app “{app}”: {app.refusal} Correct the credentials of the app."
        )
    streams = early_reads.overflowing_streams(app)
    if not streams:
        raise SessionSkipped(f"no stream of the app “{app}” is about to overflow")
    names = tuple(dict.fromkeys(stream.subreddit.name for stream in streams))
    plan = Plan(
        names,
        comments=True,
        # The session reads only streams past their `poll_by`; streams that fall due soon ride along.
        freshness=timedelta.max,
        only=frozenset((stream.subreddit.name.lower(), stream.kind) for stream in streams),
    )
    lock = f"read-early:session:{uuid.uuid4()}"
    with locks.hold(lock):
        session = lifecycle.start_without_bot(
            f"Early reads of {app}"[:NAME_LENGTH],
            trigger=ScrapeSession.Trigger.SCHEDULE,
            lock=lock,
        )
        _collect(session, plan, app, ignore)
        return session


def preview(app: RedditApp, plan: Plan, *, on_progress: OnProgress = ignore) -> Progress:
    """Read what a session would read, and store nothing.

    Raises `RedditError` if Reddit refuses the app or the app's budget is spent.
    """
    budget = AppBudget(app, lane=Lane.MANUAL, name="a dry run")
    progress = Progress()
    with frame.counted_client(app, budget, progress, on_progress) as (client, after_page):
        Collector(plan, client, on_progress=after_page, dry_run=True, progress=progress).run()
    return progress


def _collect(session: ScrapeSession, plan: Plan, app: RedditApp, on_progress: OnProgress) -> None:
    def work(client: RedditClient, progress: Progress, after_page: OnProgress) -> None:
        collector = Collector(
            plan,
            client,
            on_progress=after_page,
            progress=progress,
            others=partial(demands, app),
            name=f"streams of session {session.pk}",
        )
        try:
            collector.run()
        finally:
            # This may be the first query after the connection broke, so it waits for the database.
            session.freshness_seconds = execution.patiently(
                lambda: longest_between_reads(
                    plan.streams, now=timezone.now(), since=session.started_at or session.queued_at
                ),
                seconds=lifecycle.END_PATIENCE_SECONDS,
            )

    lane = LANES.get(ScrapeSession.Trigger(session.trigger), Lane.MANUAL)
    frame.run(session, app, work, lane=lane, on_progress=on_progress)
