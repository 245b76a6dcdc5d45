"""Finding stored posts and comments: by their keys at once, by words among the newest.

No index serves words: one that did would cost more at each new item than storing it. So words are
looked for in as many items as are read in a moment, newest first, by the index of subreddit and time,
which PostgreSQL 18 also uses when no subreddit is named.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from scraping.models import RedditComment, RedditPost, Subreddit

# Items that words are looked for in.
LOOKED_THROUGH = 20_000

FULLNAME = re.compile(r"t([13])_([0-9a-z]{1,13})", re.IGNORECASE)
# https://www.reddit.com/r/python/comments/1abcde/title/kxyz123/, https://redd.it/1abcde
LINK = re.compile(
    r"(?:/comments/|(?<![\w.])redd\.it/)([0-9a-z]{1,13})\b(?:/[^/\s]*/([0-9a-z]{1,13})\b)?",
    re.IGNORECASE,
)
# An id without its kind. One of letters alone is taken for a word.
BARE_ID = re.compile(r"(?=[a-z]*[0-9])[0-9a-z]{5,8}", re.IGNORECASE)
SUBREDDIT = re.compile(r"(?:^|\s)/?r/(\w{2,21})/?(?=\s|$)", re.IGNORECASE)
USER = re.compile(r"(?:^|(?<=\s))/?u/(?=[\w-]{2,})", re.IGNORECASE)

# Spans in which the newest items are looked for, each eight times the one before: from an hour to
# longer than Reddit exists.
SPANS = [timedelta(hours=8**power) for power in range(7)]


@dataclass(frozen=True)
class Query:
    """What somebody typed: keys, or words and subreddits."""

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
    """Those that the query's key means: of a post its comments, of a comment its post.

    None when it has no key, or a bare id that no item of the kind has.
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
    """Those of the subreddits of these names; all of them without names."""
    if not names:
        return items
    named = Subreddit.objects.filter(name__iregex=f"^({'|'.join(names)})$")
    return items.filter(subreddit__in=list(named.values_list("pk", flat=True)))


def looked_through_since(among: QuerySet[RedditPost] | QuerySet[RedditComment]) -> datetime | None:
    """When the oldest of the newest `LOOKED_THROUGH` was written; None when there are fewer.

    `among` is narrowed by what an index serves alone, so that this reads little more than those.
    """
    now = timezone.now()
    for span in SPANS:
        recent = among.order_by().filter(created_at__gte=now - span)
        # Counted to the end: for a LIMIT the planner would rather read the table from its oldest row.
        if recent.count() >= LOOKED_THROUGH:
            times = recent.order_by("-created_at").values_list("created_at", flat=True)
            return times[LOOKED_THROUGH - 1]
    return None
