"""Worlds from recorded items: NDJSON files of `data` objects, plain or compressed.

Recorded items are served byte for byte, so that a collector meets the real values with all their
oddities. Two keys may differ, because every answer of the API has them: `name` is added if a line lacks
it, and `replies` of comments are made anew. A comment whose parent was not recorded is in the listings
and in `/api/info`, but in no tree.
"""

import gzip
import io
import json
import math
import re
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import zstandard

from .clock import VirtualClock
from .generate import AUTHORS
from .model import Comment, Item, Post, Subreddit, base36
from .pages import dumps
from .roster import stable_seed
from .world import World

_ID = re.compile(r"[0-9a-z]{1,13}")
_PLACE = re.compile(r"/r/([^/]+)/comments/")
_PROBLEMS_KEPT = 100
_STATIC = 10**9  # an hour so late that nothing is ever generated


class LoadError(Exception):
    """A file could not be read at all."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A line that was left out."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.reason}"


@dataclass(slots=True)
class LoadReport:
    """The result of loading. ``problems`` holds the first hundred of the ``rejected`` lines."""

    posts: int = 0
    comments: int = 0
    duplicates: int = 0
    """Lines whose item an earlier line had, too; the later line counts."""
    rejected: int = 0
    problems: list[Problem] = field(default_factory=list)

    def reject(self, problem: Problem) -> None:
        """Count a bad line."""
        self.rejected += 1
        if len(self.problems) < _PROBLEMS_KEPT:
            self.problems.append(problem)


def _open(path: Path) -> io.BufferedIOBase:
    handle = path.open("rb")
    magic = handle.read(4)
    handle.seek(0)
    if magic[:2] == b"\x1f\x8b":
        return gzip.open(handle, "rb")
    if magic == b"\x28\xb5\x2f\xfd":
        # The public dumps are compressed with a window of two gigabytes.
        decompressor = zstandard.ZstdDecompressor(max_window_size=2**31)
        reader = decompressor.stream_reader(handle, read_across_frames=True)
        return io.BufferedReader(reader)
    return handle


def _lines(path: Path, report: LoadReport) -> Iterator[tuple[int, bytes]]:
    number = 0
    try:
        with _open(path) as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield number, line.strip()
    except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as failure:
        report.reject(Problem(str(path), number + 1, f"the compressed file is damaged: {failure}"))
    except OSError as failure:
        message = f"Cannot read {path}: {failure.strerror or failure}. Check the --load path."
        raise LoadError(message) from failure


class _Rejected(Exception):
    """The line is no item."""


def _decode(line: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        try:
            value = json.loads(line)  # accepts NaN and lone surrogates, which recordings hold
        except (ValueError, RecursionError) as failure:
            message = f"not JSON: {failure}"
            raise _Rejected(message) from failure
    if not isinstance(value, dict):
        message = f"a JSON {type(value).__name__}, not an object"
        raise _Rejected(message)
    return value


def _kind(data: dict[str, Any]) -> str:
    name = data.get("name")
    if isinstance(name, str) and name[:3] in ("t1_", "t3_"):
        return name[:2]
    if "title" in data:
        return "t3"
    if "body" in data or "link_id" in data:
        return "t1"
    message = "neither a post (title) nor a comment (body, link_id)"
    raise _Rejected(message)


def _identifier(data: dict[str, Any], kind: str) -> str:
    name, identifier = data.get("name"), data.get("id")
    if identifier is None and isinstance(name, str):
        identifier = name.removeprefix(f"{kind}_")
    if not isinstance(identifier, str) or not _ID.fullmatch(identifier):
        message = f"id {identifier!r} is not 1 to 13 base-36 characters"
        raise _Rejected(message)
    return identifier


def _created(data: dict[str, Any]) -> float:
    value = data.get("created_utc")
    try:
        moment = math.nan if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        moment = math.nan
    if not math.isfinite(moment):
        message = f"created_utc {value!r} is not a time"
        raise _Rejected(message)
    return moment


def _place(data: dict[str, Any]) -> str | None:
    name = data.get("subreddit")
    if isinstance(name, str) and name:
        return name
    prefixed = data.get("subreddit_name_prefixed")
    if isinstance(prefixed, str) and prefixed.startswith("r/"):
        return prefixed[2:]
    match = _PLACE.search(str(data.get("permalink") or ""))
    return match[1] if match else None


class Loader:
    """Collects recorded items, then makes a world of them."""

    def __init__(self) -> None:
        self.report = LoadReport()
        self._subreddits: dict[str, Subreddit] = {}
        self._items: dict[str, Item] = {}
        self._links: dict[str, tuple[str, str]] = {}
        """For each comment, the fullnames of its post and its parent."""
        self._authors: dict[str, int] = {}
        self._names: dict[int, str] = {}

    def read(self, path: Path) -> None:
        """Read a file and count its bad lines; raises LoadError if the file cannot be read."""
        for number, line in _lines(path, self.report):
            try:
                self._add(line)
            except _Rejected as reason:
                self.report.reject(Problem(str(path), number, str(reason)))

    def _add(self, line: bytes) -> None:
        data, raw = _decode(line), line
        if data.get("kind") in ("t1", "t3") and isinstance(data.get("data"), dict):
            data = data["data"]
            raw = dumps(data)
        kind = _kind(data)
        identifier = _identifier(data, kind)
        created = _created(data)
        place = _place(data)
        sub = None if place is None else self._subreddit(place, data, created)
        common: dict[str, Any] = {
            "sub": sub,
            "number": int(identifier, 36),
            "created": created,
            "author": self._author(data.get("author")),
            "seed": 0,
        }
        item: Item
        if kind == "t3":
            item = Post(**common)
            item.heading = str(data.get("title") or "")
        else:
            item = Comment(post=None, parent=None, **common)
            if "replies" in data:
                raw = dumps({key: value for key, value in data.items() if key != "replies"})
        # int() drops leading zeros. So keep the id as it was recorded.
        item.id = identifier
        points = data.get("score")
        item.final_score = points if isinstance(points, int) else 1
        fullname = f"{kind}_{identifier}"
        item.raw = raw if "name" in data else b'{"name":"%b",' % fullname.encode() + raw[1:]
        if fullname in self._items:
            self.report.duplicates += 1
        self._items[fullname] = item
        if kind == "t1":
            parents = str(data.get("link_id")), str(data.get("parent_id"))
            self._links[fullname] = parents

    def _subreddit(self, name: str, data: dict[str, Any], created: float) -> Subreddit:
        sub = self._subreddits.get(name.lower())
        if sub is None:
            index = len(self._subreddits)
            given = str(data.get("subreddit_id") or "").removeprefix("t5_")
            known = _ID.fullmatch(given) is not None
            subscribers = data.get("subreddit_subscribers")
            sub = Subreddit(
                name=name,
                index=index,
                id=given if known else base36(36**4 + stable_seed(name.lower()) % 36**4),
                title=name,
                created=created,
                subscribers=subscribers if isinstance(subscribers, int) else 0,
                generated=_STATIC,
            )
            self._subreddits[name.lower()] = sub
        return sub

    def _author(self, name: object) -> int:
        if not isinstance(name, str) or name in ("", "[deleted]"):
            return -1
        number = self._authors.setdefault(name.lower(), AUTHORS + len(self._authors))
        self._names.setdefault(number, name)
        return number

    def world(self, *, clock: VirtualClock | None = None, cache_bytes: int = 2**26) -> World:
        """Return the world of the items that were read.

        Without a clock, the time is the present, or a minute after the newest item if that is later.
        """
        newest = max((item.created for item in self._items.values()), default=0.0)
        if clock is None:
            clock = VirtualClock()
            if clock.now() <= newest:
                clock.set(newest + 60.0)
        world = World(clock=clock, subreddits=self._subreddits.values(), cache_bytes=cache_bytes)
        world.named_authors.update(self._names)
        world.index.update(self._items)
        self._thread()
        for item in self._items.values():
            if isinstance(item, Post):
                self.report.posts += 1
            else:
                self.report.comments += 1
            if item.sub is None:
                continue
            if isinstance(item, Post):
                item.sub.posts.append(item)
            elif isinstance(item, Comment):
                item.sub.comments.append(item)
        for sub in self._subreddits.values():
            sub.posts.sort(key=lambda item: (item.created, item.number))
            sub.comments.sort(key=lambda item: (item.created, item.number))
        return world

    def _thread(self) -> None:
        """Attach comments to their posts, parents first, in whatever order they were read."""
        below: dict[str, list[Comment]] = {}
        for fullname, (link, parent) in self._links.items():
            comment = self._items[fullname]
            post = self._items.get(link)
            if isinstance(comment, Comment) and isinstance(post, Post):
                comment.post = post
                if comment.sub is None:
                    comment.sub = post.sub
                below.setdefault(parent, []).append(comment)
        for post in [item for item in self._items.values() if isinstance(item, Post)]:
            waiting: deque[tuple[Comment | None, Comment]] = deque(
                (None, reply) for reply in below.pop(post.fullname, ())
            )
            while waiting:
                parent_comment, comment = waiting.popleft()
                if parent_comment is not None:
                    comment.attach(parent_comment)
                post.comments.append(comment)
                replies = below.pop(comment.fullname, ())
                waiting.extend((comment, reply) for reply in replies)


def load(
    paths: Iterable[Path], *, clock: VirtualClock | None = None, cache_bytes: int = 2**26
) -> tuple[World, LoadReport]:
    """Return a static world of the items in files. Raises LoadError for a file that cannot be read."""
    loader = Loader()
    for path in paths:
        loader.read(path)
    return loader.world(clock=clock, cache_bytes=cache_bytes), loader.report
