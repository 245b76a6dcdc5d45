"""The parts of a world: subreddits, posts and comments."""

import math
from dataclasses import dataclass, field
from typing import Any

NEVER = math.inf
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"

ACCOUNT_STATUSES = ("ok", "suspended", "deleted")
STATUSES = ("ok", "private", "banned", "quarantined", "gated", "missing")


def base36(number: int) -> str:
    """Return Reddit's spelling of an id."""
    digits = ""
    while True:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
        if not number:
            return digits


@dataclass(eq=False, slots=True)
class Subreddit:
    """One subreddit: its name, how busy it is, and its content so far."""

    name: str
    index: int
    id: str
    status: str = "ok"
    title: str = ""
    created: float = 0.0
    subscribers: int = 0
    over_18: bool = False
    languages: tuple[str, ...] = ("en",)
    flairs: tuple[str, ...] = ()
    posts_per_hour: float = 0.0
    comments_per_post: float = 0.0
    busiest_hour: int = 18
    hide_scores: bool = True
    stickied: int = 0
    generated: int | None = None
    """The last hour (hours since the epoch) whose content exists; None: no hour is generated."""
    posts: list["Post"] = field(default_factory=list)
    comments: list["Comment"] = field(default_factory=list)
    pending: dict[int, list["Comment"]] = field(default_factory=dict)
    """Comments of hours that are still to come, by hour."""
    version: int = 0
    """Grows with every change that time alone does not cause."""

    @property
    def fullname(self) -> str:
        """``t5_`` and the id."""
        return f"t5_{self.id}"


class Item:
    """A post or a comment. Times are virtual seconds since the epoch; NEVER is infinity."""

    __slots__ = (
        "author",
        "created",
        "deleted_at",
        "edited_at",
        "fields",
        "final_score",
        "gone_at",
        "id",
        "number",
        "raw",
        "removed_at",
        "removed_by",
        "seed",
        "sub",
        "visible_from",
    )
    kind = ""

    def __init__(
        self, *, sub: Subreddit | None, number: int, created: float, author: int, seed: int
    ) -> None:
        self.sub = sub
        self.number = number
        self.id = base36(number)
        self.created = created
        self.visible_from = created
        self.author = author
        self.seed = seed
        self.final_score = 1
        self.deleted_at = NEVER
        self.removed_at = NEVER
        self.gone_at = NEVER
        self.removed_by = "moderator"
        self.edited_at = NEVER
        self.fields: dict[str, Any] | None = None
        """Values from control requests or a recording, in place of generated values."""
        self.raw: bytes | None = None
        """A recorded item's own JSON object."""

    @property
    def fullname(self) -> str:
        """The kind and the id, as in ``t3_1skmd97``."""
        return f"{self.kind}_{self.id}"

    def renumber(self, number: int) -> None:
        """Take another id, before anybody has seen the first id."""
        self.number, self.id = number, base36(number)

    @property
    def key(self) -> tuple[float, int]:
        """The sort key: newest first."""
        return (-self.created, -self.number)

    def schedule_end(self, *, deleted_at: float = NEVER, removed_at: float = NEVER) -> None:
        """Set when the author deletes the item and when a moderator removes it."""
        self.deleted_at, self.removed_at = deleted_at, removed_at
        self.gone_at = min(deleted_at, removed_at)

    def listed(self, now: float) -> bool:
        """Whether listings show the item: published, and neither deleted nor removed."""
        return self.visible_from <= now < self.gone_at

    def state(self, now: float) -> str:
        """Return one of ``unpublished``, ``live``, ``deleted``, ``removed``."""
        if now < self.visible_from:
            return "unpublished"
        if now >= self.deleted_at:
            return "deleted"
        return "removed" if now >= self.removed_at else "live"


class Post(Item):
    """A post and, oldest first, all the comments that it will ever get."""

    __slots__ = ("comments", "flair", "heading", "stickied", "style")
    kind = "t3"

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.style = "self"
        self.flair = -1
        self.stickied = False
        self.heading: str | None = None
        self.comments: list[Comment] = []


class Comment(Item):
    """A comment; ``post`` is None for a recorded comment whose post was not recorded."""

    __slots__ = ("children", "depth", "parent", "post")
    kind = "t1"

    def __init__(self, *, post: Post | None, parent: "Comment | None", **arguments: Any) -> None:
        super().__init__(**arguments)
        self.post = post
        self.parent: Comment | None = None
        self.depth = 0
        self.children: list[Comment] | None = None
        if parent is not None:
            self.attach(parent)

    def attach(self, parent: "Comment") -> None:
        """Become a reply to ``parent``."""
        self.parent, self.depth = parent, parent.depth + 1
        if parent.children is None:
            parent.children = [self]
        else:
            parent.children.append(self)


@dataclass(frozen=True, slots=True)
class Truth:
    """The facts about one item, to compare with what a collector found."""

    fullname: str
    kind: str
    subreddit: str | None
    created_utc: float
    visible_from: float
    state: str
    deleted_at: float | None
    removed_at: float | None
    edited_at: float | None
    link_id: str | None
    parent_id: str | None
