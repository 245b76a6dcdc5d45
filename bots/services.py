"""What changes bots and what follows from it. Admin, API, commands and signals all come through here."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Q, QuerySet
from django.dispatch import Signal

from accounts.models import User
from bots import pauses
from bots.models import BotConfig
from jobs.models import Batch
from jobs.runs import batches
from jobs.runs import requests as runs
from jobs.runs.requests import RunRequest
from jobs.schedules import services as schedules
from jobs.schedules.services import ScheduleChanges, ScheduleSpec

# By name, because the arrow of imports points the other way.
SCRAPE_TASK = "scraping.scrape_bot"
SCRAPE_QUEUE = "scraping"
# Every schedule of this prefix belongs to a bot, no other does.
SCHEDULE_PREFIX = "scrape-bot-"

# Sent with `batch` and `by` (a user or None) in the transaction that records a batch of bots.
batch_requested = Signal()

# Sent with `bots`, a sequence that a page is about to show. A receiver sets attributes on them that
# the page knows by name: `freshness`.
bots_listed = Signal()

# Bots of a batch that its name tells.
NAMED_BOTS = 3

# Bots held in memory at a time when all are compared with their schedules.
CHUNK = 2_000


class BotInactive(Exception):
    """An inactive bot was asked to run."""

    def __init__(self, bot: BotConfig) -> None:
        super().__init__(f"Bot “{bot.name}” is inactive: activate it before it can run.")


@dataclass(frozen=True)
class BatchOfBots:
    """A batch that was asked for, and the bots that are not in it because they are inactive."""

    batch: Batch
    inactive: list[BotConfig]


def schedule_name(bot_id: int) -> str:
    """The name of a bot's `PeriodicTask`, by which the two find each other."""
    return f"{SCHEDULE_PREFIX}{bot_id}"


def bot_id_of(schedule: str) -> int | None:
    """The bot that a schedule of this name belongs to, or None for a schedule that is not a bot's."""
    number = schedule.removeprefix(SCHEDULE_PREFIX)
    return int(number) if schedule.startswith(SCHEDULE_PREFIX) and number.isdecimal() else None


def schedule_spec(bot: BotConfig) -> ScheduleSpec:
    """What the bot's schedule should be."""
    on_crontab = bot.schedule == BotConfig.Schedule.CRONTAB
    return ScheduleSpec(
        name=schedule_name(bot.pk),
        task=SCRAPE_TASK,
        kwargs={"bot_id": bot.pk},
        queue=SCRAPE_QUEUE,
        every=None if on_crontab else bot.interval,
        crontab=bot.crontab if on_crontab else None,
        timezone=str(bot.timezone),
        enabled=bot.is_scheduled,
        description=f"Bot “{bot.name}”: {', '.join(f'r/{name}' for name in bot.subreddits)}. "
        "Follows the bot: edit the bot, not this schedule.",
    )


def sync_schedules(bots: Iterable[BotConfig]) -> ScheduleChanges:
    """Create or correct the schedules of these bots, in the caller's transaction."""
    return schedules.upsert(schedule_spec(bot) for bot in bots)


def remove_schedules(bot_ids: Sequence[int]) -> int:
    """Remove the schedules of these bots, in the caller's transaction; return how many there were."""
    return schedules.remove([schedule_name(bot_id) for bot_id in bot_ids])


def reconcile_schedules(*, dry_run: bool = False) -> ScheduleChanges:
    """Heal any drift between bots and their schedules; touch no schedule that is not a bot's."""
    return schedules.reconcile(
        SCHEDULE_PREFIX,
        (schedule_spec(bot) for bot in BotConfig.objects.order_by("pk").iterator(CHUNK)),
        dry_run=dry_run,
    )


def pause(bots: QuerySet[BotConfig]) -> int:
    """Take bots off their schedules until they are resumed; return how many were on."""
    return bots.filter(auto_scrape_enabled=True).update(auto_scrape_enabled=False)


def resume(bots: QuerySet[BotConfig]) -> int:
    """Put active bots on their schedules, those that were paused for failing too; return how many."""
    off = Q(auto_scrape_enabled=False) | Q(paused_at__isnull=False)
    return bots.filter(off, is_active=True).update(auto_scrape_enabled=True, **pauses.CLEAR)


def run_now(bot: BotConfig, *, trigger: str = "manual") -> RunRequest:
    """Request a run of the bot outside its schedule; raise `BotInactive` for one that is off."""
    if not bot.is_active:
        raise BotInactive(bot)
    return runs.request_run(
        SCRAPE_TASK, {"bot_id": bot.pk, "trigger": trigger}, queue=SCRAPE_QUEUE, trigger=trigger
    )


def run_batch(bots: Iterable[BotConfig], *, by: User | None = None) -> BatchOfBots:
    """Request one run of each of these bots, as one batch with one end.

    Inactive bots are left out, and told. Raises ValueError when none is left.
    """
    chosen = list(bots)
    active = [bot for bot in chosen if bot.is_active]
    if not active:
        raise ValueError("A batch needs at least one active bot. Activate those that are to run.")
    names = ", ".join(bot.name for bot in active[:NAMED_BOTS])
    more = len(active) - NAMED_BOTS
    name = f"{names} and {more} more" if more > 0 else names
    requests = [
        RunRequest(
            task=SCRAPE_TASK,
            kwargs={"bot_id": bot.pk, "trigger": "batch"},
            queue=SCRAPE_QUEUE,
            trigger="batch",
        )
        for bot in active
    ]
    with transaction.atomic():
        batch = batches.run_batch(requests, name=name[: Batch._meta.get_field("name").max_length])
        batch_requested.send(sender=BotConfig, batch=batch, by=by)
    return BatchOfBots(batch=batch, inactive=[bot for bot in chosen if not bot.is_active])
