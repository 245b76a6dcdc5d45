"""Start overdue bots: bots on schedule that have read nothing for too long, for whatever reason."""

import logging
from collections.abc import Iterator
from datetime import datetime
from itertools import islice

from celery import states
from django.db.models import Q
from django.utils import timezone
from django_celery_results.models import TaskResult

from bots import services
from bots.models import BotConfig
from jobs.schedules import services as schedules
from scraping.models import ScrapeSession

logger = logging.getLogger(__name__)

Status = ScrapeSession.Status

GOOD = (Status.COMPLETED, Status.PARTIAL)
ALIVE = (states.PENDING, states.STARTED, states.RETRY)


def start(*, now: datetime | None = None) -> list[str]:
    """Request a session of each bot on schedule whose last good session is older than two intervals.

    For a crontab, two firings must have passed. A bot is not started if it is paused or inactive, if
    Reddit refuses its app, or if it has a session that runs, waits, or will continue later. Returns
    the names of the bots that were started.
    """
    now = now or timezone.now()
    started = []
    for bot, good_at in _overdue(now):
        services.run_now(bot, trigger=ScrapeSession.Trigger.OVERDUE)
        last = f"ended at {good_at:%Y-%m-%d %H:%M}" if good_at else "has yet to be"
        logger.warning("Bot %s is started: its last good session %s", bot, last)
        started.append(bot.name)
    return started


def _overdue(now: datetime) -> Iterator[tuple[BotConfig, datetime | None]]:
    bots = BotConfig.objects.scheduled().select_related("reddit_app").order_by("pk")
    busy = _busy(now)
    for bot in bots:
        good_at = _last_good(bot)
        due_at = _due_at(bot, good_at or bot.created_at)
        late = due_at is not None and due_at < now
        if late and bot.pk not in busy and not bot.reddit_app.is_refused:
            yield bot, good_at


def _last_good(bot: BotConfig) -> datetime | None:
    if bot.last_session_status in GOOD:
        return bot.last_session_at
    return bot.last_success_at


def _busy(now: datetime) -> set[int | None]:
    """Return the ids of the bots with a session that runs, waits, or will continue later."""
    under_way = Q(status__in=[Status.QUEUED, Status.RUNNING]) | Q(continues_at__gt=now)
    busy: set[int | None] = set(
        ScrapeSession.objects.filter(under_way).values_list("bot", flat=True)
    )
    # A run that the beat has recorded has no session until a worker begins it.
    runs = TaskResult.objects.filter(task_name=services.SCRAPE_TASK, status__in=ALIVE)
    names = runs.exclude(periodic_task_name=None).values_list("periodic_task_name", flat=True)
    return busy | {services.bot_id_of(name) for name in names if name is not None}


def _due_at(bot: BotConfig, since: datetime) -> datetime | None:
    """Return the moment two intervals after `since`, or the second firing of the crontab after it.

    None if the crontab does not fire so often.
    """
    if bot.schedule == BotConfig.Schedule.INTERVAL:
        return since + 2 * bot.interval
    fires = schedules.firings(bot.crontab, str(bot.timezone), after=since)
    return next(islice(fires, 1, None), None)
