"""How an item's numbers change with its age, and how long an answer stays true."""

import math
from bisect import bisect_right
from operator import attrgetter

from .model import NEVER, Item, Post

_CREATED = attrgetter("created")
HIDDEN_SECONDS = 3600.0
"""Subreddits that hide scores hide them for an hour."""
_STEPS = ((3600.0, 300.0), (6 * 3600.0, 1800.0), (48 * 3600.0, 3600.0))
"""Pairs of an age and an interval, in seconds: up to that age, the score changes at that interval."""


def score(item: Item, now: float) -> tuple[int, float]:
    """Return the score at ``now``, and the moment until which it stays the same."""
    if item.fields is not None and "score" in item.fields:
        return int(item.fields["score"]), NEVER
    if item.raw is not None:
        return item.final_score, NEVER
    age = max(0.0, now - item.created)
    for limit, step in _STEPS:
        if age < limit:
            reached = age // step * step
            until = item.created + reached + step
            share = 1.0 - math.exp(-reached / 20_000.0)
            return 1 + round((item.final_score - 1) * share), until
    return item.final_score, NEVER


def num_comments(post: Post, now: float) -> tuple[int, float]:
    """Return how many comments stand at ``now``, and the moment until which the number stays the same.

    Deleted and removed comments do not count, as on Reddit.
    """
    if post.raw is not None:
        return int((post.fields or {}).get("num_comments", 0)), NEVER
    comments = post.comments
    arrived = bisect_right(comments, now, key=_CREATED)
    until = comments[arrived].created if arrived < len(comments) else NEVER
    count = 0
    for comment in comments[:arrived]:
        if comment.gone_at > now:
            count += 1
            until = min(until, comment.gone_at)
    return count, until


def next_change(item: Item, now: float) -> float:
    """Return when the item is next published, edited, deleted or removed, or its score is shown."""
    until = NEVER
    for moment in (
        item.visible_from,
        item.gone_at,
        item.deleted_at,
        item.edited_at,
        item.created + HIDDEN_SECONDS,
    ):
        if now < moment < until:
            until = moment
    return until
