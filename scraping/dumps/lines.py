"""Turn lines of dumps into rows: what a line is, when it was read, and how its texts are written.

Dumps hold Reddit's answers as they came. Answers that were fetched without raw_json=1 have each &, <
and > of their texts as an entity, and never bare. So an item with a bare character was fetched with
raw_json=1, or decoded since. An item with entities alone may be of either kind, because its author may
have typed "&amp;". The file as read so far decides: entities are decoded if more items have entities
alone than have bare characters.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any, cast

import orjson
from msgspec import UNSET, Struct, UnsetType

from scraping.content import emptying
from scraping.content.binary_copy import CopyFormat
from scraping.content.emptying import COMMENT_PARTS, POST_PARTS
from scraping.content.rows import TOGETHER, PackedItems
from scraping.dumps import entities
from scraping.dumps.gathering import Gathered
from scraping.reddit.fast_fields import LATEST, Columns, decoder, thing_type
from scraping.reddit.parse import (
    DELETED_CATEGORIES,
    PLAIN_KEYS,
    ParseError,
    comment_columns,
    post_columns,
)

POST_TEXTS = ("title", "selftext", "url", "link_flair_text", "author_flair_text")
COMMENT_TEXTS = ("body", "author_flair_text")

# Keys that say when the makers of a dump read the item; `_meta` may hold the time of a second look.
RETRIEVAL_KEYS = ("retrieved_on", "retrieved_utc", "_meta")
RETRIEVED_AGAIN = "retrieved_2nd_on"


class Line(Struct, gc=False):
    """The keys of a line that this module reads by name; a `PlainLine` has all stored keys.

    An odd line becomes a `PlainLine` that only tells when the line was retrieved.
    """

    name: str | UnsetType | None = UNSET
    title: str | UnsetType | None = UNSET
    body: str | UnsetType | None = UNSET
    subreddit: str | UnsetType | None = UNSET
    retrieved_on: Any = None
    retrieved_utc: Any = None
    _meta: Any = None


PlainLine = thing_type(Line, PLAIN_KEYS | dict.fromkeys(RETRIEVAL_KEYS, Any))
decode_plain = decoder(PlainLine)


# A line that is an item: its number, its bytes and its decoded keys.
Numbered = tuple[int, bytes, Line]


@dataclass(frozen=True, slots=True)
class Filters:
    """The filter of lines: subreddits in lower case (none: all), and since <= created < until."""

    subreddits: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None

    def want_subreddit(self, name: Any) -> bool:
        """Whether this is the name of a wanted subreddit."""
        if not self.subreddits:
            return True
        return isinstance(name, str) and name.lower() in self.subreddits

    def want_time(self, created_at: float) -> bool:
        """Whether the item was written at a wanted time, given in seconds since 1970."""
        return (self.since is None or self.since.timestamp() <= created_at) and (
            self.until is None or created_at < self.until.timestamp()
        )

    @property
    def want_any_time(self) -> bool:
        """Whether all times are wanted."""
        return self.since is None and self.until is None

    def as_json(self) -> dict[str, Any]:
        """Return the filters as JSON, in one order whatever order they were given in."""
        return {
            "subreddits": sorted(self.subreddits),
            "since": self.since.isoformat() if self.since else None,
            "until": self.until.isoformat() if self.until else None,
        }


@dataclass(slots=True)
class Reading:
    """The result of reading some lines."""

    posts: PackedItems = field(default_factory=PackedItems)
    comments: PackedItems = field(default_factory=PackedItems)
    post_lines: int = 0
    comment_lines: int = 0
    rejects: list[tuple[int, str, bytes]] = field(default_factory=list)
    """Number, reason and text of each line that is no item."""
    filtered: int = 0
    deleted: int = 0
    encoded: int = 0
    plain: int = 0


class LineReader:
    """Turns lines into packed items; remembers how the file has written its texts so far."""

    def __init__(
        self,
        filters: Filters,
        *,
        posts: CopyFormat,
        comments: CopyFormat,
        encoded: int = 0,
        plain: int = 0,
        purge_removed: bool = True,
    ) -> None:
        self._filters = filters
        self._purge_removed = purge_removed
        self._posts = posts
        self._comments = comments
        self._encoded = encoded
        self._plain = plain

    def read(self, lines: list[bytes], *, first_line: int) -> Reading:
        """Read lines; `first_line` is the number of the first line. Empty lines are skipped."""
        reading = Reading()
        posts = Gathered(post_columns, POST_TEXTS, POST_PARTS, self._posts)
        comments = Gathered(comment_columns, COMMENT_TEXTS, COMMENT_PARTS, self._comments)
        for start in range(0, len(lines), TOGETHER):
            some = lines[start : start + TOGETHER]
            numbered = [*zip(count(first_line + start), some, map(decode_plain, some))]
            found = self._sorted(numbered, reading)
            self._gather(posts, found[True], reading)
            self._gather(comments, found[False], reading)
        reading.rejects.sort(key=lambda reject: reject[0])
        self._encoded += reading.encoded
        self._plain += reading.plain
        for items in (posts, comments):
            items.settle(decode=self._encoded > self._plain)
        reading.post_lines, reading.comment_lines = len(posts.rows), len(comments.rows)
        reading.posts, reading.comments = posts.packed(), comments.packed()
        reading.deleted = len(reading.posts.gone) + len(reading.comments.gone)
        return reading

    def _sorted(
        self, lines: list[tuple[int, bytes, Line | None]], reading: Reading
    ) -> dict[bool, list[Numbered]]:
        """Return the wanted posts (True) and the wanted comments (False) among these lines."""
        found: dict[bool, list[Numbered]] = {True: [], False: []}
        kinds = {
            thing.name[:3] if thing is not None and isinstance(thing.name, str) else None
            for _, _, thing in lines
        }
        if kinds in ({"t3_"}, {"t1_"}) and not self._filters.subreddits:
            # Hot path: every line has a kind, so no thing is None.
            found[kinds == {"t3_"}] = cast("list[Numbered]", lines)
            return found
        for number, line, thing in lines:
            if line and not line.isspace():
                try:
                    self._sort(number, line, thing, found, reading)
                except ParseError as fault:
                    reading.rejects.append((number, fault.reason, line))
        return found

    def _sort(
        self,
        number: int,
        line: bytes,
        thing: Line | None,
        found: Mapping[bool, list[Numbered]],
        reading: Reading,
    ) -> None:
        is_post = subreddit = None
        if thing is not None:
            subreddit = thing.subreddit
            is_post = _is_post(
                thing.name, title=thing.title is not UNSET, body=thing.body is not UNSET
            )
        if thing is None or is_post is None:
            data = _decoded(line)
            is_post = _is_post(data.get("name"), title="title" in data, body="body" in data)
            if is_post is None:
                raise ParseError("?", f"neither a post nor a comment, keys: {sorted(data)[:10]!r}")
            subreddit = data.get("subreddit")
            thing = PlainLine(**{key: data[key] for key in RETRIEVAL_KEYS if key in data})
        if self._filters.want_subreddit(subreddit):
            found[is_post].append((number, line, thing))
        else:
            reading.filtered += 1

    def _gather(self, onto: Gathered, lines: list[Numbered], reading: Reading) -> None:
        if not lines:
            return
        things = [thing for _, _, thing in lines]
        columns, faults = onto.parse(things, lambda place: _decoded(lines[place][1]))
        for place, fault in faults.items():
            reading.rejects.append((lines[place][0], fault.reason, lines[place][1]))
        wanted, categories = self._places_to_store(things, columns, faults, reading)
        if not wanted:
            return
        if len(wanted) < len(things):
            things = [things[place] for place in wanted]
            columns = {
                name: [column[place] for place in wanted] for name, column in columns.items()
            }
            categories = [categories[place] for place in wanted]
        columns["retrieved_at"] = _retrievals(things, columns["created_at"])
        columns = onto.empty_gone(columns, categories, purge_removed=self._purge_removed)
        special = entities.with_special([columns[name] for name in onto.texts])
        encoded = [
            place
            for place in special
            if not entities.has_bare("\n".join(columns[name][place] or "" for name in onto.texts))
        ]
        reading.encoded += len(encoded)
        reading.plain += len(special) - len(encoded)
        decode = self._encoded + reading.encoded > self._plain + reading.plain
        onto.add(columns, encoded, decode=decode)

    def _places_to_store(
        self,
        things: list[Line],
        columns: Columns,
        faults: Collection[int],
        reading: Reading,
    ) -> tuple[Sequence[int], Sequence[str | None]]:
        """Return the places of the items to be stored, and by whom each item was removed.

        Marks items that a second look has found gone, as their lines say.
        """
        metas = [thing._meta for thing in things]
        categories = columns.get("removed_by_category") or [None] * len(things)
        if not faults and self._filters.want_any_time and metas.count(None) == len(metas):
            return range(len(things)), categories
        wanted: list[int] = []
        removals = columns["removal"] = [*columns["removal"]]
        categories = [*categories]
        if "removed_by_category" in columns:
            columns["removed_by_category"] = categories
        for place, (created_at, meta) in enumerate(zip(columns["created_at"], metas, strict=True)):
            if place in faults:
                continue
            if not self._filters.want_time(created_at):
                reading.filtered += 1
            else:
                wanted.append(place)
                if isinstance(meta, dict):
                    _apply_second_look(meta, removals, categories, place)
        return wanted, categories


def _decoded(line: bytes) -> dict[str, Any]:
    try:
        data = orjson.loads(line)
    except orjson.JSONDecodeError:
        try:
            # json accepts NaN and lone surrogates, and a line that has them can still be an item.
            data = json.loads(line.decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise ParseError("?", f"not JSON: {error}") from error
    if not isinstance(data, dict):
        raise ParseError("?", f"expected an object, got {type(data).__name__}")
    return data


def _is_post(name: Any, *, title: bool, body: bool) -> bool | None:
    """Whether an item with this name, and with a title or a body, is a post; None if it is neither."""
    kind = name[:3] if isinstance(name, str) else ""
    if kind == "t3_" or (kind != "t1_" and title):
        return True
    return False if kind == "t1_" or body else None


def _retrievals(things: list[Line], created_at: Sequence[float]) -> Sequence[float]:
    if all(thing.retrieved_on is thing.retrieved_utc is thing._meta is None for thing in things):
        return created_at
    return [*map(_retrieved_at, things, created_at)]


def _retrieved_at(thing: Line, created_at: float) -> float:
    """Return the latest time at which the line was read; without any, when the item was written."""
    meta = thing._meta
    again = meta.get(RETRIEVED_AGAIN) if isinstance(meta, dict) else None
    told = [thing.retrieved_on, thing.retrieved_utc, again]
    numbers = [v for v in told if isinstance(v, int | float) and not isinstance(v, bool)]
    latest = max(numbers, default=0)
    return float(latest) if created_at < latest < LATEST else created_at


def _apply_second_look(
    meta: dict[str, Any], removals: list[str], categories: list[str | None], place: int
) -> None:
    """Mark an item as deleted or removed if a second look of the dump's makers has found it so.

    Arctic Shift keeps the texts of the first look and records beside them what became of the item.
    """
    removal = meta.get("removal_type")
    if removal in DELETED_CATEGORIES or (not removal and meta.get("was_deleted_later")):
        removals[place] = emptying.DELETED
    elif removal and removals[place] != emptying.DELETED:
        removals[place] = emptying.REMOVED
        categories[place] = categories[place] or str(removal)
