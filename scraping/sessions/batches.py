"""Batches of bots: run several bots together, with one summary of all their sessions at the end.

`jobs.runs.batches` handles the runs and their end. This module adds the batch's owner and summary. The
comment trees that a session requests afterwards are read outside the batch.
"""

import logging
from collections import Counter
from collections.abc import Iterable
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts.models import User
from bots import services as bot_services
from bots.models import BotConfig
from bots.services import BatchOfBots
from jobs.models import Batch, BatchRun
from jobs.runs.batches import cancel_batch
from scraping.models import ScrapeBatch, ScrapeSession
from scraping.sessions import lifecycle
from scraping.sessions.counts import in_words

logger = logging.getLogger(__name__)

TOLD = ("posts_seen", "comments_seen", "new", "matched", "requests")
ADDED_UP = ("posts_seen", "comments_seen", "new", "updated", "matched", "requests")


def scrape_batch(bots: Iterable[BotConfig], *, by: User | None = None) -> BatchOfBots:
    """Request one session of each of these bots, as one batch.

    Inactive bots are left out and reported. Raises ValueError when no bot is left.
    """
    return bot_services.run_batch(bots, by=by)


def record(batch: Batch, *, owner: User | None) -> ScrapeBatch:
    """Record the owner of a batch."""
    return ScrapeBatch.objects.create(batch=batch, owner=owner)


def cancel(batch: ScrapeBatch, *, by: object) -> tuple[int, int]:
    """Cancel all sessions of a batch that have not ended; return how many waited, and how many ran.

    The caller checks the permission.
    """
    return cancel_batch(batch.pk, reason=f"Cancelled by {by}.")


def sessions_of(batch_id: int) -> QuerySet[ScrapeSession]:
    """Return the sessions of a batch, in the order in which they were requested."""
    members = BatchRun.objects.filter(batch=batch_id).values("task_id")
    return ScrapeSession.objects.filter(task_id__in=members).order_by("queued_at", "pk")


def summarise(batch_id: int) -> bool:
    """Write the summary of a batch if all its runs have ended; return whether this call wrote it.

    The summary counts the sessions by status, and adds up the counts of all sessions. If a run was
    interrupted and began again, only the status of its last session counts.
    """
    waiting = ScrapeBatch.objects.filter(pk=batch_id, summary__isnull=True)
    if not waiting.exclude(batch__status=Batch.Status.RUNNING).exists():
        return False
    lifecycle.close_interrupted()  # a session whose worker died counts as interrupted
    last: dict[str, str] = {}
    counts: Counter[str] = Counter(dict.fromkeys(ADDED_UP, 0))
    for session in sessions_of(batch_id):
        last[session.task_id] = session.status
        for name in ADDED_UP:
            counts[name] += getattr(session, name)
    summary: dict[str, Any] = {"sessions": dict(Counter(last.values())), **counts}
    if not waiting.update(summary=summary):
        return False
    logger.info("Batch %s of sessions has ended: %s", batch_id, summary)
    return True


def settle() -> int:
    """Summarise ended batches that have no summary because a process died; return how many."""
    ended = ScrapeBatch.objects.filter(summary__isnull=True).exclude(
        batch__status=Batch.Status.RUNNING
    )
    return sum(summarise(batch_id) for batch_id in ended.values_list("pk", flat=True))


def told(summary: dict[str, Any]) -> str:
    """Return a summary in one line."""
    ends = ", ".join(
        _("%(number)d %(status)s")
        % {"number": number, "status": str(ScrapeSession.Status(status).label).lower()}
        for status, number in sorted(summary["sessions"].items())
    )
    return f"{ends or _('no session')}; {in_words({name: summary[name] for name in TOLD})}"
