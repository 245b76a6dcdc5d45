"""Comment trees: which comments an answer shows, and what stands for the other comments."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from .drift import score
from .model import Comment, Post
from .pages import Pages, dumps, listing

DEEPEST = 9
"""The deepest level that a page shows. "continue this thread" stands below it."""
DEFAULT_LIMIT = 200
MOST_CHILDREN = 100
"""The most comments in one answer of morechildren."""
_NOTHING = b'""'


def at_once(post: Post) -> int:
    """Return the most comments that one page of this post shows: 470 to 530, as measured."""
    return 470 + post.number % 61


def _order(comment: Comment, sort: str, now: float) -> tuple[float, int]:
    """Return the key that sorts siblings, best first."""
    if sort == "new":
        return (-comment.created, -comment.number)
    if sort == "old":
        return (comment.created, comment.number)
    points, _ = score(comment, now)
    if sort == "controversial":
        return (abs(points), comment.number)
    return (-points, comment.number)


@dataclass(slots=True)
class _Family:
    """The visible part of a thread."""

    children: dict[Comment | None, list[Comment]]
    size: dict[Comment, int]
    """The number of visible comments below each comment, including the comment itself."""


def _family(post: Post, sort: str, now: float) -> _Family:
    """Return the visible part of a post's thread.

    A deleted or removed comment is shown only if something visible hangs below it.
    """
    children: dict[Comment | None, list[Comment]] = {}
    size: dict[Comment, int] = {}
    # Comments are oldest first, so going backwards meets every reply before its parent.
    for comment in reversed(post.comments):
        if comment.created > now or comment.visible_from > now:
            continue
        below = children.get(comment)
        if comment.gone_at <= now and not below:
            continue
        size[comment] = 1 + sum(size[child] for child in below or ())
        children.setdefault(comment.parent, []).append(comment)
    for siblings in children.values():
        siblings.sort(key=lambda comment: _order(comment, sort, now))
    return _Family(children, size)


def _more(parent: str, left: list[Comment], family: _Family, *, offset: int = 0) -> bytes:
    first = left[0]
    return b'{"kind":"more","data":%b}' % dumps(
        {
            "count": sum(family.size[comment] for comment in left),
            "name": first.fullname,
            "id": first.id,
            "parent_id": parent,
            "depth": first.depth - offset,
            "children": [comment.id for comment in left],
        }
    )


def _continue(parent: Comment, *, offset: int = 0) -> bytes:
    return b'{"kind":"more","data":%b}' % dumps(
        {
            "count": 0,
            "name": "t1__",
            "id": "_",
            "parent_id": parent.fullname,
            "depth": parent.depth + 1 - offset,
            "children": [],
        }
    )


def tree(
    pages: Pages,
    post: Post,
    *,
    now: float,
    limit: int | None = None,
    sort: str = "confidence",
    depth: int | None = None,
    focus: Comment | None = None,
    context: int = 0,
) -> bytes:
    """Return ``[Listing(t3), Listing(t1 | more)]`` of a post, or of the thread below one comment.

    With ``context``, up to that many comments above ``focus`` come, too. Each of them shows only the
    comment below it on the way to ``focus``. Depths count from the top comment that is shown.
    """
    family = _family(post, sort, now)
    way_down: dict[Comment, Comment] = {}
    if focus is None:
        roots, offset = family.children.get(None, []), 0
        above = post.fullname
    else:
        top = focus
        while top.parent is not None and len(way_down) < context:
            way_down[top.parent] = top
            top = top.parent
        roots, offset = ([top] if top in family.size else []), top.depth
        above = post.fullname if top.parent is None else top.parent.fullname
    for parent, child in way_down.items():
        family.children[parent] = [child] if child in family.size else []
    most = min(limit or DEFAULT_LIMIT, at_once(post))
    deepest = offset + min(depth - 1 if depth else DEEPEST, DEEPEST)
    chosen = _choose(
        roots, family, most=most, deepest=deepest, order=lambda item: _order(item, sort, now)
    )

    def shown(parent: str, siblings: list[Comment]) -> bytes:
        parts, left = [], []
        for comment in siblings:
            if comment not in chosen:
                left.append(comment)
                continue
            below = family.children.get(comment)
            replies = _NOTHING
            if below and comment.depth >= deepest:
                replies = listing((_continue(comment, offset=offset),))
            elif below:
                replies = shown(comment.fullname, below)
            parts.append(pages.node(comment, now, depth=comment.depth - offset, replies=replies))
        if left:
            parts.append(_more(parent, left, family, offset=offset))
        return listing(parts)

    heading = listing((pages.post_page(post, now),), dist=1)
    return b"[%b,%b]" % (heading, shown(above, roots))


def _choose(
    roots: list[Comment],
    family: _Family,
    *,
    most: int,
    deepest: int,
    order: Callable[[Comment], tuple[float, int]],
) -> set[Comment]:
    """Return the ``most`` best comments that are connected with the roots."""
    chosen: set[Comment] = set()
    ticket = count()
    heap = [(order(comment), next(ticket), comment) for comment in roots]
    heapq.heapify(heap)
    while heap and len(chosen) < most:
        comment = heapq.heappop(heap)[2]
        chosen.add(comment)
        if comment.depth < deepest:
            for child in family.children.get(comment, ()):
                heapq.heappush(heap, (order(child), next(ticket), child))
    return chosen


def more_children(
    pages: Pages, post: Post, wanted: list[str], *, now: float, sort: str
) -> list[bytes]:
    """Return the things of one answer of morechildren: flat, parents before their replies.

    Each wanted comment comes with the comments below it, until the answer holds 100 comments. ``more``
    things name the comments that do not fit. So a request may have any number of ids, and a client that
    follows ``more`` gets everything. Ids of comments that are gone are left out.
    """
    family = _family(post, sort, now)
    known = {comment.id: comment for comment in family.size}
    seen: set[Comment] = set()
    things: list[bytes] = []
    left: dict[Comment | None, list[Comment]] = {}
    shown = 0
    for identifier in dict.fromkeys(wanted):
        start = known.get(identifier)
        if start is None or start in seen:
            continue
        stack = [start]
        while stack:
            comment = stack.pop()
            if comment in seen:
                continue
            seen.add(comment)
            if shown >= MOST_CHILDREN:
                left.setdefault(comment.parent, []).append(comment)
                continue
            shown += 1
            things.append(pages.node(comment, now, depth=comment.depth))
            below = family.children.get(comment)
            if below and comment.depth >= DEEPEST:
                things.append(_continue(comment))
            elif below:
                stack.extend(reversed(below))
    for parent, siblings in left.items():
        name = post.fullname if parent is None else parent.fullname
        things.append(_more(name, siblings, family))
    return things
