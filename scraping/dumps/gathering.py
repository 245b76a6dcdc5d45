"""Items of one kind, gathered from the lines of a dump and packed as rows."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

from scraping.content import emptying
from scraping.content.binary_copy import CopyFormat
from scraping.content.rows import NO_COLUMNS, TOGETHER, Gone, PackedItems
from scraping.dumps import entities
from scraping.reddit.fast_fields import Columns
from scraping.reddit.fields import DELETED_AUTHOR
from scraping.reddit.parse import Data, ParseError


@dataclass(slots=True)
class Gathered:
    """Items of one kind, in the order of their lines."""

    parse: Callable[[Sequence[Struct], Data], tuple[Columns, dict[int, ParseError]]]
    texts: tuple[str, ...]
    parts: Mapping[str, Mapping[str, str]]
    form: CopyFormat
    columns: tuple[str, ...] = ()
    fullnames: list[str] = field(default_factory=list)
    subreddits: list[str | None] = field(default_factory=list)
    names: dict[str | None, str | None] = field(default_factory=dict)
    subreddit_fullnames: dict[str | None, str | None] = field(default_factory=dict)
    retrieved_at: list[float] = field(default_factory=list)
    rows: list[bytes] = field(default_factory=list)
    undecided: list[tuple[int, Columns, int, bool]] = field(default_factory=list)
    """Items whose texts have entities and no bare character.

    Each entry holds the item's place in `rows`, the columns with its texts as read, its place there,
    and whether it was packed decoded.
    """
    gone: dict[int, Gone] = field(default_factory=dict)
    """Items that their lines show as gone, by place."""
    authorless: dict[int, str] = field(default_factory=dict)
    """Why the line of an item names no author, by place."""

    def add(self, columns: Columns, undecided: Sequence[int], *, decode: bool) -> None:
        """Pack some items, with entities as they are or decoded."""
        before = len(self.rows)
        self.undecided += [(before + place, columns, place, decode) for place in undecided]
        if decode and undecided:
            columns = self._with_entities_decoded(columns, undecided)
        self.columns = tuple(name for name in columns if name not in NO_COLUMNS)
        self.fullnames += columns["fullname"]
        # Equal names share one text object, so that the pipe carries each name once.
        self.subreddits += [self.names.setdefault(name, name) for name in columns["subreddit"]]
        self.subreddit_fullnames |= zip(
            columns["subreddit"], columns["subreddit_fullname"], strict=True
        )
        self.retrieved_at += columns["retrieved_at"]
        self.rows += self._packed(columns)

    def settle(self, *, decode: bool) -> None:
        """Pack undecided items again if they were packed in the way that turned out to be wrong."""
        wrong = [entry for entry in self.undecided if entry[3] is not decode]
        for start in range(0, len(wrong), TOGETHER):
            some = wrong[start : start + TOGETHER]
            columns: Columns = {
                name: [column[name][at] for _, column, at, _ in some] for name in self.columns
            }
            if decode:
                columns = self._with_entities_decoded(columns, range(len(some)))
            for (place, *_), row in zip(some, self._packed(columns), strict=True):
                self.rows[place] = row

    def packed(self) -> PackedItems:
        """Return all items. If several have one fullname, the item that was read last is kept."""
        places: Sequence[int] = range(len(self.fullnames))
        if len({*self.fullnames}) < len(places):
            places = sorted(places, key=self.retrieved_at.__getitem__)
        by_name = {self.fullnames[place]: place for place in places}
        fullnames = sorted(by_name)
        chosen = [*map(by_name.__getitem__, fullnames)]
        return PackedItems(
            self.columns,
            fullnames,
            [*map(self.subreddits.__getitem__, chosen)],
            [*map(self.rows.__getitem__, chosen)],
            {name: known for name, known in self.subreddit_fullnames.items() if name is not None},
            {self.fullnames[place]: self.gone[place] for place in chosen if place in self.gone},
            {
                self.fullnames[place]: self.authorless[place]
                for place in chosen
                if place in self.authorless
            },
        )

    def empty_gone(
        self, columns: Columns, categories: Sequence[str | None], *, purge_removed: bool
    ) -> Columns:
        """Record gone items and missing authors, before the items are added.

        Returns the columns, in which gone items are emptied.
        """
        removals, authors = columns["removal"], columns["author"]
        if not any(removals) and DELETED_AUTHOR not in authors:
            return columns
        before = len(self.rows)
        changed: dict[str, list[Any]] = {}
        for place, (removal, author) in enumerate(zip(removals, authors, strict=True)):
            reason = emptying.reason_to_purge(
                removal, categories[place], purge_removed=purge_removed
            )
            if reason is not None:
                self.gone[before + place] = Gone(reason, columns["retrieved_at"][place])
                for name, value in emptying.emptied(self.parts, reason).items():
                    changed.setdefault(name, [*columns[name]])[place] = value
            elif author == DELETED_AUTHOR:
                reason = emptying.REMOVED if removal else emptying.ACCOUNT
                self.authorless[before + place] = reason
        return {**columns, **changed}

    def _with_entities_decoded(self, columns: Columns, places: Iterable[int]) -> Columns:
        changed = {name: [*columns[name]] for name in (*self.texts, "extra")}
        for place in places:
            for column in changed.values():
                if column[place]:
                    column[place] = entities.unescaped(column[place])
        return {**columns, **changed}

    def _packed(self, columns: Columns) -> list[bytes]:
        return self.form.pack({name: columns[name] for name in self.columns})
