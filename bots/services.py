"""Changes to bots, with their consequences; the admin, API, commands and signals call these."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.dispatch import Signal
from django.utils.translation import gettext as _
from django.utils.translation import override

from accounts.models import User
from bots import pauses
from bots.models import BotConfig
from jobs.models import Batch
from jobs.runs import batches
from jobs.runs import requests as runs
from jobs.runs.requests import RunRequest
from jobs.schedules import services as schedules
from jobs.schedules.services import ScheduleChanges, ScheduleSpec

# A name and not an import: `scraping` imports `bots`, and never the other way round.
SCRAPE_TASK = "scraping.scrape_bot"
SCRAPE_QUEUE = "scraping"
# Every bot's schedule has this prefix, and no other schedule has it.
SCHEDULE_PREFIX = "scrape-bot-"

# Sent with `batch` and `by` (a user or None) in the transaction that records a batch of bots.
batch_requested = Signal()

# Sent with `bots`, a sequence that a page is about to show. A receiver sets the attribute
# `freshness` on each bot, and the page reads it.
bots_listed = Signal()

# How many bots the name of a batch lists.
NAMED_BOTS = 3

# How many bots are in memory at a time when all are compared with their schedules.
CHUNK = 2_000


class BotInactive(Exception):
    """An inactive bot was asked to run."""

    def __init__(self, bot: BotConfig) -> None:
        super().__init__(
            _("The bot “%(name)s” is inactive. Activate the bot before you run it.")
            % {"name": bot.name}
        )


@dataclass(frozen=True)
class BatchOfBots:
    """A requested batch, and the inactive bots that it leaves out."""

    batch: Batch
    inactive: list[BotConfig]


def schedule_name(bot_id: int) -> str:
    """Return the name of a bot's `PeriodicTask`; the name links the two."""
    return f"{SCHEDULE_PREFIX}{bot_id}"


def bot_id_of(schedule: str) -> int | None:
    """Return the id of the bot to which a schedule of this name belongs, or None."""
    number = schedule.removeprefix(SCHEDULE_PREFIX)
    return int(number) if schedule.startswith(SCHEDULE_PREFIX) and number.isdecimal() else None


def schedule_spec(bot: BotConfig) -> ScheduleSpec:
    """Return the schedule that the bot should have."""
    on_crontab = bot.schedule == BotConfig.Schedule.CRONTAB
    # The row keeps one text for all readers: `reconcile` must not find another in their language.
    with override(settings.LANGUAGE_CODE):
        description = _(
            "Bot “%(name)s”: %(subreddits)s. Edit the bot, not this schedule: the schedule follows "
            "the bot."
        ) % {"name": bot.name, "subreddits": ", ".join(f"r/{name}" for name in bot.subreddits)}
    return ScheduleSpec(
        name=schedule_name(bot.pk),
        task=SCRAPE_TASK,
        kwargs={"bot_id": bot.pk},
        queue=SCRAPE_QUEUE,
        every=None if on_crontab else bot.interval,
        crontab=bot.crontab if on_crontab else None,
        timezone=str(bot.timezone),
        enabled=bot.is_scheduled,
        description=description,
    )


def sync_schedules(bots: Iterable[BotConfig]) -> ScheduleChanges:
    """Create or correct the schedules of these bots, in the caller's transaction."""
    return schedules.upsert(schedule_spec(bot) for bot in bots)


def remove_schedules(bot_ids: Sequence[int]) -> int:
    """Remove the schedules of these bots, in the caller's transaction; return how many existed."""
    return schedules.remove([schedule_name(bot_id) for bot_id in bot_ids])


def reconcile_schedules(*, dry_run: bool = False) -> ScheduleChanges:
    """Correct every schedule that differs from its bot; touch no other schedule."""
    return schedules.reconcile(
        SCHEDULE_PREFIX,
        (schedule_spec(bot) for bot in BotConfig.objects.order_by("pk").iterator(CHUNK)),
        dry_run=dry_run,
    )


def pause(bots: QuerySet[BotConfig]) -> int:
    """Take bots off their schedules until they are resumed; return how many were on schedule."""
    return bots.filter(auto_scrape_enabled=True).update(auto_scrape_enabled=False)


def resume(bots: QuerySet[BotConfig]) -> int:
    """Put active bots back on their schedules, also bots paused for failures; return how many."""
    off = Q(auto_scrape_enabled=False) | Q(paused_at__isnull=False)
    return bots.filter(off, is_active=True).update(auto_scrape_enabled=True, **pauses.CLEAR)


def run_now(bot: BotConfig, *, trigger: str = "manual") -> RunRequest:
    """Request a run of the bot outside its schedule; raise `BotInactive` for an inactive bot."""
    if not bot.is_active:
        raise BotInactive(bot)
    return runs.request_run(
        SCRAPE_TASK, {"bot_id": bot.pk, "trigger": trigger}, queue=SCRAPE_QUEUE, trigger=trigger
    )


def run_batch(bots: Iterable[BotConfig], *, by: User | None = None) -> BatchOfBots:
    """Request one run of each of these bots, as one batch with one end.

    The result names inactive bots, which get no run. Raises ValueError if no bot is active.
    """
    chosen = list(bots)
    active = [bot for bot in chosen if bot.is_active]
    if not active:
        raise ValueError(
            _("A batch needs at least one active bot. Activate a selected bot, or select others.")
        )
    names = ", ".join(bot.name for bot in active[:NAMED_BOTS])
    more = len(active) - NAMED_BOTS
    if more > 0:
        names = _("%(names)s and %(count)d more") % {"names": names, "count": more}
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
        batch = batches.run_batch(requests, name=names[: Batch._meta.get_field("name").max_length])
        batch_requested.send(sender=BotConfig, batch=batch, by=by)
    return BatchOfBots(batch=batch, inactive=[bot for bot in chosen if not bot.is_active])
