"""Search, as far as Reddit's search is documented: words, quoted phrases and fields.

Each query has a listing of its own for each subreddit: up to 1,000 results out of all its posts.
"""

import math
import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

from .listings import PERIODS, View, newest, ranked
from .model import Item, Post, Subreddit
from .render import Renderer
from .world import World

_TERM = re.compile(r'(?P<minus>-)?(?:(?P<field>[a-z_]+):)?(?:"(?P<phrase>[^"]*)"|(?P<word>\S+))')
_MOST_KEPT = 512
"""The number of search listings that are kept at a time."""

_FIELDS = frozenset({"title", "selftext", "author", "subreddit", "flair", "site", "url", "self"})


@dataclass(frozen=True, slots=True)
class Term:
    """One condition: where to look, for what, and whether it must be absent."""

    field: str | None
    text: str
    negated: bool


def parse(query: str) -> list[list[Term]]:
    """Return alternatives (joined by OR) of terms that must all hold. AND and brackets are ignored."""
    alternatives: list[list[Term]] = [[]]
    negate = False
    for match in _TERM.finditer(query.replace("(", " ").replace(")", " ")):
        field = match["field"]
        word = match["phrase"] if match["phrase"] is not None else match["word"]
        if field is None and match["phrase"] is None and word in ("OR", "AND", "NOT"):
            if word == "OR":
                alternatives.append([])
            negate = word == "NOT"
            continue
        if field is not None and field not in _FIELDS:
            field, word = None, f"{field}:{word}"
        if word:
            alternatives[-1].append(Term(field, word.lower(), bool(match["minus"]) or negate))
        negate = False
    return [terms for terms in alternatives if terms]


class Matcher:
    """Compares posts with a parsed query."""

    def __init__(self, renderer: Renderer, query: str) -> None:
        self._renderer = renderer
        self._alternatives = parse(query)
        self._only_kind = all(
            term.field == "self" for terms in self._alternatives for term in terms
        )

    def __call__(self, post: Post, now: float) -> bool:
        """Whether the query finds the post."""
        if not self._alternatives:
            return False
        texts = self._kind(post) if self._only_kind else None
        texts = texts or self._texts(post, now)
        return any(
            all(_holds(term, texts) != term.negated for term in terms)
            for terms in self._alternatives
        )

    @staticmethod
    def _kind(post: Post) -> dict[str, str] | None:
        """Return whether the post is a text post, if that is known without rendering the whole post."""
        if post.raw is not None:
            return None
        is_self = (post.fields or {}).get("is_self", post.style == "self")
        return {"self": "yes" if is_self else "no"}

    def _texts(self, post: Post, now: float) -> dict[str, str]:
        data, _ = self._renderer.post(post, now)
        return {
            "title": str(data.get("title") or "").lower(),
            "selftext": str(data.get("selftext") or "").lower(),
            "author": str(data.get("author") or "").lower(),
            "subreddit": str(data.get("subreddit") or "").lower(),
            "flair": str(data.get("link_flair_text") or "").lower(),
            "site": str(data.get("domain") or "").lower(),
            "url": str(data.get("url") or "").lower(),
            "self": "yes" if data.get("is_self") else "no",
        }


class Searches:
    """The listings of searches, each kept until something in it may have changed.

    A search by age reads only as far as pages are asked for. Any other search has to look at every
    post.
    """

    def __init__(self, world: World, renderer: Renderer) -> None:
        self._world = world
        self._renderer = renderer
        self._views: dict[tuple[int, str, str, str], View] = {}

    def get(self, sub: Subreddit, *, query: str, sort: str, period: str, now: float) -> View:
        """Return what a query finds in one subreddit; `sort` is a listing's name or comments."""
        self._world.sync(sub, now)
        name = (sub.index, query, sort, period)
        # Both versions only grow. The world's version grows when an account changes, because searches
        # find posts by the author's name.
        version = sub.version + self._world.version
        view = self._views.pop(name, None)
        if view is None or not view.as_of <= now < view.until or view.version != version:
            view = self._build(sub.posts, version, query, sort, period, now)
        self._views[name] = view
        while len(self._views) > _MOST_KEPT:
            del self._views[next(iter(self._views))]
        return view

    def _build(
        self, posts: Sequence[Item], version: int, query: str, sort: str, period: str, now: float
    ) -> View:
        matcher = Matcher(self._renderer, query)

        def accepts(item: Item, at: float) -> bool:
            return (
                isinstance(item, Post)
                and item.fullname not in self._world.unindexed
                and matcher(item, at)
            )

        if sort != "new":
            return ranked(posts, now, version, sort=sort, period=period, accepts=accepts)
        age = PERIODS.get(period, math.inf)
        if age == math.inf:
            return newest(posts, now, version, accepts=accepts)
        first = bisect_left(posts, now - age, key=attrgetter("created"))
        view = newest(posts[first:], now, version, accepts=accepts)
        view.until = now  # the oldest posts leave the view as time passes
        return view


def _holds(term: Term, texts: dict[str, str]) -> bool:
    match term.field:
        case None:
            return _has_words(texts["title"], term.text) or _has_words(texts["selftext"], term.text)
        case "author" | "subreddit" | "site":
            return texts[term.field] == term.text
        case "self":
            return texts["self"] == ("yes" if term.text in ("yes", "1", "true") else "no")
        case field:
            return _has_words(texts[field], term.text)


def _has_words(text: str, words: str) -> bool:
    """Whether the text has the words as whole words; in scripts without spaces, anywhere."""
    position = text.find(words)
    while position >= 0:
        end = position + len(words)
        before = text[position - 1 : position]
        behind = text[end : end + 1]
        if not (before.isascii() and before.isalnum()) and not (
            behind.isascii() and behind.isalnum()
        ):
            return True
        position = text.find(words, position + 1)
    return False
