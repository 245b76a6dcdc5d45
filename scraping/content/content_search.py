"""Search of stored posts and comments: by key through an index, by words among the newest items.

There is no index of words: it would cost more for each new item than storing the item does. So a search
for words reads only as many items as it can read in a moment, the newest first. It uses the index of
subreddit and time. PostgreSQL 18 uses this index even if the search names no subreddit.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from scraping.models import RedditComment, RedditPost, Subreddit

# The number of newest items that a search for words reads.
LOOKED_THROUGH = 20_000

FULLNAME = re.compile(r"t([13])_([0-9a-z]{1,13})", re.IGNORECASE)
# https://www.reddit.com/r/python/comments/1abcde/title/kxyz123/, https://redd.it/1abcde
LINK = re.compile(
    r"(?:/comments/|(?<![\w.])redd\.it/)([0-9a-z]{1,13})\b(?:/[^/\s]*/([0-9a-z]{1,13})\b)?",
    re.IGNORECASE,
)
# An id without its kind. An id of letters alone is taken for a word.
BARE_ID = re.compile(r"(?=[a-z]*[0-9])[0-9a-z]{5,8}", re.IGNORECASE)
SUBREDDIT = re.compile(r"(?:^|\s)/?r/(\w{2,21})/?(?=\s|$)", re.IGNORECASE)
USER = re.compile(r"(?:^|(?<=\s))/?u/(?=[\w-]{2,})", re.IGNORECASE)

# Spans of time in which we look for the newest items. Each span is eight times the previous span, from
# an hour to longer than Reddit exists.
SPANS = [timedelta(hours=8**power) for power in range(7)]


@dataclass(frozen=True)
class Query:
    """A search as somebody typed it: keys, or words and subreddits."""

    post: str | None = None
    comment: str | None = None
    bare: str | None = None
    words: str = ""
    subreddits: tuple[str, ...] = ()


def read_query(typed: str) -> Query:
    """Tell keys (fullname, id, link) from words; `r/name` narrows to subreddits, `u/` is dropped."""
    typed = typed.strip()
    if found := FULLNAME.fullmatch(typed):
        key = f"t{found[1]}_{found[2].lower()}"
        return Query(post=key) if found[1] == "3" else Query(comment=key)
    if found := LINK.search(typed):
        post, comment = found[1].lower(), (found[2] or "").lower()
        return Query(post=f"t3_{post}", comment=f"t1_{comment}" if comment else None)
    names = tuple(name.lower() for name in SUBREDDIT.findall(typed))
    words = USER.sub("", SUBREDDIT.sub("", typed)).strip()
    bare = words.lower() if BARE_ID.fullmatch(words) else None
    return Query(bare=bare, words=words, subreddits=names)


def by_key(items: QuerySet[Any], query: Query) -> QuerySet[Any] | None:
    """Filter items by the query's key. A post's key finds its comments, a comment's key its post.

    Returns None if the query has no key, or if no item of this kind has the bare id.
    """
    of_comments = items.model is RedditComment
    if query.bare:
        named = items.filter(pk=f"{'t1' if of_comments else 't3'}_{query.bare}")
        return named if named.exists() else None
    if of_comments:
        if query.comment:
            return items.filter(pk=query.comment)
        return items.filter(link_fullname=query.post) if query.post else None
    if query.post:
        return items.filter(pk=query.post)
    if query.comment:
        post = RedditComment.objects.filter(pk=query.comment).values("link_fullname")
        return items.filter(pk__in=post)
    return None


def in_subreddits(items: QuerySet[Any], names: tuple[str, ...]) -> QuerySet[Any]:
    """Filter items by the names of subreddits, in any case; no names means all items."""
    if not names:
        return items
    named = Subreddit.objects.filter(name__iregex=f"^({'|'.join(names)})$")
    return items.filter(subreddit__in=list(named.values_list("pk", flat=True)))


def looked_through_since(among: QuerySet[RedditPost] | QuerySet[RedditComment]) -> datetime | None:
    """Return when the oldest of the newest `LOOKED_THROUGH` items was written; None if there are fewer.

    Filter `among` only by conditions that an index serves, so that this reads few other rows.
    """
    now = timezone.now()
    for span in SPANS:
        recent = among.order_by().filter(created_at__gte=now - span)
        # Count all rows: with a LIMIT, the planner would read the table from its oldest row instead.
        if recent.count() >= LOOKED_THROUGH:
            times = recent.order_by("-created_at").values_list("created_at", flat=True)
            return times[LOOKED_THROUGH - 1]
    return None
