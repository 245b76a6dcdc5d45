"""Lines of dumps as rows: what a line is, when it was read, and how its texts are written.

Dumps hold Reddit's answers as they came. Those that were fetched without raw_json=1 have each &, <
and > of their texts as an entity, and not one bare. So an item with a bare one was fetched with
raw_json=1 or decoded since. One with entities alone may be either: somebody may have written
"&amp;" in so many words. What the whole file shows until then decides: entities are decoded where
more items have entities alone than have bare characters.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from scraping.copying import CopyFormat
from scraping.packing import PackedItems, pack_items
from scraping.reddit.parse import DELETED_CATEGORIES, ParseError, comment_columns, post_columns
from scraping.reddit.plain import Columns

# What Reddit writes for &, < and >.
ENTITIES = ("&amp;", "&lt;", "&gt;")

POST_TEXTS = ("title", "selftext", "url", "link_flair_text", "author_flair_text")
COMMENT_TEXTS = ("body", "author_flair_text")

# Lines that are parsed together: few enough that the processor's cache holds what they make.
TOGETHER = 100

# Keys that say when the makers of a dump read the item, and a second time in `_meta`.
RETRIEVED = ("retrieved_on", "retrieved_utc")
RETRIEVED_AGAIN = "retrieved_2nd_on"
RETRIEVAL_KEYS = (*RETRIEVED, "_meta")

# A line that is an object: its number, the line and the object.
Numbered = tuple[int, bytes, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Filters:
    """Which lines are wanted: subreddits in lower case (none: all), since <= created < until."""

    subreddits: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None

    def want_subreddit(self, data: dict[str, Any]) -> bool:
        """Whether the item is of a wanted subreddit."""
        if not self.subreddits:
            return True
        name = data.get("subreddit")
        return isinstance(name, str) and name.lower() in self.subreddits

    def want_time(self, created_at: datetime) -> bool:
        """Whether the item was written at a wanted time."""
        return (self.since is None or self.since <= created_at) and (
            self.until is None or created_at < self.until
        )

    @property
    def want_any_time(self) -> bool:
        """Whether all times are wanted."""
        return self.since is None and self.until is None

    def as_json(self) -> dict[str, Any]:
        """The same for any order in which they were given."""
        return {
            "subreddits": sorted(self.subreddits),
            "since": self.since.isoformat() if self.since else None,
            "until": self.until.isoformat() if self.until else None,
        }


@dataclass(slots=True)
class Reading:
    """What came of some lines."""

    posts: PackedItems = field(default_factory=PackedItems)
    comments: PackedItems = field(default_factory=PackedItems)
    post_lines: int = 0
    comment_lines: int = 0
    rejects: list[tuple[int, str, bytes]] = field(default_factory=list)
    """Number, reason and text of each line that is no item."""
    filtered: int = 0
    withheld: int = 0
    encoded: int = 0
    plain: int = 0


@dataclass(slots=True)
class _Gathered:
    """Items of one kind, as they come out of the lines."""

    parse: Callable[[Sequence[dict[str, Any]]], tuple[Columns, dict[int, ParseError]]]
    texts: tuple[str, ...]
    columns: Columns = field(default_factory=dict)
    retrieved_at: list[datetime] = field(default_factory=list)
    undecided: list[int] = field(default_factory=list)
    """The places of those whose texts have entities alone."""

    def packed(self, form: CopyFormat) -> PackedItems:
        """All of them."""
        if not self.retrieved_at:
            return PackedItems()
        return pack_items(form, self.columns, self.retrieved_at)


class LineReader:
    """Turns lines into packed items; knows what the file has shown of its way of writing texts."""

    def __init__(
        self,
        filters: Filters,
        *,
        posts: CopyFormat,
        comments: CopyFormat,
        encoded: int = 0,
        plain: int = 0,
    ) -> None:
        self._filters = filters
        self._posts = posts
        self._comments = comments
        self._encoded = encoded
        self._plain = plain

    def read(self, lines: list[bytes], *, first_line: int, passed: Collection[int] = ()) -> Reading:
        """Read lines of which the first has this number, but for those `passed` over by number."""
        reading = Reading()
        posts = _Gathered(post_columns, POST_TEXTS)
        comments = _Gathered(comment_columns, COMMENT_TEXTS)
        for start in range(0, len(lines), TOGETHER):
            found: dict[bool, list[Numbered]] = {True: [], False: []}
            for number, line in enumerate(lines[start : start + TOGETHER], first_line + start):
                if not line or number in passed or line.isspace():
                    continue
                try:
                    self._sort(number, line, found, reading)
                except _NoItem as fault:
                    reading.rejects.append((number, str(fault), line))
            self._gather(posts, found[True], reading)
            self._gather(comments, found[False], reading)
        reading.rejects.sort(key=lambda reject: reject[0])
        self._encoded += reading.encoded
        self._plain += reading.plain
        if self._encoded > self._plain:
            _decode_entities(posts)
            _decode_entities(comments)
        reading.post_lines, reading.comment_lines = (
            len(posts.retrieved_at),
            len(comments.retrieved_at),
        )
        reading.posts, reading.comments = posts.packed(self._posts), comments.packed(self._comments)
        return reading

    def _sort(
        self, number: int, line: bytes, found: Mapping[bool, list[Numbered]], reading: Reading
    ) -> None:
        data = _decoded(line)
        if self._filters.want_subreddit(data):
            found[_is_post(data)].append((number, line, data))
        else:
            reading.filtered += 1

    def _gather(self, onto: _Gathered, lines: list[Numbered], reading: Reading) -> None:
        if not lines:
            return
        things = [thing for _, _, thing in lines]
        columns, faults = onto.parse(things)
        for place, fault in faults.items():
            reading.rejects.append((lines[place][0], fault.reason, lines[place][1]))
        wanted = self._wanted(things, columns, faults, reading)
        if len(wanted) < len(things):
            things = [things[place] for place in wanted]
            columns = {
                name: [column[place] for place in wanted] for name, column in columns.items()
            }
        before = len(onto.retrieved_at)
        for place, texts in enumerate(zip(*map(columns.get, onto.texts), strict=True), before):
            together = "\n".join(filter(None, texts))
            if "&" in together or "<" in together or ">" in together:
                if _has_bare(together):
                    reading.plain += 1
                else:
                    reading.encoded += 1
                    onto.undecided.append(place)
        onto.retrieved_at += _retrievals(things, columns["created_at"])
        for name, column in columns.items():
            onto.columns.setdefault(name, []).extend(column)

    def _wanted(
        self,
        things: list[dict[str, Any]],
        columns: Columns,
        faults: Collection[int],
        reading: Reading,
    ) -> Sequence[int]:
        """The places of the items to be stored; notes what has become of them since."""
        metas = [thing.get("_meta") for thing in things]
        if not faults and self._filters.want_any_time and metas.count(None) == len(metas):
            return range(len(things))
        wanted = []
        for place, (created_at, meta) in enumerate(zip(columns["created_at"], metas, strict=True)):
            if place in faults:
                continue
            if not self._filters.want_time(created_at):
                reading.filtered += 1
            elif isinstance(meta, dict) and not _obey(meta, columns["removal"], place):
                reading.withheld += 1
            else:
                wanted.append(place)
        return wanted


class _NoItem(Exception):
    """The line is neither a post nor a comment."""


def _decoded(line: bytes) -> dict[str, Any]:
    try:
        data = orjson.loads(line)
    except orjson.JSONDecodeError:
        try:
            # Takes NaN and lone surrogates, of which an item can be made all the same.
            data = json.loads(line.decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise _NoItem(f"not JSON: {error}") from error
    if not isinstance(data, dict):
        raise _NoItem(f"expected an object, got {type(data).__name__}")
    return data


def _is_post(data: dict[str, Any]) -> bool:
    name = data.get("name")
    kind = name[:3] if isinstance(name, str) else ""
    if kind == "t3_" or (kind != "t1_" and "title" in data):
        return True
    if kind == "t1_" or "body" in data:
        return False
    raise _NoItem(f"neither a post nor a comment, keys: {sorted(data)[:10]!r}")


def _retrievals(things: list[dict[str, Any]], created_at: list[datetime]) -> list[datetime]:
    told = [thing.get(key) for key in RETRIEVAL_KEYS for thing in things]
    if told.count(None) == len(told):
        return created_at
    return [*map(_retrieved_at, things, created_at)]


def _retrieved_at(data: dict[str, Any], created_at: datetime) -> datetime:
    """When the line's values were read, at the earliest: never before the item was written."""
    meta = data.get("_meta")
    again = meta.get(RETRIEVED_AGAIN) if isinstance(meta, dict) else None
    seconds = [
        value
        for value in (*map(data.get, RETRIEVED), again)
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    try:
        return max(created_at, datetime.fromtimestamp(max(seconds, default=0), UTC))
    except (OverflowError, OSError, ValueError):
        return created_at


def _obey(meta: dict[str, Any], removals: list[str], place: int) -> bool:
    """Heed what a second look of the dump's makers has shown; False where the author deleted it.

    Arctic Shift keeps the first look's texts and says beside them what has become of the item.
    """
    removal = meta.get("removal_type")
    if removal in DELETED_CATEGORIES:
        return False
    if removal:
        removals[place] = removals[place] or "removed"
        return True
    return not meta.get("was_deleted_later")


def _has_bare(texts: str) -> bool:
    """Whether one of the three characters stands for itself. Counting is much faster than a pattern."""
    if "<" in texts or ">" in texts:
        return True
    return texts.count("&") > sum(map(texts.count, ENTITIES))


def _decode_entities(items: _Gathered) -> None:
    columns = items.columns
    for place in items.undecided:
        for name in items.texts:
            if (text := columns[name][place]) and "&" in text:
                columns[name][place] = _unescaped(text)
        columns["extra"][place] = _unescaped_in(columns["extra"][place])


def _unescaped(text: str) -> str:
    # The ampersand last: "&amp;lt;" is how Reddit writes "&lt;".
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _unescaped_in(value: Any) -> Any:
    if isinstance(value, str):
        return _unescaped(value)
    if isinstance(value, list):
        return [_unescaped_in(entry) for entry in value]
    if isinstance(value, dict):
        return {key: _unescaped_in(entry) for key, entry in value.items()}
    return value
