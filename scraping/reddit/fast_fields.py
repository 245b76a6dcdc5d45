"""The quick way from JSON to rows, for things whose fields all have the types that Reddit sends today.

msgspec checks types while it parses and passes over what is not stored. From there it goes field by
field and not thing by thing: what holds of a whole column is found out at once. A thing with a value
that is not plain is left to the careful way of `scraping.reddit.fields`, which takes longer and gives
the same.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields
from types import NoneType
from typing import Annotated, Any, TypeVar, cast

import msgspec
from msgspec import UNSET, UnsetType

from scraping.reddit.fields import clean_json

# A value for each thing, by the names of the row's fields. Moments are seconds since 1970.
Columns = dict[str, Sequence[Any]]
# Those of one field as they were parsed: a text that a thing does not have is UNSET, else it is None.
Values = Sequence[Any]
# Values as they are stored, or None where not all of them are plain.
Column = Callable[[Values], Values | None]

# Well within what every platform can turn into a date: the year 2096.
LATEST = 4_000_000_000
LONGEST_FULLNAME = 60

_INTEGER = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_TEXT = str | None | UnsetType

_astuple = msgspec.structs.astuple

_Thing = TypeVar("_Thing", bound=msgspec.Struct)


def thing_type(base: type[_Thing], keys: Mapping[str, Any]) -> type[_Thing]:
    """A type for things with these keys, and the types of their values; any key may be missing.

    The type is a subclass of `base`, which declares those of the keys that code reads by name.
    """
    made = msgspec.defstruct(
        "PlainThing",
        [(key, kind, UNSET if kind == _TEXT else None) for key, kind in keys.items()],
        bases=(base,),
        gc=False,
    )
    # msgspec's annotation of defstruct leaves out what `bases` makes of its result.
    return cast("type[_Thing]", made)


def decoder(things: type[_Thing]) -> Callable[[bytes], _Thing | None]:
    """What turns one thing's JSON into its type, or gives None where that is not plain."""
    decode = msgspec.json.Decoder(things).decode

    def decode_one(text: bytes) -> _Thing | None:
        try:
            return decode(text)
        except (ValueError, RecursionError):
            return None

    return decode_one


def _types(values: Values) -> set[type]:
    # Not `in` and not count(), which compare each value with what is looked for.
    return {*map(type, values)}


def anything(values: Values) -> Values:
    """Values that msgspec has checked."""
    return values


def required_texts(values: Values) -> Values | None:
    """Texts of a key that is never missing."""
    found = texts(values)
    return None if found is None or None in {*found} else found


def texts(values: Values) -> Values | None:
    """Texts that PostgreSQL takes; null is an empty one. msgspec refuses halves of pairs itself."""
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
    """Fullnames of other things; many things name the same."""
    found = texts(values)
    return found if found is not None and all(map(is_fullname, {*found} - {None, ""})) else None


def is_fullname(text: str) -> bool:
    """Whether it has the form of one, as Reddit gives them today."""
    return (
        text.isascii() and text[2:3] == "_" and text[:2].isalnum() and text[3:].isalnum()
        and len(text) <= LONGEST_FULLNAME
    )  # fmt: skip


def subreddits(values: Values) -> Values | None:
    """Names of subreddits, of which there are few."""
    found = texts(values)
    if found is None or not all(
        name.isascii() and name.isprintable() and len(name) <= 100 for name in {*found} - {None}
    ):
        return None
    return [name or None for name in found]


def moments(values: Values) -> Values | None:
    """Seconds since 1970, which some dumps have as text."""
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
    """False, or the seconds since 1970 at which it was edited; true in the early years."""
    seconds = [value for value in values if value.__class__ is float]
    return values if all(0 <= value < LATEST for value in seconds) else None


# By the type of a row's field: the type that its key has in JSON, and its column.
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
        """Of the things that it takes, with their types."""
        for field in fields(item):
            if field.name not in MADE:
                key = keys.get(field.name, field.name)
                self.keys[key], column = self._column(field, references)
                self._columns.append((field.name, key, column))

    def __call__(self, things: Sequence[msgspec.Struct]) -> tuple[Columns, set[int]]:
        """The columns, in the order of the item's fields, and the places of what is not plain.

        There are some things. At those places the columns hold nothing of meaning.
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
