"""The comment trees of the posts that bots with `threads` have matched: which are read, and when.

A tree is read when the post's reported number of comments and that of the stored ones differ by at
least one, and by at least 5 % of the reported ones. Reddit counts removed comments, too, so the two
need never meet: what the last whole walk could not get is taken off first. Counts are compared, a
hundred posts a request, after a quarter of the post's age, at least 10 minutes and at most 12
hours, until it is as old as THREADS_FOLLOW_HOURS; an older one is read once.

Trees are read in runs of their own, in the lane `refresh`: neither holds up listings, and a bot
that finds much is not late with what comes next.
"""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from bots.models import BotConfig
from scraping.models import BotItem, CommentThread

# What differs less is not worth the requests.
LEAST_MISSING = 1
LEAST_MISSING_PERCENT = 5

SHORTEST_PAUSE = timedelta(minutes=10)
LONGEST_PAUSE = timedelta(hours=12)
# The part of its age after which a thread is looked at again.
PAUSE_SHARE = 4
# What one session looks at.
MOST_THREADS = 300

ENLIST = """
INSERT INTO scraping_commentthread
    (fullname, look_at, failures, walk_requests, walk_reported, walk_lost, read_missing)
SELECT i.fullname,
       CASE WHEN p.num_comments = 0 AND p.first_seen_at > %(now)s - %(pause)s
            THEN %(now)s + %(pause)s ELSE %(now)s END,
       0, 0, 0, 0, 0
FROM scraping_botitem i JOIN scraping_redditpost p USING (fullname)
WHERE i.bot_id = %(bot)s AND p.created_at >= %(since)s
  AND NOT EXISTS (SELECT FROM scraping_commentthread t WHERE t.fullname = i.fullname)
ORDER BY p.created_at DESC LIMIT %(limit)s
ON CONFLICT (fullname) DO NOTHING
"""


def follow_for() -> timedelta:
    """The age up to which threads are looked at again."""
    return timedelta(hours=settings.THREADS_FOLLOW_HOURS)


def next_look(created_at: datetime, now: datetime) -> datetime | None:
    """When to compare the counts of a post again, or None when it is too old."""
    end = created_at + follow_for()
    if now >= end:
        return None
    pause = min(max((now - created_at) / PAUSE_SHARE, SHORTEST_PAUSE), LONGEST_PAUSE)
    # The last look is at the end, so that what came late is not left out.
    return min(now + pause, max(end, now + SHORTEST_PAUSE))


def worth_reading(*, reported: int, stored: int, unreadable: int) -> bool:
    """Whether so many comments are missing that a walk is due."""
    missing = reported - unreadable - stored
    return missing >= LEAST_MISSING and missing * 100 >= reported * LEAST_MISSING_PERCENT


def enlist(bot: BotConfig) -> None:
    """Take note of the posts that the bot has matched and nobody has looked at.

    All of those that are young; of older ones (an import's, say) no more than a session can look
    at, the newest first, so that a large past never stands before what is new.
    """
    now = timezone.now()
    parameters: dict[str, Any] = {
        "bot": bot.pk,
        "now": now,
        "pause": SHORTEST_PAUSE,
        "since": now - follow_for(),
        "limit": None,
    }
    with connection.cursor() as cursor:
        cursor.execute(ENLIST, parameters)
        room = MOST_THREADS - due(bot)[:MOST_THREADS].count()
        if room > 0:
            # Reddit's first post is of 2005.
            cursor.execute(
                ENLIST, parameters | {"limit": room, "since": now - timedelta(days=36_500)}
            )


def due(bot: BotConfig) -> QuerySet[CommentThread]:
    """The threads of the bot's matches that are to be looked at now, the longest overdue first."""
    matched = BotItem.objects.filter(bot=bot, fullname=OuterRef("pk"))
    return CommentThread.objects.filter(Exists(matched), look_at__lte=timezone.now()).order_by(
        "look_at", "-fullname"
    )


def anything_due(bot: BotConfig) -> bool:
    """Whether the bot reads threads and has some to look at."""
    if bot.comments != BotConfig.Comments.THREADS:
        return False
    enlist(bot)
    return due(bot).exists()
