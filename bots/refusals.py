"""Refusals: an app whose credentials Reddit rejects logs one message and stops its requests."""

import logging
from datetime import timedelta

from django.db.models import Q, QuerySet
from django.utils import timezone

from bots.models import RedditApp

logger = logging.getLogger(__name__)

# One session per pause may try again: an outage at Reddit can look like a refusal.
RETRY_PAUSE = timedelta(minutes=15)
REFUSAL_LENGTH = RedditApp._meta.get_field("refusal").max_length


def refuse(app: RedditApp, reason: str) -> bool:
    """Stop the app's bots until its credentials change; return False if they were already stopped.

    Only the first refusal of the same credentials is logged, however many sessions see one.
    """
    now = timezone.now()
    fingerprint = app.fingerprint
    first = (
        RedditApp.objects.filter(pk=app.pk)
        .filter(Q(refused_at=None) | ~Q(refused_credentials=fingerprint))
        .update(
            refusal=reason[:REFUSAL_LENGTH],
            refused_at=now,
            refused_credentials=fingerprint,
            next_try_at=now + RETRY_PAUSE,
        )
    )
    if first:
        logger.error(
            "Reddit refuses the app “%s”: %s Its bots wait until its credentials are changed.",
            app,
            reason,
        )
    return bool(first)


def may_try(app: RedditApp) -> bool:
    """Return whether a session of the app may ask Reddit now.

    A refused app gets one session per RETRY_PAUSE, counted over all machines.
    """
    if not app.is_refused:
        return True
    now = timezone.now()
    due = RedditApp.objects.filter(pk=app.pk, next_try_at__lte=now)
    return bool(due.update(next_try_at=now + RETRY_PAUSE))


def accept(apps: QuerySet[RedditApp]) -> int:
    """Let the bots of these apps ask Reddit again; return how many apps were refused."""
    return apps.exclude(refused_at=None).update(
        refusal="", refused_at=None, refused_credentials="", next_try_at=None
    )
