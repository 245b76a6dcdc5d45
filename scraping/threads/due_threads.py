"""Which comment trees are due: the trees of posts that bots with `threads` have matched.

A tree is read when Reddit reports at least one comment more than is stored, and at least 5 % of the
reported number. Reddit also counts removed comments, so the two numbers need never agree. The number
of comments that the last whole walk could not get is therefore subtracted first.

One request compares the numbers of a hundred posts. It comes after a quarter of the post's age, at
least 10 minutes and at most 12 hours, until the post is as old as THREADS_FOLLOW_HOURS. An older post
is looked at once.

Trees are read in runs of their own, in the lane `refresh`. So they hold up no listings, and a bot that
matches many posts is not late with its next session.
"""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from bots.models import BotConfig
from scraping.models import BotItem, CommentThread

# A smaller difference is not worth the requests.
LEAST_MISSING = 1
LEAST_MISSING_PERCENT = 5

SHORTEST_PAUSE = timedelta(minutes=10)
LONGEST_PAUSE = timedelta(hours=12)
# A thread is looked at again after its age divided by this.
PAUSE_SHARE = 4
# One session looks at this many threads at most.
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
    """Return the age up to which threads are looked at again."""
    return timedelta(hours=settings.THREADS_FOLLOW_HOURS)


def next_look(created_at: datetime, now: datetime) -> datetime | None:
    """Return when to compare the counts of a post again; None if the post is too old."""
    end = created_at + follow_for()
    if now >= end:
        return None
    pause = min(max((now - created_at) / PAUSE_SHARE, SHORTEST_PAUSE), LONGEST_PAUSE)
    # The last look comes at the end, so that late comments are not left out.
    return min(now + pause, max(end, now + SHORTEST_PAUSE))


def worth_reading(*, reported: int, stored: int, unreadable: int) -> bool:
    """Whether enough comments are missing to make a walk due."""
    missing = reported - unreadable - stored
    return missing >= LEAST_MISSING and missing * 100 >= reported * LEAST_MISSING_PERCENT


def enlist(bot: BotConfig) -> None:
    """Record a thread for each matched post of the bot that has none yet.

    Every young post gets a thread. Older posts, such as those of an import, only fill up what one
    session can look at, the newest first. So a large import never delays new posts.
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
            # A hundred years back: Reddit's first post was written in 2005.
            cursor.execute(
                ENLIST, parameters | {"limit": room, "since": now - timedelta(days=36_500)}
            )


def due(bot: BotConfig) -> QuerySet[CommentThread]:
    """Return the due threads of the bot's matches, the longest overdue first."""
    matched = BotItem.objects.filter(bot=bot, fullname=OuterRef("pk"))
    return CommentThread.objects.filter(Exists(matched), look_at__lte=timezone.now()).order_by(
        "look_at", "-fullname"
    )


def anything_due(bot: BotConfig) -> bool:
    """Whether the bot reads threads and has due threads; also records its new threads."""
    if bot.comments != BotConfig.Comments.THREADS:
        return False
    enlist(bot)
    return due(bot).exists()
