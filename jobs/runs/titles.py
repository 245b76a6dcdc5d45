"""Titles of runs. This module imports no models, because the app's set-up uses it."""

import json
from typing import Any

from django.utils.text import Truncator

# How many characters of a run's arguments its title shows.
SHOWN_ARGUMENTS = 60


def object_in(text: str | None) -> dict[str, Any]:
    """Return the JSON object in a column; empty for anything else."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def title(run: Any) -> str:
    """Return the title of a run: its task, its schedule or else its arguments, and its state."""
    what = run.task_name or f"run {run.task_id}"
    whose = run.periodic_task_name or _arguments_in_short(run)
    state = run.status.lower()
    return f"{what} ({whose}): {state}" if whose else f"{what}: {state}"


def _arguments_in_short(run: Any) -> str:
    told = ", ".join(f"{name} {value}" for name, value in object_in(run.task_kwargs).items())
    return Truncator(told).chars(SHOWN_ARGUMENTS)
