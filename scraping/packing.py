"""Items as rows that COPY takes, made where they are parsed: it may be another process that stores them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from scraping.copying import CopyFormat

# Of an item's fields these are no columns: its subreddit is stored by an id.
NO_COLUMNS = frozenset({"subreddit", "subreddit_fullname"})


@dataclass(slots=True)
class PackedItems:
    """Items of one kind, each once, but for the ids of their subreddits and when they are stored."""

    columns: tuple[str, ...] = ()
    """Those of which any item has a value."""
    fields: dict[str, bytes] = field(default_factory=dict)
    """By the item's fullname, its fields in these columns."""
    subreddits: dict[str, str | None] = field(default_factory=dict)
    """By the item's fullname, the name of its subreddit."""
    subreddit_fullnames: dict[str, str | None] = field(default_factory=dict)
    """By the subreddit's name."""

    def leave_out(self, fullnames: Collection[str]) -> None:
        """Forget these items."""
        for fullname in fullnames:
            self.fields.pop(fullname, None)
            self.subreddits.pop(fullname, None)


def pack_items(
    form: CopyFormat,
    columns: Mapping[str, Sequence[Any]],
    retrieved_at: Sequence[datetime] | None = None,
) -> PackedItems:
    """Pack items, given as a column for each of their fields and one of when a dump read them.

    Of several with one name the one stands that was read last, or the last.
    """
    values = {name: column for name, column in columns.items() if name not in NO_COLUMNS}
    if retrieved_at is not None:
        values["retrieved_at"] = retrieved_at
    present, rows = form.pack(values)
    fullnames = columns["fullname"]
    packed = list(zip(fullnames, rows, columns["subreddit"], strict=True))
    if retrieved_at is not None and len(set(fullnames)) < len(fullnames):
        packed = [packed[i] for i in sorted(range(len(packed)), key=retrieved_at.__getitem__)]
    names = dict(zip(columns["subreddit"], columns["subreddit_fullname"], strict=True))
    names.pop(None, None)
    return PackedItems(
        present,
        {fullname: row for fullname, row, _ in packed},
        {fullname: subreddit for fullname, _, subreddit in packed},
        names,
    )
