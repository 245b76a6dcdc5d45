"""Pauses of bots that fail again and again, with the reason for the operator.

Only a session that failed because of its bot counts. An outage at Reddit, a spent budget, refused
credentials and a stopped or dead worker do not count, and they do not reset the count. A session
that reads anything resets the count and ends a pause.
"""

import logging
from collections.abc import Iterable

from django.conf import settings
from django.db.models import F, Q, QuerySet
from django.utils import timezone
from django.utils.translation import ngettext

from bots.models import BotConfig

logger = logging.getLogger(__name__)

REASON_LENGTH = BotConfig._meta.get_field("pause_reason").max_length

# The columns of a bot without failures and without a pause.
CLEAR = {"failures_in_a_row": 0, "paused_at": None, "pause_cause": "", "pause_reason": ""}


def session_failed(bot_id: int, *, cause: str, reason: str) -> bool:
    """Count a failed session of the bot; pause the bot at BOT_FAILURE_LIMIT.

    `cause` is a `BotConfig.PauseCause`. Returns whether this call paused the bot: of several
    simultaneous calls only one returns True.
    """
    bots = BotConfig.objects.filter(pk=bot_id)
    bots.update(failures_in_a_row=F("failures_in_a_row") + 1)
    failing = bots.filter(paused_at=None, failures_in_a_row__gte=settings.BOT_FAILURE_LIMIT).first()
    if failing is None:
        return False
    failures = failing.failures_in_a_row
    told = ngettext(
        "%(count)d session failed: %(reason)s",
        "%(count)d sessions in a row failed: %(reason)s",
        failures,
    ) % {"count": failures, "reason": reason}
    paused = bots.filter(paused_at=None).update(
        paused_at=timezone.now(), pause_cause=cause, pause_reason=told[:REASON_LENGTH]
    )
    if paused:
        logger.warning("Bot %s is paused: %s", failing, told)
    return bool(paused)


def session_succeeded(bot_id: int) -> bool:
    """Reset the bot's count of failures; return whether this ended a pause."""
    bots = BotConfig.objects.filter(pk=bot_id)
    ended = clear(bots.exclude(paused_at=None))
    if ended:
        logger.info("Bot %s runs on schedule again: a session has read something", bot_id)
    else:
        bots.exclude(failures_in_a_row=0).update(failures_in_a_row=0)
    return bool(ended)


def subreddits_opened(names: Iterable[str]) -> int:
    """End the pauses of bots that could read none of their subreddits and watch one of these.

    `names` are subreddits that can be read now. Returns how many pauses ended.
    """
    opened = {name.lower() for name in names}
    paused = BotConfig.objects.filter(pause_cause=BotConfig.PauseCause.CLOSED)
    watching = [
        key
        for key, watched in paused.values_list("pk", "subreddits")
        if not opened.isdisjoint(name.lower() for name in watched)
    ]
    return clear(paused.filter(pk__in=watching)) if watching else 0


def clear(bots: QuerySet[BotConfig]) -> int:
    """End the pauses of these bots and reset their counts; return how many bots had failed."""
    return bots.filter(~Q(failures_in_a_row=0) | Q(paused_at__isnull=False)).update(**CLEAR)
