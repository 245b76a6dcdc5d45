"""The quick way to a row, for items whose fields all have the types that Reddit sends today.

What is looked up for an item is the tuple of its fields' types, its shape. Millions of items have a
few dozen shapes; what a shape asks for is worked out once. Whatever is not plain is left to the
careful way of `scraping.reddit.reader`, which takes longer and gives the same.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from itertools import repeat
from math import isfinite
from operator import itemgetter
from typing import Any, Generic, TypeVar

from scraping.reddit.reader import clean_json

Item = TypeVar("Item")

# Of these fields no key of the thing is the value.
MADE = ("edited_at", "removal", "extra")
# So many shapes are remembered. Only somebody who plays with types can make as many.
SHAPES_KEPT = 5_000
# Well within what every platform can turn into a date: the year 2096.
LATEST = 4_000_000_000

_ABSENT = repeat(...)
_Nothing = type(None)
_Missing = type(...)


@dataclass(frozen=True, slots=True)
class _Recipe:
    """What makes values of one shape into a row; numbers are places among the values."""

    texts: Callable[[list[Any]], tuple[Any, ...]]
    references: tuple[int, ...]
    integers: tuple[int, ...]
    reals: tuple[int, ...]
    empty: tuple[int, ...]
    absent: tuple[int, ...]
    is_edited: bool


class PlainParser(Generic[Item]):
    """Makes items of one kind.

    `keys` names the keys of fields that Reddit calls otherwise, `references` the fields that hold
    fullnames, `extra` the keys of structured fields; `finish` sets what follows from several.
    """

    def __init__(
        self,
        kind: str,
        item: type[Item],
        *,
        keys: Mapping[str, str],
        references: tuple[str, ...],
        extra: tuple[str, ...],
        finish: Callable[[Item], None],
    ) -> None:
        self._prefix = f"{kind}_"
        self._item = item
        self._finish = finish
        self._extra = extra
        self._types = {field.name: field.type for field in fields(item)}  # type: ignore[arg-type]
        names = list(self._types)
        self._keys = [keys.get(name, name) for name in names]
        self._references = frozenset(references)
        self._fullname = names.index("fullname")
        self._created_at = names.index("created_at")
        self._edited = names.index("edited")
        self._edited_at = names.index("edited_at")
        self._subreddit = names.index("subreddit")
        self._extra_place = names.index("extra")
        self._recipes: dict[tuple[type, ...], _Recipe | None] = {}

    def __call__(self, data: Any) -> Item | None:
        """The item, or None where the careful way is to be taken."""
        if data.__class__ is not dict:
            return None
        values = [*map(data.get, self._keys, _ABSENT)]
        shape = (*map(type, values),)
        try:
            recipe = self._recipes[shape]
        except KeyError:
            recipe = self._learn(shape)
        if recipe is None or not _are_plain(values, recipe):
            return None
        subreddit = values[self._subreddit]
        if subreddit.__class__ is str and not (
            subreddit.isascii() and subreddit.isprintable() and len(subreddit) <= 100
        ):
            return None
        return self._made(data, values, recipe)

    def _made(self, data: dict[str, Any], values: list[Any], recipe: _Recipe) -> Item | None:
        fullname, created = values[self._fullname], _moment(values[self._created_at])
        if fullname is ...:
            identifier = data.get("id")
            if identifier.__class__ is not str:
                return None
            values[self._fullname] = fullname = self._prefix + identifier
        if created is None or fullname[:3] != self._prefix or not _is_fullname(fullname):
            return None
        values[self._created_at] = created
        for place in recipe.empty:
            values[place] = ""
        for place in recipe.absent:
            values[place] = None
        if recipe.is_edited:
            values[self._edited_at] = moment = _moment(values[self._edited])
            values[self._edited] = True
            if moment is None:
                return None
        else:
            values[self._edited_at] = None
        extra = [*map(data.get, self._extra)]
        values[self._extra_place] = (
            {}
            if extra.count(None) == len(extra)
            else {
                key: clean_json(value)
                for key, value in zip(self._extra, extra, strict=True)
                if value is not None
            }
        )
        item = self._item(*values)
        self._finish(item)
        return item

    def _learn(self, shape: tuple[type, ...]) -> _Recipe | None:
        if len(self._recipes) >= SHAPES_KEPT:
            self._recipes.clear()
        self._recipes[shape] = recipe = self._recipe(shape)
        return recipe

    def _recipe(self, shape: tuple[type, ...]) -> _Recipe | None:
        places: dict[Any, list[int]] = {str: [], int: [], float: [], _Nothing: [], _Missing: []}
        references = []
        for place, ((name, wanted), given) in enumerate(
            zip(self._types.items(), shape, strict=True)
        ):
            if name in MADE:
                continue
            if name == "created_at":
                if given not in (int, float, str):
                    return None
            elif name == "edited":
                if given not in (bool, int, float, _Nothing, _Missing):
                    return None
                if given is _Missing:
                    places[_Missing].append(place)
            elif name == "fullname":
                if given not in (str, _Missing):
                    return None
            elif given is _Missing:
                if wanted is str:
                    return None
                places[_Missing].append(place)
            elif wanted in (str, str | None) and given in (str, _Nothing):
                places[given].append(place)
                if name in self._references and given is str:
                    references.append(place)
            elif given is not _Nothing:
                if wanted != given | None:
                    return None
                if given in (int, float):
                    places[given].append(place)
        # Of fewer than two places an itemgetter gives no tuple; the first is a text or is passed over.
        texts = places[str]
        return _Recipe(
            texts=itemgetter(*texts)
            if len(texts) > 1
            else lambda values: [values[i] for i in texts],
            references=tuple(references),
            integers=tuple(places[int]),
            reals=tuple(places[float]),
            empty=tuple(places[_Nothing]),
            absent=tuple(places[_Missing]),
            is_edited=shape[self._edited] in (int, float),
        )


def _are_plain(values: list[Any], recipe: _Recipe) -> bool:
    """Whether the values, of plain types, are themselves what needs no cleaning."""
    together = "".join(recipe.texts(values))
    if "\0" in together:
        return False
    if not together.isascii():
        try:
            together.encode()
        except UnicodeEncodeError:
            return False
    for place in recipe.references:
        value = values[place]
        if value and not _is_fullname(value):
            return False
    for place in recipe.integers:
        if values[place].bit_length() > 63:
            return False
    return all(isfinite(values[place]) for place in recipe.reals) if recipe.reals else True


def _is_fullname(text: str) -> bool:
    return (
        text.isascii() and text[2:3] == "_" and text[:2].isalnum() and text[3:].isalnum()
        and len(text) <= 60
    )  # fmt: skip


def _moment(seconds: float | str) -> datetime | None:
    if seconds.__class__ is str:
        if not (seconds.isascii() and seconds.isdigit() and len(seconds) < 11):
            return None
        seconds = int(seconds)
    return datetime.fromtimestamp(seconds, UTC) if 0 <= seconds < LATEST else None
