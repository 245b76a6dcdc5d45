"""What schedules and runs work for: known to the apps to the right, which say it here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Owner:
    """A thing with a page of its own: the bot whose schedule or run it is, say."""

    name: str
    url: str


# Called with a schedule's name, None for a run without one, and the arguments by name.
Finder = Callable[[str | None, Mapping[str, Any]], Owner | None]

finders: list[Finder] = []


def owner_of(schedule: str | None, kwargs: Mapping[str, Any]) -> Owner | None:
    """What a schedule of this name, or a run of it, with these arguments works for, if anything."""
    found = (find(schedule, kwargs) for find in finders)
    return next((owner for owner in found if owner is not None), None)
