"""Read fields of Reddit's things as typed values, whatever oddity they have come with.

The reader accepts the shapes and oddities of fifteen years of recorded answers: numbers as text,
`edited` as false, true, int or float, ads without a subreddit, NUL characters and lone surrogates, dump
lines without `name`.
"""

import logging
import math
import re
from datetime import UTC, datetime
from typing import Any

logger = logging.getLogger(__name__)

DELETED_AUTHOR = "[deleted]"

# Generous limits: Reddit's ids have 2 to 8 characters. A longer text, or one with other characters, is
# no id. It would not fit an index, and its whole page would be lost.
IDENTIFIER = re.compile(r"[!-~]{1,60}")
SUBREDDIT_NAME = re.compile(r"[ -~]{1,100}")
# JSON as deep as this is no field of an item, but an attack on its reader.
MAX_DEPTH = 40


class ParseError(ValueError):
    """An item that cannot be stored; `fullname` is "?" if even the fullname cannot be read."""

    def __init__(self, fullname: str, reason: str) -> None:
        super().__init__(f"{fullname}: {reason}")
        self.fullname = fullname
        self.reason = reason


def clean_text(text: str) -> str:
    """Replace what JSON allows and PostgreSQL refuses: NUL characters and lone surrogates."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    try:
        text.encode()
    except UnicodeEncodeError:
        # Joins the halves of a pair that came as two escapes, and replaces halves that stay alone.
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def clean_json(value: Any, *, depth: int = 0) -> Any:
    """Make a decoded JSON value storable as jsonb: clean texts, replace NaN, infinities and great depth."""
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


class ThingReader:
    """Typed access to one thing's `data`, whatever it holds.

    A fault in a field that an item needs raises `ParseError`. An optional field with a type that Reddit
    never sent before is left out, with a line in the log, and the item is kept.
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
        bare = self._data.get("id")
        if isinstance(bare, str) and IDENTIFIER.fullmatch(bare):
            return f"{kind}_{bare}"
        raise ParseError("?", f"neither name nor id, keys: {sorted(self._data)[:10]!r}")

    def text(self, key: str) -> str | None:
        value = self._data.get(key, ...)
        if value is ...:
            return None
        if value is None:
            return ""
        if isinstance(value, str):
            return clean_text(value)
        self._odd(key, "text")
        return None

    def required_text(self, key: str) -> str:
        text = self.text(key)
        if text is None:
            raise self._fault(key, "text")
        return text

    def reference(self, key: str) -> str | None:
        """Return the fullname of another thing."""
        text = self.text(key)
        if not text or IDENTIFIER.fullmatch(text):
            return text
        self._odd(key, "a fullname")
        return None

    def flag(self, key: str) -> bool | None:
        value = self._data.get(key)
        if value is None or isinstance(value, bool):
            return value
        self._odd(key, "true or false")
        return None

    def number(self, key: str) -> float | None:
        value = self._data.get(key)
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                self._odd(key, "a number")
                return None
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._odd(key, "a number")
            return None
        return value

    def real(self, key: str) -> float | None:
        number = self.number(key)
        try:
            return None if number is None else float(number)
        except OverflowError:
            self._odd(key, "a number that fits")
            return None

    def integer(self, key: str) -> int | None:
        number = self.number(key)
        if number is not None and not -(2**63) <= number < 2**63:
            self._odd(key, "a 64-bit integer")
            return None
        return None if number is None else int(number)

    def moment(self, key: str) -> datetime | None:
        seconds = self.number(key)
        if seconds is None:
            return None
        try:
            return datetime.fromtimestamp(seconds, UTC)
        except (OverflowError, OSError, ValueError):
            self._odd(key, "seconds since 1970")
            return None

    def _fault(self, key: str, expected: str) -> ParseError:
        value = repr(self._data[key])[:80] if key in self._data else "nothing"
        return ParseError(self.fullname, f"{key}: expected {expected}, got {value}")

    def _odd(self, key: str, expected: str) -> None:
        logger.warning("Field left out: %s", self._fault(key, expected))

    def _subreddit(self) -> str | None:
        name = self.text("subreddit")
        # Python and PostgreSQL fold the case of non-ASCII letters differently, and Reddit has no such
        # names.
        if name and not SUBREDDIT_NAME.fullmatch(name):
            self._odd("subreddit", "an ASCII name")
            return None
        return name or None

    def common(
        self, *, removal: str, score_hidden: bool | None, extra: tuple[str, ...]
    ) -> dict[str, Any]:
        created_at = self.moment("created_utc")
        if created_at is None:
            raise self._fault("created_utc", "seconds since 1970")
        edited = self._data.get("edited")
        edited_at = None if isinstance(edited, bool) else self.moment("edited")
        author, author_fullname = self.text("author"), self.text("author_fullname")
        if author == DELETED_AUTHOR and author_fullname is None:
            # Here a missing key is a message: the account must be forgotten together with the name.
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
