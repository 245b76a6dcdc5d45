"""Lines of dumps as rows: what a line is, when it was read, and how its texts are written.

Dumps hold Reddit's answers as they came. Those that were fetched without raw_json=1 have each &, <
and > of their texts as an entity, and not one bare. So an item with a bare one was fetched with
raw_json=1 or decoded since. One with entities alone may be either: somebody may have written
"&amp;" in so many words. What the whole file shows until then decides: entities are decoded where
more items have entities alone than have bare characters.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from scraping.reddit.parse import (
    DELETED_CATEGORIES,
    ParsedComment,
    ParsedItem,
    ParsedPost,
    ParseError,
    parse_comment,
    parse_post,
)

# What Reddit writes for &, < and >.
ENTITIES = ("&amp;", "&lt;", "&gt;")

POST_TEXTS = ("title", "selftext", "url", "link_flair_text", "author_flair_text")
COMMENT_TEXTS = ("body", "author_flair_text")

# Keys that say when the makers of a dump read the item, and a second time in `_meta`.
RETRIEVED = ("retrieved_on", "retrieved_utc")
RETRIEVED_AGAIN = "retrieved_2nd_on"
RETRIEVAL_KEYS = (*RETRIEVED, "_meta")

Dumped = tuple[ParsedItem, datetime]


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

    posts: list[Dumped] = field(default_factory=list)
    comments: list[Dumped] = field(default_factory=list)
    rejects: list[tuple[int, str, bytes]] = field(default_factory=list)
    """Number, reason and text of each line that is no item."""
    filtered: int = 0
    withheld: int = 0
    encoded: int = 0
    plain: int = 0


class LineReader:
    """Turns lines into items; knows what the file has shown of its way of writing texts."""

    def __init__(self, filters: Filters, *, encoded: int = 0, plain: int = 0) -> None:
        self._filters = filters
        self._encoded = encoded
        self._plain = plain

    def read(self, lines: list[bytes], *, first_line: int, passed: Collection[int] = ()) -> Reading:
        """Read lines of which the first has this number, but for those `passed` over by number."""
        reading = Reading()
        undecided: list[ParsedItem] = []
        for number, line in enumerate(lines, first_line):
            if not line or number in passed or line.isspace():
                continue
            try:
                self._read(line, reading, undecided)
            except (ParseError, _NoItem) as fault:
                reading.rejects.append((number, getattr(fault, "reason", str(fault)), line))
        self._encoded += reading.encoded
        self._plain += reading.plain
        if self._encoded > self._plain:
            for item in undecided:
                _decode_entities(item)
        return reading

    def _read(self, line: bytes, reading: Reading, undecided: list[ParsedItem]) -> None:
        data = _decoded(line)
        if not self._filters.want_subreddit(data):
            reading.filtered += 1
            return
        is_post = _is_post(data)
        item = parse_post(data) if is_post else parse_comment(data)
        if not self._filters.want_time(item.created_at):
            reading.filtered += 1
            return
        meta = data.get("_meta")
        if isinstance(meta, dict) and not _obey(meta, item):
            reading.withheld += 1
            return
        texts = _texts(item)
        if texts:
            if _has_bare(texts):
                reading.plain += 1
            else:
                reading.encoded += 1
                undecided.append(item)
        (reading.posts if is_post else reading.comments).append((item, _retrieved_at(data, item)))


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


def _retrieved_at(data: dict[str, Any], item: ParsedItem) -> datetime:
    """When the line's values were read, at the earliest: never before the item was written."""
    if not any(key in data for key in RETRIEVAL_KEYS):
        return item.created_at
    meta = data.get("_meta")
    again = meta.get(RETRIEVED_AGAIN) if isinstance(meta, dict) else None
    seconds = [
        value
        for value in (*map(data.get, RETRIEVED), again)
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    try:
        return max(item.created_at, datetime.fromtimestamp(max(seconds, default=0), UTC))
    except (OverflowError, OSError, ValueError):
        return item.created_at


def _obey(meta: dict[str, Any], item: ParsedItem) -> bool:
    """Heed what a second look of the dump's makers has shown; False where the author deleted it.

    Arctic Shift keeps the first look's texts and says beside them what has become of the item.
    """
    removal = meta.get("removal_type")
    if removal in DELETED_CATEGORIES:
        return False
    if removal:
        item.removal = item.removal or "removed"
        return True
    return not meta.get("was_deleted_later")


def _texts(item: ParsedItem) -> str:
    """The item's texts that hold &, < or >, in one."""
    if isinstance(item, ParsedPost):
        texts = f"{item.title}\n{item.selftext}\n{item.url}\n{item.link_flair_text}"
    else:
        texts = item.body if isinstance(item, ParsedComment) else ""
    if item.author_flair_text:
        texts = f"{texts}\n{item.author_flair_text}"
    return texts if "&" in texts or "<" in texts or ">" in texts else ""


def _has_bare(texts: str) -> bool:
    """Whether one of the three characters stands for itself. Counting is much faster than a pattern."""
    if "<" in texts or ">" in texts:
        return True
    return texts.count("&") > sum(map(texts.count, ENTITIES))


def _decode_entities(item: ParsedItem) -> None:
    for name in POST_TEXTS if isinstance(item, ParsedPost) else COMMENT_TEXTS:
        text = getattr(item, name)
        if text and "&" in text:
            setattr(item, name, _unescaped(text))
    if item.extra:
        item.extra = {key: _unescaped_in(value) for key, value in item.extra.items()}


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
