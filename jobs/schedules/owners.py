"""The object that a schedule or run works for, such as a bot. Apps above this one answer by a signal."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from django.dispatch import Signal


@dataclass(frozen=True)
class Owner:
    """A thing with a page of its own: the bot whose schedule or run it is, say."""

    name: str
    url: str


# Sent with `schedule`, the schedule's name or None for a run without a schedule, and `kwargs`, the
# arguments by name. A receiver returns the `Owner` that it knows, or None.
owner_sought = Signal()


def owner_of(schedule: str | None, kwargs: Mapping[str, Any]) -> Owner | None:
    """What a schedule of this name, or a run of it, with these arguments works for, if anything."""
    sent = owner_sought.send(sender=Owner, schedule=schedule, kwargs=kwargs)
    # Django's stubs take every answer for a text.
    answers = cast("list[tuple[object, Owner | None]]", sent)
    return next((owner for _, owner in answers if owner is not None), None)
