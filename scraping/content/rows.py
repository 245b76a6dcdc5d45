"""Items as rows for COPY, still without their subreddits' ids and the time of storing.

Items of a page are packed while the server takes them. Items of a dump are packed where they are
parsed, in another process.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import compress, islice
from operator import attrgetter
from typing import Protocol

from scraping.content.binary_copy import CopyFormat
from scraping.reddit.parse import ParsedItem

# Fields of an item that are no columns: a row stores the subreddit's id instead.
NO_COLUMNS = frozenset({"subreddit", "subreddit_fullname"})
# Items packed at a time.
TOGETHER = 100


class Items(Protocol):
    """Items of one kind, each once."""

    @property
    def columns(self) -> Sequence[str]:
        """The names of the rows' columns."""

    @property
    def fullnames(self) -> Sequence[str]:
        """The items' fullnames in ascending order."""

    @property
    def subreddit_fullnames(self) -> Mapping[str, str | None]:
        """The subreddits' fullnames, by the subreddits' names."""

    def rows(self, wanted: Collection[str]) -> Iterator[tuple[str | None, bytes]]:
        """Yield the subreddit's name and the row of each wanted item, in the order of fullnames."""


@dataclass(frozen=True, slots=True)
class Gone:
    """An item that a dump shows as gone: why, and when the dump saw that, in seconds since 1970."""

    reason: str
    seen_at: float


@dataclass(slots=True)
class PackedItems:
    """Items of a dump, packed already.

    `gone` holds, by fullname, items that are packed empty because their lines show them as deleted or
    removed. `authorless` holds, by fullname, why the line of an item names no author (see `emptying`).
    """

    columns: tuple[str, ...] = ()
    fullnames: list[str] = field(default_factory=list)
    subreddits: list[str | None] = field(default_factory=list)
    packed: list[bytes] = field(default_factory=list)
    subreddit_fullnames: dict[str, str | None] = field(default_factory=dict)
    gone: dict[str, Gone] = field(default_factory=dict)
    authorless: dict[str, str] = field(default_factory=dict)

    def rows(self, wanted: Collection[str]) -> Iterator[tuple[str | None, bytes]]:
        """See `Items`."""
        rows = zip(self.subreddits, self.packed, strict=True)
        if len(wanted) == len(self.fullnames):
            return rows
        return compress(rows, [name in wanted for name in self.fullnames])

    def leave_out(self, fullnames: Collection[str]) -> None:
        """Forget these items."""
        if fullnames:
            kept = [name not in fullnames for name in self.fullnames]
            self.fullnames = [*compress(self.fullnames, kept)]
            self.subreddits = [*compress(self.subreddits, kept)]
            self.packed = [*compress(self.packed, kept)]


class PageItems:
    """Items that Reddit has just returned. If several have one fullname, the last is the freshest."""

    def __init__(self, form: CopyFormat, items: Iterable[ParsedItem]) -> None:
        self._form = form
        by_name = {item.fullname: item for item in items}
        self.fullnames = sorted(by_name)
        self.items = [*map(by_name.__getitem__, self.fullnames)]
        self.columns = [
            column.name
            for column in (fields(self.items[0]) if self.items else ())
            if column.name not in NO_COLUMNS
        ]
        self.subreddit_fullnames = {
            item.subreddit: item.subreddit_fullname for item in self.items if item.subreddit
        }

    def leave_out(self, fullnames: Collection[str]) -> None:
        """Forget these items."""
        if fullnames:
            self.items = [item for item in self.items if item.fullname not in fullnames]
            self.fullnames = [item.fullname for item in self.items]

    def rows(self, wanted: Collection[str]) -> Iterator[tuple[str | None, bytes]]:
        """See `Items`."""
        items = (item for item in self.items if item.fullname in wanted)
        while some := [*islice(items, TOGETHER)]:
            columns = {name: [*map(attrgetter(name), some)] for name in self.columns}
            yield from zip(
                map(attrgetter("subreddit"), some), self._form.pack(columns), strict=True
            )
