"""The quick way to rows, for things whose fields all have the types that Reddit sends today.

It goes field by field and not thing by thing: what holds of a whole column is found out at once. A
thing with a value that is not plain is left to the careful way of `scraping.reddit.reader`, which
takes longer and gives the same.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from scraping.reddit.reader import clean_json

# A value for each thing, by the names of the row's fields.
Columns = dict[str, list[Any]]

# Well within what every platform can turn into a date: the year 2096.
LATEST = 4_000_000_000
LONGEST_FULLNAME = 60

_TEXT = frozenset({str, type(None)})
_NUMBER = frozenset({int, float})
_Missing = type(...)
_MISSING = frozenset({_Missing})

# Values as they are stored, or None where not all of them are plain. A missing key is `...`.
Column = Callable[[list[Any]], list[Any] | None]


def _types(values: list[Any]) -> set[type]:
    return {*map(type, values)}


def _present(values: list[Any]) -> list[Any]:
    return [value for value in values if value is not ... and value is not None]


def _without_missing(values: list[Any]) -> list[Any]:
    return [None if value is ... else value for value in values]


def required_texts(values: list[Any]) -> list[str] | None:
    """Texts of a key that is never missing."""
    return None if ... in values else texts(values)


def texts(values: list[Any]) -> list[Any] | None:
    """Texts that need no cleaning; null is an empty one."""
    types = _types(values)
    if not types <= _TEXT | _MISSING:
        return None
    if types == _MISSING:
        return [None] * len(values)
    together = "".join(values if types == {str} else _present(values))
    if "\0" in together or not (together.isascii() or _can_be_encoded(together)):
        return None
    if types == {str}:
        return values
    return ["" if value is None else None if value is ... else value for value in values]


def _can_be_encoded(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def references(values: list[Any]) -> list[Any] | None:
    """Fullnames of other things; many things name the same."""
    found = texts(values)
    return found if found is not None and all(map(is_fullname, {*found} - {None, ""})) else None


def is_fullname(text: str) -> bool:
    """Whether it has the form of one, as Reddit gives them today."""
    return (
        text.isascii() and text[2:3] == "_" and text[:2].isalnum() and text[3:].isalnum()
        and len(text) <= LONGEST_FULLNAME
    )  # fmt: skip


def subreddits(values: list[Any]) -> list[Any] | None:
    """Names of subreddits, of which there are few."""
    found = texts(values)
    if found is None or not all(
        name.isascii() and name.isprintable() and len(name) <= 100 for name in {*found} - {None}
    ):
        return None
    return [name or None for name in found]


def flags(values: list[Any]) -> list[Any] | None:
    """True, false or null."""
    types = _types(values)
    if not types <= {bool, type(None), _Missing}:
        return None
    return _without_missing(values) if _Missing in types else values


def integers(values: list[Any]) -> list[Any] | None:
    """Integers of 64 bits."""
    types = _types(values)
    if not types <= {int, type(None), _Missing}:
        return None
    present = values if types == {int} else _present(values)
    if present and not -(2**63) <= min(present) <= max(present) < 2**63:
        return None
    return _without_missing(values) if _Missing in types else values


def reals(values: list[Any]) -> list[Any] | None:
    """Finite floats."""
    types = _types(values)
    if not types <= {float, type(None), _Missing} or not all(map(isfinite, _present(values))):
        return None
    return _without_missing(values) if _Missing in types else values


def moments(values: list[Any]) -> list[datetime] | None:
    """Seconds since 1970, which some dumps have as text."""
    if str in _types(values):
        if not all(_is_digits(value) for value in values if value.__class__ is str):
            return None
        values = [int(value) if value.__class__ is str else value for value in values]
    if not _types(values) <= _NUMBER or not _are_dates(values):
        return None
    return [datetime.fromtimestamp(value, UTC) for value in values]


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 11


def _are_dates(seconds: Sequence[float]) -> bool:
    # All, not min and max, which pass over NaN.
    return all(0 <= value < LATEST for value in seconds)


def edits(values: list[Any]) -> list[Any] | None:
    """False, or the seconds since 1970 at which it was edited; true in the early years."""
    types = _types(values)
    if not types <= _NUMBER | {bool, type(None), _Missing}:
        return None
    if types & _NUMBER and not _are_dates([v for v in values if v.__class__ in _NUMBER]):
        return None
    return _without_missing(values) if _Missing in types else values


_BY_TYPE: dict[Any, Column] = {
    str: required_texts,
    str | None: texts,
    bool | None: flags,
    int | None: integers,
    float | None: reals,
}
_BY_NAME: dict[str, Column] = {"subreddit": subreddits, "created_at": moments, "edited": edits}
# Of these fields no key of the thing is the value.
MADE = frozenset({"edited_at", "removal", "extra"})


class PlainParser:
    """Makes columns of one kind of thing.

    `keys` names the keys of fields that Reddit calls otherwise, `references` the fields that hold
    fullnames, `extra` the keys of structured fields; `finish` sets what follows from several.
    """

    def __init__(
        self,
        kind: str,
        item: type,
        *,
        keys: Mapping[str, str],
        references: frozenset[str],
        extra: tuple[str, ...],
        finish: Callable[[Columns], None],
    ) -> None:
        self._prefix = f"{kind}_"
        self._extra = extra
        self._finish = finish
        self._names = [field.name for field in fields(item)]
        self._columns: list[tuple[str, str, Column]] = []
        for field in fields(item):
            if field.name not in MADE:
                key = keys.get(field.name, field.name)
                self._columns.append((field.name, key, self._column(field, references)))

    def __call__(self, things: Sequence[dict[str, Any]]) -> tuple[Columns, set[int]]:
        """The columns, in the order of the item's fields, and the places of what is not plain.

        At those places the columns hold nothing of meaning.
        """
        odd: set[int] = set()
        columns: Columns = {name: [] for name in self._names}
        for name, key, column in self._columns:
            values = [thing.get(key, ...) for thing in things]
            if name == "fullname":
                values = self._fullnames(things, values)
            columns[name] = _plain(column, values, odd)
        edited = columns["edited"]
        columns["edited_at"] = [
            datetime.fromtimestamp(value, UTC) if value.__class__ in _NUMBER else None
            for value in edited
        ]
        columns["edited"] = [value.__class__ in _NUMBER or value for value in edited]
        columns["extra"] = self._extras(things)
        self._finish(columns)
        return columns, odd

    def _column(self, field: Any, references_: frozenset[str]) -> Column:
        if field.name == "fullname":
            return self._own_fullnames
        if field.name in references_:
            return references
        return _BY_NAME.get(field.name) or _BY_TYPE[field.type]

    def _fullnames(self, things: Sequence[dict[str, Any]], values: list[Any]) -> list[Any]:
        if ... not in values:
            return values
        return [
            f"{self._prefix}{thing['id']}"
            if value is ... and thing.get("id").__class__ is str
            else value
            for thing, value in zip(things, values, strict=True)
        ]

    def _own_fullnames(self, values: list[Any]) -> list[str] | None:
        if not _types(values) <= {str}:
            return None
        ids = [value[3:] for value in values if value[:3] == self._prefix]
        if len(ids) < len(values) or not (all(map(str.isalnum, ids)) and "".join(ids).isascii()):
            return None
        return values if max(map(len, values), default=0) <= LONGEST_FULLNAME else None

    def _extras(self, things: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        extras: list[dict[str, Any]] = [{} for _ in things]
        for key in self._extra:
            values = [thing.get(key) for thing in things]
            if values.count(None) < len(values):
                for extra, value in zip(extras, values, strict=True):
                    if value is not None:
                        extra[key] = clean_json(value)
        return extras


def _plain(column: Column, values: list[Any], odd: set[int]) -> list[Any]:
    """The column; where not all is plain, value by value, adding the places of what is not."""
    if (plain := column(values)) is not None:
        return plain
    found: list[Any] = []
    for place, value in enumerate(values):
        one = column([value])
        if one is None:
            odd.add(place)
        found += one or [None]
    return found
