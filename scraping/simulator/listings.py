"""Listings: their items, their order, and the place of a cursor.

Every listing of one subreddit is a view: at most 1,000 items under ascending sort keys. ``a+b`` merges
the views of its members, so that each member brings its own 1,000 items. A cursor is a position among
the sort keys.
"""

import heapq
import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter, itemgetter

from .drift import num_comments, score
from .model import NEVER, Item, Post, Subreddit
from .world import World

CAP = 1000
PERIODS = {
    "hour": 3600.0,
    "day": 86_400.0,
    "week": 7 * 86_400.0,
    "month": 30 * 86_400.0,
    "year": 365 * 86_400.0,
    "all": math.inf,
}
_CREATED = attrgetter("created")
_RANKING_SECONDS = 60.0
"""Rankings other than by age are computed afresh once a virtual minute."""

_CHUNK = 100

Key = tuple[float, ...]
Accepts = Callable[[Item, float], bool]
"""Whether a listing shows an item at a moment."""


class View:
    """One subreddit's listing: items under ascending keys, read from its source as needed.

    Most requests want the newest hundred items of a thousand, often for a hundred subreddits at once.
    ``as_of`` is the moment of the scores in the keys. ``until`` is the moment at which the listing next
    changes.
    """

    __slots__ = ("_accepts", "_position", "_source", "as_of", "items", "keys", "until", "version")

    def __init__(
        self,
        *,
        as_of: float,
        until: float = NEVER,
        version: int = 0,
        ranked: Sequence[tuple[Key, Item]] = (),
        source: Sequence[Item] = (),
        position: int = 0,
        accepts: Accepts | None = None,
    ) -> None:
        self.keys = [key for key, _ in ranked]
        self.items = [item for _, item in ranked]
        self.as_of = as_of
        self.until = until
        self.version = version
        self._source = source
        self._position = position
        """The number of items that are still to be read from the source, which is oldest first."""
        self._accepts = accepts

    def extend(self, now: float, most: int = _CHUNK) -> bool:
        """Read on; return False if the listing shows nothing more."""
        source, items, keys, until = self._source, self.items, self.keys, self.until
        enough = min(CAP, len(items) + most)
        before = len(items)
        position = self._position
        while position and len(items) < enough:
            position -= 1
            item = source[position]
            if item.visible_from > now:
                until = min(until, item.visible_from)
            elif item.gone_at > now:
                if self._accepts is not None:
                    # An edit may put the item into the listing or take it out.
                    until = min(until, item.edited_at if item.edited_at > now else NEVER)
                    if not self._accepts(item, now):
                        continue
                items.append(item)
                keys.append((-item.created, -item.number))
                if item.gone_at < until:
                    until = item.gone_at
        self._position, self.until = position, until
        return len(items) > before

    def reach(self, key: Key, now: float) -> None:
        """Read on until beyond this key."""
        while (not self.keys or self.keys[-1] <= key) and self.extend(now):
            pass

    def all(self, now: float) -> list[Item]:
        """Return every item of the listing."""
        while self.extend(now, CAP):
            pass
        return self.items

    def from_position(self, start: int, now: float) -> Iterator[tuple[Key, Item]]:
        """Yield the items from a position on."""
        position = start
        while position < len(self.items) or self.extend(now):
            yield self.keys[position], self.items[position]
            position += 1


@dataclass(frozen=True, slots=True)
class Page:
    """The result of one request."""

    items: list[Item]
    after: str | None
    before: str | None


def rank(item: Item, sort: str, now: float) -> Key:
    """Return the key under which a listing sorts the item, smallest first."""
    if sort == "new":
        return item.key
    points, _ = score(item, now)
    if sort == "top":
        return (-points, *item.key)
    if sort in ("controversial", "comments"):
        weight = num_comments(item, now)[0] if isinstance(item, Post) else 0
        return (-weight if sort == "comments" else -weight / max(abs(points), 1), *item.key)
    if sort == "rising":
        return (-points / (600.0 + max(now - item.created, 0.0)), *item.key)
    # Hot: ten times the points weigh as much as 12.5 hours of youth [2017].
    return (-(math.log10(max(abs(points), 1)) + item.created / 45_000.0), *item.key)


class Views:
    """Builds views and keeps each until something in it changes."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._views: dict[tuple[int, str, str, str], View] = {}

    def get(self, sub: Subreddit, *, kind: str, sort: str, period: str, now: float) -> View:
        """Return the listing of one subreddit: ``kind`` is t3 or t1, ``sort`` is a listing's name."""
        self._world.sync(sub, now)
        name = (sub.index, kind, sort, period)
        view = self._views.get(name)
        if view is not None and view.as_of <= now < view.until and view.version == sub.version:
            return view
        source: Sequence[Item] = sub.posts if kind == "t3" else sub.comments
        if sort == "new":
            view = newest(source, now, sub.version)
        else:
            view = ranked(source, now, sub.version, sort=sort, period=period)
        self._views[name] = view
        return view


def newest(
    source: Sequence[Item], now: float, version: int, *, accepts: Accepts | None = None
) -> View:
    """Return the newest 1,000 items that `accepts` lets through. The source is oldest first."""
    arrived = bisect_right(source, now, key=_CREATED)
    until = source[arrived].created if arrived < len(source) else NEVER
    # The next hour is generated only when the clock reaches it.
    until = min(until, (now // 3600 + 1) * 3600)
    return View(
        as_of=now, until=until, version=version, source=source, position=arrived, accepts=accepts
    )


def ranked(
    source: Sequence[Item],
    now: float,
    version: int,
    *,
    sort: str,
    period: str,
    accepts: Accepts | None = None,
) -> View:
    """Return the 1,000 items that rank first in a period, of the items that `accepts` lets through."""
    oldest = now - PERIODS.get(period, math.inf)
    if sort == "rising":
        oldest = max(oldest, now - 86_400.0)
    arrived = bisect_right(source, now, key=_CREATED)
    first = 0 if oldest == -math.inf else bisect_left(source, oldest, key=_CREATED)
    best = sorted(
        (
            (rank(item, sort, now), item)
            for item in source[first:arrived]
            if item.listed(now) and (accepts is None or accepts(item, now))
        ),
        key=itemgetter(0),
    )[:CAP]
    return View(as_of=now, until=now + _RANKING_SECONDS, version=version, ranked=best)


def page(
    views: Sequence[View],
    *,
    sort: str,
    limit: int,
    after: Item | None = None,
    before: Item | None = None,
    now: float,
) -> Page:
    """Cut a page out of the merged views.

    If the item ``after`` has left the listing, the page begins behind the item's former place. If the
    item ``before`` has left the listing, the page is empty, as on Reddit.
    """
    if before is not None:
        return _before(views, sort=sort, limit=limit, anchor=before, now=now)
    tails: list[Iterator[tuple[Key, Item]]] = []
    for view in views:
        start = 0
        if after is not None:
            key = rank(after, sort, _as_of(view, sort, now))
            view.reach(key, now)
            start = bisect_right(view.keys, key)
        tails.append(view.from_position(start, now))
    merged = _merge(tails, reverse=False)
    items = [item for _, item in islice(merged, limit)]
    more = next(iter(merged), None) is not None
    return Page(
        items,
        after=items[-1].fullname if items and more else None,
        before=items[0].fullname if items and after is not None else None,
    )


def _as_of(view: View, sort: str, now: float) -> float:
    return now if sort == "new" else view.as_of


def _before(views: Sequence[View], *, sort: str, limit: int, anchor: Item, now: float) -> Page:
    present = False
    heads: list[Iterator[tuple[Key, Item]]] = []
    for view in views:
        key = rank(anchor, sort, _as_of(view, sort, now))
        view.reach(key, now)
        position = bisect_left(view.keys, key)
        present = present or (position < len(view.keys) and view.items[position] is anchor)
        heads.append(
            zip(reversed(view.keys[:position]), reversed(view.items[:position]), strict=True)
        )
    if not present:
        return Page([], after=None, before=None)
    merged = _merge(heads, reverse=True)
    items = [item for _, item in islice(merged, limit)]
    more = next(iter(merged), None) is not None
    items.reverse()
    return Page(
        items,
        after=items[-1].fullname if items else None,
        before=items[0].fullname if items and more else None,
    )


def _merge(parts: list[Iterator[tuple[Key, Item]]], *, reverse: bool) -> Iterator[tuple[Key, Item]]:
    if len(parts) == 1:
        return parts[0]
    merged: Iterable[tuple[Key, Item]] = heapq.merge(*parts, key=itemgetter(0), reverse=reverse)
    return iter(merged)
