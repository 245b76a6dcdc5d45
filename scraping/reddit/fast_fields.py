"""The quick path from JSON to rows, for things whose fields all have the types that Reddit sends today.

msgspec checks types while it parses, and skips keys that are not stored. After that, the code works
field by field, not thing by thing: one check covers a whole column. If a thing has a value that is not
plain, the careful path of `scraping.reddit.fields` reads the thing. It takes longer and returns the
same values.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields
from types import NoneType
from typing import Annotated, Any, TypeVar, cast

import msgspec
from msgspec import UNSET, UnsetType

from scraping.reddit.fields import clean_json

# For each field of the row, by name, one value per thing. Moments are seconds since 1970.
Columns = dict[str, Sequence[Any]]
# The parsed values of one field. A missing text is UNSET; any other missing value is None.
Values = Sequence[Any]
# A function that returns the values as they are stored, or None if some of them are not plain.
Column = Callable[[Values], Values | None]

# The year 2096, well within the dates of every platform.
LATEST = 4_000_000_000
LONGEST_FULLNAME = 60

_INTEGER = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_TEXT = str | None | UnsetType

_astuple = msgspec.structs.astuple

_Thing = TypeVar("_Thing", bound=msgspec.Struct)


def thing_type(base: type[_Thing], keys: Mapping[str, Any]) -> type[_Thing]:
    """Return a type for things with these keys and types of values; any key may be missing.

    The type is a subclass of `base`, which declares the keys that code reads by name.
    """
    made = msgspec.defstruct(
        "PlainThing",
        [(key, kind, UNSET if kind == _TEXT else None) for key, kind in keys.items()],
        bases=(base,),
        gc=False,
    )
    # msgspec's annotation of defstruct does not say that the result is a subclass of `bases`.
    return cast("type[_Thing]", made)


def decoder(things: type[_Thing]) -> Callable[[bytes], _Thing | None]:
    """Return a function that decodes one thing's JSON, or returns None if the JSON is not plain."""
    decode = msgspec.json.Decoder(things).decode

    def decode_one(text: bytes) -> _Thing | None:
        try:
            return decode(text)
        except (ValueError, RecursionError):
            return None

    return decode_one


def _types(values: Values) -> set[type]:
    # Not `in` and not count(): they compare each value with the value that they look for.
    return {*map(type, values)}


def anything(values: Values) -> Values:
    """Return the values as they are: msgspec has checked them."""
    return values


def required_texts(values: Values) -> Values | None:
    """Return the texts of a key that may not be missing."""
    found = texts(values)
    return None if found is None or None in {*found} else found


def texts(values: Values) -> Values | None:
    """Return texts that PostgreSQL takes, null as "". msgspec itself refuses lone surrogates."""
    if values[0] is UNSET and values.count(UNSET) == len(values):
        return [None] * len(values)
    types = _types(values)
    if NoneType in types:
        values = [None if value is UNSET else value or "" for value in values]
    elif UnsetType in types:
        values = [None if value is UNSET else value for value in values]
    together = "".join(values if len(types) == 1 else filter(None, values))
    return None if "\0" in together else values


def references(values: Values) -> Values | None:
    """Return fullnames of other things. Each distinct fullname is checked once: many things share one."""
    found = texts(values)
    return found if found is not None and all(map(is_fullname, {*found} - {None, ""})) else None


def is_fullname(text: str) -> bool:
    """Whether a text has the form of Reddit's fullnames today."""
    return (
        text.isascii() and text[2:3] == "_" and text[:2].isalnum() and text[3:].isalnum()
        and len(text) <= LONGEST_FULLNAME
    )  # fmt: skip


def subreddits(values: Values) -> Values | None:
    """Return names of subreddits. Each distinct name is checked once, because there are few names."""
    found = texts(values)
    if found is None or not all(
        name.isascii() and name.isprintable() and len(name) <= 100 for name in {*found} - {None}
    ):
        return None
    return [name or None for name in found]


def moments(values: Values) -> Values | None:
    """Return seconds since 1970; some dumps have them as text."""
    types = _types(values)
    if NoneType in types:
        return None
    if str in types:
        if not all(_is_digits(value) for value in values if value.__class__ is str):
            return None
        values = [*map(float, values)]
    return values if 0 <= min(values) <= max(values) < LATEST else None


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 11


def edits(values: Values) -> Values | None:
    """Return False, or the seconds since 1970 of the edit; True in Reddit's early years."""
    seconds = [value for value in values if value.__class__ is float]
    return values if all(0 <= value < LATEST for value in seconds) else None


# For each type of a row's field: the type of its key in JSON, and the function for its column.
_BY_TYPE: dict[Any, tuple[Any, Column]] = {
    str: (_TEXT, required_texts),
    str | None: (_TEXT, texts),
    bool | None: (bool | None, anything),
    int | None: (_INTEGER | None, anything),
    float | None: (float | None, anything),
}
_BY_NAME: dict[str, tuple[Any, Column]] = {
    "subreddit": (_TEXT, subreddits),
    "created_at": (float | str | None, moments),
    "edited": (float | bool | None, edits),
}
# Fields whose value is not the value of one key.
MADE = frozenset({"edited_at", "removal", "extra"})


class PlainParser:
    """Makes columns of one kind of thing.

    `keys` names the keys of fields for which Reddit uses another name, `references` the fields that
    hold fullnames, `extra` the keys of structured fields. `finish` sets fields that follow from several
    others.
    """

    def __init__(
        self,
        kind: str,
        item: type,
        *,
        keys: Mapping[str, str],
        references: Collection[str],
        extra: tuple[str, ...],
        finish: Callable[[Columns], None],
    ) -> None:
        self._prefix = f"{kind}_"
        self._extra = extra
        self._finish = finish
        self._names = [field.name for field in fields(item)]
        self._columns: list[tuple[str, str, Column]] = []
        self.keys: dict[str, Any] = dict.fromkeys(extra, Any) | {"id": _TEXT}
        """The keys of the things that the parser takes, with the types of their values."""
        for field in fields(item):
            if field.name not in MADE:
                key = keys.get(field.name, field.name)
                self.keys[key], column = self._column(field, references)
                self._columns.append((field.name, key, column))

    def __call__(self, things: Sequence[msgspec.Struct]) -> tuple[Columns, set[int]]:
        """Return the columns, in the order of the item's fields, and the places of things that are not plain.

        `things` must not be empty. At the places returned, the values in the columns mean nothing.
        """
        odd: set[int] = set()
        columns: Columns = {name: [] for name in self._names}
        values: dict[str, Values] = dict(
            zip(things[0].__struct_fields__, zip(*map(_astuple, things), strict=True), strict=True)
        )
        if UNSET in {*values["name"]}:
            values["name"] = self._made_names(values)
        for name, key, column in self._columns:
            columns[name] = _plain(column, values[key], odd)
        edited = columns["edited"]
        columns["edited_at"] = [value if value.__class__ is float else None for value in edited]
        columns["edited"] = [value.__class__ is float or value for value in edited]
        columns["extra"] = self._extras(values, len(things))
        self._finish(columns)
        return columns, odd

    def _column(self, field: Any, references_: Collection[str]) -> tuple[Any, Column]:
        if field.name == "fullname":
            return _TEXT, self._own_fullnames
        if field.name in references_:
            return _TEXT, references
        return _BY_NAME.get(field.name) or _BY_TYPE[field.type]

    def _made_names(self, values: Mapping[str, Values]) -> Values:
        return [
            f"{self._prefix}{identifier}" if name is UNSET and identifier else name
            for name, identifier in zip(values["name"], values["id"], strict=True)
        ]

    def _own_fullnames(self, values: Values) -> Values | None:
        if _types(values) != {str}:
            return None
        ids = [value[3:] for value in values if value[:3] == self._prefix]
        together = "".join(ids)
        if len(ids) < len(values) or not (all(ids) and together.isalnum() and together.isascii()):
            return None
        return values if max(map(len, values)) <= LONGEST_FULLNAME else None

    def _extras(self, values: Mapping[str, Values], count: int) -> list[dict[str, Any]]:
        extras: list[dict[str, Any]] = [{} for _ in range(count)]
        for key in self._extra:
            if values[key].count(None) < count:
                for extra, value in zip(extras, values[key], strict=True):
                    if value is not None:
                        extra[key] = clean_json(value)
        return extras


def _plain(column: Column, values: Values, odd: set[int]) -> Values:
    """Return the column. If some values are not plain, test each value and add its place to `odd`."""
    if (plain := column(values)) is not None:
        return plain
    found: list[Any] = []
    for place, value in enumerate(values):
        one = column([value])
        if one is None:
            odd.add(place)
        found += one or [None]
    return found
