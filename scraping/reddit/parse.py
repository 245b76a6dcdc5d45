"""Reddit's things as rows, each on its own: a bad one raises `ParseError` and costs no other.

In a row None means that the answer did not have the key, so that absence never overwrites what is
known; a text that Reddit gave as null is "". The shapes and oddities that this takes are those of
fifteen years of recorded answers: numbers as text, `edited` as false, true, int or float, ads
without a subreddit, NUL characters and lone surrogates, dump lines without `name`.
"""

import logging
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

logger = logging.getLogger(__name__)

DELETED_AUTHOR = "[deleted]"
DELETED_TEXT = "[deleted]"
REMOVED_TEXT = "[removed]"
# Of `removed_by_category`: the author's own doing, as opposed to a moderator's or Reddit's.
DELETED_CATEGORIES = frozenset({"deleted", "author"})

# Generous: Reddit's ids have 2 to 8 characters. What is longer or of other characters is none, and
# would not fit an index, where it cost its whole page.
IDENTIFIER = re.compile(r"[!-~]{1,60}")
SUBREDDIT_NAME = re.compile(r"[ -~]{1,100}")
# JSON as deep as this is no field of an item but an attack on whoever reads it.
MAX_DEPTH = 40

POST_EXTRA = ("gallery_data", "poll_data", "link_flair_template_id", "content_categories")
COMMENT_EXTRA = ("author_flair_template_id", "associated_award")


class ParseError(ValueError):
    """An item that cannot be stored; `fullname` is "?" where not even that can be read."""

    def __init__(self, fullname: str, reason: str) -> None:
        super().__init__(f"{fullname}: {reason}")
        self.fullname = fullname
        self.reason = reason


@dataclass(slots=True)
class ParsedItem:
    """What posts and comments have in common, named as the columns are."""

    fullname: str
    subreddit: str | None
    subreddit_fullname: str | None
    author: str | None
    author_fullname: str | None
    author_flair_text: str | None
    created_at: datetime
    edited: bool | None
    edited_at: datetime | None
    score: int | None
    score_hidden: bool | None
    distinguished: str | None
    stickied: bool | None
    locked: bool | None
    archived: bool | None
    permalink: str | None
    removal: str
    extra: dict[str, Any]


@dataclass(slots=True)
class ParsedPost(ParsedItem):
    """A post."""

    title: str
    selftext: str | None
    url: str | None
    domain: str | None
    link_flair_text: str | None
    num_comments: int | None
    num_crossposts: int | None
    upvote_ratio: float | None
    over_18: bool | None
    spoiler: bool | None
    is_self: bool | None
    is_video: bool | None
    quarantine: bool | None
    post_hint: str | None
    crosspost_parent: str | None
    removed_by_category: str | None


@dataclass(slots=True)
class ParsedComment(ParsedItem):
    """A comment."""

    body: str
    link_fullname: str | None
    parent_fullname: str | None
    is_submitter: bool | None
    controversiality: int | None


def parse_post(data: Any) -> ParsedPost:
    """Turn the `data` of a t3 into a row; raise `ParseError` naming what is wrong."""
    reader = _Reader(data, "t3")
    category = reader.text("removed_by_category")
    selftext = reader.text("selftext")
    return ParsedPost(
        **reader.common(
            removal=_post_removal(category, reader.text("author"), selftext),
            score_hidden=reader.flag("hide_score"),
            extra=POST_EXTRA,
        ),
        title=reader.required_text("title"),
        selftext=selftext,
        url=reader.text("url"),
        domain=reader.text("domain"),
        link_flair_text=reader.text("link_flair_text"),
        num_comments=reader.integer("num_comments"),
        num_crossposts=reader.integer("num_crossposts"),
        upvote_ratio=reader.real("upvote_ratio"),
        over_18=reader.flag("over_18"),
        spoiler=reader.flag("spoiler"),
        is_self=reader.flag("is_self"),
        is_video=reader.flag("is_video"),
        quarantine=reader.flag("quarantine"),
        post_hint=reader.text("post_hint"),
        crosspost_parent=reader.reference("crosspost_parent"),
        removed_by_category=category,
    )


def parse_comment(data: Any) -> ParsedComment:
    """Turn the `data` of a t1 into a row; raise `ParseError` naming what is wrong."""
    reader = _Reader(data, "t1")
    body = reader.required_text("body")
    return ParsedComment(
        **reader.common(
            removal=_comment_removal(reader.text("author"), body),
            score_hidden=reader.flag("score_hidden"),
            extra=COMMENT_EXTRA,
        ),
        body=body,
        link_fullname=reader.reference("link_id"),
        parent_fullname=reader.reference("parent_id"),
        is_submitter=reader.flag("is_submitter"),
        controversiality=reader.integer("controversiality"),
    )


PARSERS = {"t3": parse_post, "t1": parse_comment}


def clean_text(text: str) -> str:
    """Replace what passes JSON and PostgreSQL refuses: NUL characters and lone surrogates."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    try:
        text.encode()
    except UnicodeEncodeError:
        # Joins the halves of a pair that came as two escapes; what is left alone is replaced.
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def clean_json(value: Any, *, depth: int = 0) -> Any:
    """Make a decoded JSON value storable as jsonb: texts cleaned, NaN, infinities and abysses null."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if not isinstance(value, dict | list):
        return value
    if depth == MAX_DEPTH:
        return None
    if isinstance(value, list):
        return [clean_json(entry, depth=depth + 1) for entry in value]
    return {clean_text(key): clean_json(entry, depth=depth + 1) for key, entry in value.items()}


def _post_removal(category: str | None, author: str | None, selftext: str | None) -> str:
    if category in DELETED_CATEGORIES:
        return "deleted"
    if category or selftext == REMOVED_TEXT:
        return "removed"
    return "deleted" if author == DELETED_AUTHOR and selftext == DELETED_TEXT else ""


def _comment_removal(author: str | None, body: str) -> str:
    if body == REMOVED_TEXT:
        return "removed"
    return "deleted" if author == DELETED_AUTHOR and body == DELETED_TEXT else ""


class _Reader:
    """Typed access to one thing's `data`.

    What an item cannot do without raises `ParseError`. An optional field of a type that Reddit never
    sent before costs that field and a line in the log, not the item.
    """

    def __init__(self, data: Any, kind: str) -> None:
        if not isinstance(data, dict):
            raise ParseError("?", f"expected an object, got {type(data).__name__}")
        self._data = data
        self.fullname = self._fullname(kind)

    def _fullname(self, kind: str) -> str:
        name = self._data.get("name")
        if isinstance(name, str) and name.startswith(f"{kind}_"):
            identifier = name.removeprefix(f"{kind}_")
            if IDENTIFIER.fullmatch(identifier):
                return name
        identifier = self._data.get("id")
        if isinstance(identifier, str) and IDENTIFIER.fullmatch(identifier):
            return f"{kind}_{identifier}"
        raise ParseError("?", f"neither name nor id, keys: {sorted(self._data)[:10]!r}")

    def text(self, key: str) -> str | None:
        value = self._data.get(key, ...)
        if value is ...:
            return None
        if value is None:
            return ""
        return clean_text(value) if isinstance(value, str) else self._odd(key, "text")

    def required_text(self, key: str) -> str:
        text = self.text(key)
        if text is None:
            raise self._fault(key, "text")
        return text

    def reference(self, key: str) -> str | None:
        """Another thing's fullname."""
        text = self.text(key)
        return text if not text or IDENTIFIER.fullmatch(text) else self._odd(key, "a fullname")

    def flag(self, key: str) -> bool | None:
        value = self._data.get(key)
        if value is None or isinstance(value, bool):
            return value
        return self._odd(key, "true or false")

    def number(self, key: str) -> float | None:
        value = self._data.get(key)
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                return self._odd(key, "a number")
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            return self._odd(key, "a number")
        return value

    def real(self, key: str) -> float | None:
        number = self.number(key)
        try:
            return None if number is None else float(number)
        except OverflowError:
            return self._odd(key, "a number that fits")

    def integer(self, key: str) -> int | None:
        number = self.number(key)
        if number is not None and not -(2**63) <= number < 2**63:
            return self._odd(key, "a 64-bit integer")
        return None if number is None else int(number)

    def moment(self, key: str) -> datetime | None:
        seconds = self.number(key)
        if seconds is None:
            return None
        try:
            return datetime.fromtimestamp(seconds, UTC)
        except (OverflowError, OSError, ValueError):
            return self._odd(key, "seconds since 1970")

    def _fault(self, key: str, expected: str) -> ParseError:
        value = repr(self._data[key])[:80] if key in self._data else "nothing"
        return ParseError(self.fullname, f"{key}: expected {expected}, got {value}")

    def _odd(self, key: str, expected: str) -> None:
        logger.warning("Field left out: %s", self._fault(key, expected))

    def _subreddit(self) -> str | None:
        name = self.text("subreddit")
        # Python and PostgreSQL fold the case of other letters differently, and Reddit has none.
        if name and not SUBREDDIT_NAME.fullmatch(name):
            return self._odd("subreddit", "an ASCII name")
        return name or None

    def common(self, *, removal: str, score_hidden: bool | None, extra: tuple[str, ...]) -> dict:
        created_at = self.moment("created_utc")
        if created_at is None:
            raise self._fault("created_utc", "seconds since 1970")
        edited = self._data.get("edited")
        edited_at = None if isinstance(edited, bool) else self.moment("edited")
        author, author_fullname = self.text("author"), self.text("author_fullname")
        if author == DELETED_AUTHOR and author_fullname is None:
            # Here absence is the message: the account must be forgotten with the name.
            author_fullname = ""
        return {
            "fullname": self.fullname,
            "subreddit": self._subreddit(),
            "subreddit_fullname": self.reference("subreddit_id") or None,
            "author": author,
            "author_fullname": author_fullname,
            "author_flair_text": self.text("author_flair_text"),
            "created_at": created_at,
            "edited": edited if isinstance(edited, bool) else (edited_at is not None or None),
            "edited_at": edited_at,
            "score": self.integer("score"),
            "score_hidden": score_hidden,
            "distinguished": self.text("distinguished"),
            "stickied": self.flag("stickied"),
            "locked": self.flag("locked"),
            "archived": self.flag("archived"),
            "permalink": self.text("permalink"),
            "removal": removal,
            "extra": {
                key: clean_json(self._data[key]) for key in extra if self._data.get(key) is not None
            },
        }
