"""A bot's session from its request to its end: what tasks, commands and the admin call."""

import logging
from collections.abc import Callable
from dataclasses import asdict, replace

from celery.exceptions import SoftTimeLimitExceeded

from bots.models import BotConfig
from jobs import locks
from scraping import sessions
from scraping.collection import Collector, Plan, Progress, client_for
from scraping.models import ScrapeSession
from scraping.reddit.errors import RedditError

Status = ScrapeSession.Status

logger = logging.getLogger(__name__)


class SessionSkipped(Exception):
    """A run that has nothing to do; the message says why."""


def scrape_bot(
    bot_id: int,
    *,
    trigger: str,
    task_id: str = "",
    item_limit: int | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> ScrapeSession:
    """Run one session of the bot in this process and return it as it ended.

    Raises `SessionSkipped` when the bot is gone or inactive, is being scraped by another process,
    or has had its session for this run. What goes wrong with Reddit is the session's to tell and
    raises nothing; a bug ends the session as failed and is raised.
    """
    bot = BotConfig.objects.select_related("reddit_app").filter(pk=bot_id).first()
    if bot is None or not bot.is_active:
        reason = (
            f"bot {bot_id} does not exist any more" if bot is None else f"bot “{bot}” is inactive"
        )
        sessions.cancel_queued(task_id, reason=reason)
        raise SessionSkipped(reason)
    try:
        with locks.hold(sessions.lock_key(bot_id)):
            session = sessions.start(bot, trigger=trigger, task_id=task_id)
            if session is None:
                raise SessionSkipped(f"run {task_id} has had its session")
            _collect(bot, session, item_limit, on_progress)
            return session
    except locks.LockHeld as held:
        sessions.cancel_queued(task_id, reason=str(held))
        raise SessionSkipped(str(held)) from held


def _collect(
    bot: BotConfig,
    session: ScrapeSession,
    item_limit: int | None,
    on_progress: Callable[[Progress], None],
) -> None:
    plan = Plan.of(bot)
    if item_limit is not None:
        plan = replace(plan, item_limit=item_limit)
    client = client_for(bot.reddit_app)
    collector = Collector(plan, client, on_progress=on_progress)
    try:
        collector.run()
        _finish(session, collector.progress, sessions.status_of(collector.progress.outcomes))
    except RedditError as error:
        status = sessions.status_of(collector.progress.outcomes)
        _finish(session, collector.progress, status, error=str(error))
    except SoftTimeLimitExceeded:
        _finish(
            session,
            collector.progress,
            Status.PARTIAL,
            error="The time limit of the task was reached.",
        )
    except BaseException as error:
        _finish(
            session, collector.progress, Status.FAILED, error=f"{type(error).__name__}: {error}"
        )
        raise
    finally:
        client.close()


def _finish(session: ScrapeSession, progress: Progress, status: str, *, error: str = "") -> None:
    for name, value in asdict(progress).items():
        setattr(session, name, value)
    sessions.finish(session, status, error=error)
    logger.info("Session of bot %s %s: %s", session.bot_name, status, sessions.summary(session))
