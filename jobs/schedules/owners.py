"""Owners of schedules and runs, such as bots. Apps that import this one answer by a signal."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from django.dispatch import Signal


@dataclass(frozen=True)
class Owner:
    """The object that a schedule or run works for, such as a bot, with the address of its page."""

    name: str
    url: str


# Sent with `schedule`, the schedule's name or None for a run without a schedule, and `kwargs`, the
# arguments by name. A receiver returns the `Owner` that it knows, or None.
owner_sought = Signal()


def owner_of(schedule: str | None, kwargs: Mapping[str, Any]) -> Owner | None:
    """Return the owner of a schedule, or of a run with these arguments; None if there is none."""
    sent = owner_sought.send(sender=Owner, schedule=schedule, kwargs=kwargs)
    # Django's stubs type every answer as a text.
    answers = cast("list[tuple[object, Owner | None]]", sent)
    return next((owner for _, owner in answers if owner is not None), None)
