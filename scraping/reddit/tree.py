"""Read answers about a comment tree: its comments, and where there are more comments.

There is no recursion, because a tree is as deep as people make it. Comments stay raw things, for
`parse`. A thing that is neither a comment nor a `more` is kept among them, so that the parser counts
and reports it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from scraping.reddit.errors import BadResponse

# A comment's id without its kind. Ids have 2 to 8 characters today; a much longer text is no id.
COMMENT_ID = re.compile(r"[0-9a-z]{1,13}")


@dataclass
class TreeAnswer:
    """One answer: things as Reddit sent them, and ids that it left out."""

    posts: list[Any] = field(default_factory=list)
    # t1 things, and anything else that stands in their place.
    comments: list[Any] = field(default_factory=list)
    # Ids of comments that the answer names and does not show.
    more: list[str] = field(default_factory=list)
    # Ids of comments for which the answer leaves out everything below them.
    continued: list[str] = field(default_factory=list)

    @property
    def comment_ids(self) -> set[str]:
        """The ids of the comments that the answer shows."""
        return {name for name in map(_id_of, self.comments) if name}

    @property
    def shows_nothing(self) -> bool:
        """Whether the answer shows no comment and names none."""
        return not (self.more or self.continued or self.comment_ids)


def read_tree(body: Any) -> TreeAnswer:
    """Read an answer of `/comments/{id}`: two listings, one of the post, one of its comments.

    Raises `BadResponse` for any other body.
    """
    if not isinstance(body, list) or len(body) != 2:
        raise BadResponse(f"Expected a post and its comments, got {_excerpt(body)}")
    posts, comments = (_children(part) for part in body)
    if posts is None or comments is None:
        raise BadResponse(f"Expected a post and its comments, got {_excerpt(body)}")
    answer = TreeAnswer(posts=[thing for thing in posts if _kind(thing) == "t3"])
    if not answer.posts:
        raise BadResponse(f"Expected a post above its comments, got {_excerpt(body)}")
    _spread(comments, answer)
    return answer


def read_more_children(body: Any) -> TreeAnswer:
    """Read an answer of `/api/morechildren`: a flat list of comments and `more`s.

    Raises `BadResponse` for any other body, such as a list of errors.
    """
    told = body.get("json") if isinstance(body, dict) else None
    data = told.get("data") if isinstance(told, dict) else None
    things = data.get("things") if isinstance(data, dict) else None
    if not isinstance(things, list):
        raise BadResponse(f"Expected more comments, got {_excerpt(body)}")
    answer = TreeAnswer()
    _spread(things, answer)
    return answer


def _spread(things: Iterable[Any], answer: TreeAnswer) -> None:
    """Sort things, and everything below them, into the answer, in reading order."""
    waiting = list(things)[::-1]
    more: dict[str, None] = {}
    continued: dict[str, None] = {}
    while waiting:
        thing = waiting.pop()
        if _kind(thing) == "more":
            names, parent = _named(thing["data"])
            more.update(dict.fromkeys(names))
            if parent:
                continued[parent] = None
            continue
        answer.comments.append(thing)
        data = thing.get("data") if isinstance(thing, dict) else None
        below = _children(data.get("replies")) if isinstance(data, dict) else None
        waiting.extend(reversed(below or ()))
    answer.more, answer.continued = list(more), list(continued)


def _named(data: dict[str, Any]) -> tuple[list[str], str]:
    """Return the ids that a `more` names or, if it names none, the comment above it."""
    children = data.get("children")
    names = [name for name in children if _is_id(name)] if isinstance(children, list) else []
    if names:
        return names, ""
    parent = data.get("parent_id")
    # A `more` directly below the post names no comment that another request could continue from.
    if isinstance(parent, str) and parent.startswith("t1_") and _is_id(parent[3:]):
        return [], parent[3:]
    return [], ""


def _is_id(name: Any) -> bool:
    return isinstance(name, str) and COMMENT_ID.fullmatch(name) is not None


def _id_of(thing: Any) -> str:
    data = thing.get("data") if isinstance(thing, dict) else None
    name = data.get("id") if isinstance(data, dict) else None
    return name if isinstance(name, str) else ""


def _kind(thing: Any) -> str | None:
    if not isinstance(thing, dict) or not isinstance(thing.get("data"), dict):
        return None
    return thing.get("kind")


def _children(listing: Any) -> list[Any] | None:
    data = listing.get("data") if isinstance(listing, dict) else None
    children = data.get("children") if isinstance(data, dict) else None
    return children if isinstance(children, list) else None


def _excerpt(body: Any) -> str:
    text = repr(body)
    return text if len(text) <= 200 else f"{text[:200]}…"
