"""What the admin's pages show about collection, read in a fixed number of queries."""

from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Count, Q, Sum
from django.utils import timezone

from accounts.models import User
from accounts.ownership import owned_by
from bots.models import BotConfig
from scraping.models import Gap, ScrapeSession, Subreddit

RECENT = timedelta(hours=24)
SHOWN_SESSIONS = 10

Status = ScrapeSession.Status


@dataclass(frozen=True)
class Overview:
    """The state of collection at a glance; counts of sessions and items are of the last 24 hours."""

    scheduled: int
    paused: int
    posts: int
    comments: int
    new: int
    requests: int
    completed: int
    troubled: int
    running: int
    open_gaps: int
    unreadable: int
    sessions: list[ScrapeSession]


def overview(user: User) -> Overview:
    """Return what a user's bots did lately, and all open gaps and unreadable subreddits of all users."""
    on_schedule = Q(is_active=True, auto_scrape_enabled=True, paused_at=None)
    bots = owned_by(BotConfig.objects.all(), user).aggregate(
        scheduled=Count("pk", filter=on_schedule),
        paused=Count("pk", filter=~on_schedule),
    )
    sessions = owned_by(ScrapeSession.objects.all(), user, path="bot__owner")
    troubled = [Status.PARTIAL, Status.FAILED, Status.INTERRUPTED]
    counts = sessions.filter(queued_at__gte=timezone.now() - RECENT).aggregate(
        posts=Sum("posts_seen", default=0),
        comments=Sum("comments_seen", default=0),
        new=Sum("new", default=0),
        requests=Sum("requests", default=0),
        completed=Count("pk", filter=Q(status=Status.COMPLETED)),
        troubled=Count("pk", filter=Q(status__in=troubled)),
        running=Count("pk", filter=Q(status=Status.RUNNING)),
    )
    return Overview(
        **bots,
        **counts,
        open_gaps=Gap.objects.filter(closed_at=None).count(),
        unreadable=Subreddit.objects.unreadable().count(),
        sessions=list(sessions.select_related("bot")[:SHOWN_SESSIONS]),
    )
