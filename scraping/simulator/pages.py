"""Serialised items, kept while they stay true, and joined into answers.

A page of 100 posts is half a megabyte. If the simulator built it from dictionaries every time, the
simulator would be the bottleneck of every measurement.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from .model import Comment, Item, Post
from .render import Renderer


def dumps(value: Any) -> bytes:
    """Return JSON text; Python's json writes what orjson refuses, such as lone surrogates."""
    try:
        return orjson.dumps(value)
    except (TypeError, orjson.JSONEncodeError):
        return json.dumps(value).encode()


class Pages:
    """Returns items as JSON bytes, and keeps up to ``capacity`` bytes of them in all."""

    def __init__(self, renderer: Renderer, *, capacity: int = 256 * 2**20) -> None:
        self._renderer = renderer
        self._capacity = capacity
        self._size = 0
        self._kept: dict[tuple[Item, str], tuple[float, float, bytes]] = {}

    def forget(self) -> None:
        """Drop everything: the clock went backwards or a subreddit changed."""
        self._kept.clear()
        self._size = 0

    def forget_item(self, item: Item) -> None:
        """Drop everything that shows this item, after a control request has changed it."""
        for form in ("listing", "base", "post_page", "link", "parts"):
            kept = self._kept.pop((item, form), None)
            if kept is not None:
                self._size -= len(kept[2])
        if isinstance(item, Post):
            for comment in item.comments:
                self.forget_item(comment)
        elif isinstance(item, Comment) and item.post is not None:
            for form in ("listing", "post_page", "link"):
                kept = self._kept.pop((item.post, form), None)
                if kept is not None:
                    self._size -= len(kept[2])

    def _untouched(self, item: Item, now: float) -> bool:
        """Whether a recorded item is still as it was recorded."""
        return (
            item.raw is not None
            and item.fields is None
            and now < item.gone_at
            and now < item.edited_at
            and not self._renderer.anonymous(item)
        )

    def _keep(
        self, item: Item, form: str, now: float, build: Callable[[], tuple[bytes, float]]
    ) -> bytes:
        kept = self._kept.get((item, form))
        if kept is not None and kept[0] <= now < kept[1]:
            return kept[2]
        content, until = build()
        if kept is not None:
            self._size -= len(kept[2])
        self._kept[item, form] = (now, until, content)
        self._size += len(content)
        if self._size > self._capacity:
            self._shrink()
        return content

    def _shrink(self) -> None:
        for entry in list(self._kept)[: len(self._kept) // 3 + 1]:
            self._size -= len(self._kept.pop(entry)[2])

    def thing(self, item: Item, now: float) -> bytes:
        """Return ``{"kind": ..., "data": {...}}`` as listings show it."""
        if self._untouched(item, now):
            return _recorded(item)
        kept = self._kept.get((item, "listing"))
        if kept is not None and kept[0] <= now < kept[1]:
            return kept[2]
        return self._keep(item, "listing", now, lambda: self._thing(item, now))

    def _thing(self, item: Item, now: float) -> tuple[bytes, float]:
        if isinstance(item, Post):
            data, until = self._renderer.post(item, now)
            return _thing(b"t3", _dumps_as(item, data)), until
        assert isinstance(item, Comment)  # noqa: S101 - there is no third kind
        data, until = self._renderer.comment(item, now)
        if "replies" not in data:
            data["replies"] = ""
        if item.post is not None and item.raw is None:
            link, link_until = self._renderer.link_fields(item.post, now)
            data.update(link)
            until = min(until, link_until)
        return _thing(b"t1", _dumps_as(item, data)), until

    def bare(self, item: Item, now: float) -> bytes:
        """Return the item as `/api/info` shows it: comments without the fields of their post."""
        if isinstance(item, Post) or self._untouched(item, now):
            return self.thing(item, now)
        body = self._base(item, now)
        return _thing(b"t1", body[:-1] + b',"replies":""}')

    def post_page(self, post: Post, now: float) -> bytes:
        """Return the post as its own page shows it: with `num_duplicates`."""
        if self._untouched(post, now):
            return _recorded(post)

        def build() -> tuple[bytes, float]:
            data, until = self._renderer.post(post, now)
            if post.raw is None:
                data["num_duplicates"] = 0
            return _thing(b"t3", _dumps_as(post, data)), until

        return self._keep(post, "post_page", now, build)

    def _base(self, item: Item, now: float) -> bytes:
        def build() -> tuple[bytes, float]:
            assert isinstance(item, Comment)  # noqa: S101 - posts have one form only
            data, until = self._renderer.comment(item, now)
            data.pop("replies", None)
            data.pop("depth", None)
            return _dumps_as(item, data), until

        return self._keep(item, "base", now, build)

    def node(self, comment: Comment, now: float, *, depth: int, replies: bytes = b'""') -> bytes:
        """Return the comment as trees show it: with its depth and its replies."""
        body = self._base(comment, now)
        return b'{"kind":"t1","data":%b,"depth":%d,"replies":%b}}' % (body[:-1], depth, replies)


def _dumps_as(item: Item, data: dict[str, Any]) -> bytes:
    """Return JSON text. orjson writes NaN as null, so recorded items do not go through orjson."""
    return dumps(data) if item.raw is None else json.dumps(data).encode()


def _recorded(item: Item) -> bytes:
    assert item.raw is not None  # noqa: S101 - see Pages._untouched
    if isinstance(item, Post):
        return _thing(b"t3", item.raw)
    return _thing(b"t1", item.raw[:-1] + b',"replies":""}')


def _thing(kind: bytes, data: bytes) -> bytes:
    return b'{"kind":"%b","data":%b}' % (kind, data)


def listing(
    children: Iterable[bytes],
    *,
    after: str | None = None,
    before: str | None = None,
    dist: int | None = None,
) -> bytes:
    """Return a Listing around things that are serialised already."""
    return (
        b'{"kind":"Listing","data":{"after":%b,"dist":%b,"modhash":null,"geo_filter":"",'
        b'"children":[%b],"before":%b}}'
    ) % (dumps(after), dumps(dist), b",".join(children), dumps(before))


def escape_entities(body: bytes) -> bytes:
    """Escape text as Reddit does unless the request says ``raw_json=1``.

    This may work on the finished JSON, because no punctuation of JSON is an HTML special character.
    """
    return body.replace(b"&", b"&amp;").replace(b"<", b"&lt;").replace(b">", b"&gt;")
