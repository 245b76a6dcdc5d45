"""Search, as far as Reddit's is documented: words, quoted phrases and fields."""

import re
from dataclasses import dataclass

from .model import Post
from .render import Renderer

_TERM = re.compile(r'(?P<minus>-)?(?:(?P<field>[a-z_]+):)?(?:"(?P<phrase>[^"]*)"|(?P<word>\S+))')
_FIELDS = frozenset({"title", "selftext", "author", "subreddit", "flair", "site", "url", "self"})


@dataclass(frozen=True, slots=True)
class Term:
    """One condition: where to look, for what, and whether it must be absent."""

    field: str | None
    text: str
    negated: bool


def parse(query: str) -> list[list[Term]]:
    """Alternatives (joined by OR) of terms that must all hold; AND and brackets are implied."""
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
    """Holds posts against a parsed query."""

    def __init__(self, renderer: Renderer, query: str) -> None:
        self._renderer = renderer
        self._alternatives = parse(query)

    def __call__(self, post: Post, now: float) -> bool:
        """Whether the post is found."""
        if not self._alternatives:
            return False
        data, _ = self._renderer.post(post, now)
        texts = {
            "title": str(data.get("title") or "").lower(),
            "selftext": str(data.get("selftext") or "").lower(),
            "author": str(data.get("author") or "").lower(),
            "subreddit": str(data.get("subreddit") or "").lower(),
            "flair": str(data.get("link_flair_text") or "").lower(),
            "site": str(data.get("domain") or "").lower(),
            "url": str(data.get("url") or "").lower(),
            "self": "yes" if data.get("is_self") else "no",
        }
        return any(
            all(_holds(term, texts) != term.negated for term in terms)
            for terms in self._alternatives
        )


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
    """Whole words; scripts without spaces have no others, so there any occurrence counts."""
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
