"""Titles of runs. This module imports no models, because the app's set-up uses it."""

import json
from typing import Any

from django.utils.text import Truncator
from django.utils.translation import gettext as _

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
    what = run.task_name or _("run %(id)s") % {"id": run.task_id}
    whose = run.periodic_task_name or _arguments_in_short(run)
    state = run.status.lower()
    return f"{what} ({whose}): {state}" if whose else f"{what}: {state}"


def crontab(row: Any) -> str:
    """Return the five fields of a crontab's row and its time zone: `0 2 * * * (UTC)`."""
    fields = (row.minute, row.hour, row.day_of_month, row.month_of_year, row.day_of_week)
    return f"{' '.join(str(field).replace(' ', '') for field in fields)} ({row.timezone})"


def crontab_in_words(row: Any) -> str:
    """Return the times of a crontab's row in words, and its time zone: `At 02:00 AM (UTC)`."""
    zone = str(row.timezone)
    return f"{row.human_readable.removesuffix(zone).rstrip()} ({zone})"


def _arguments_in_short(run: Any) -> str:
    told = ", ".join(f"{name} {value}" for name, value in object_in(run.task_kwargs).items())
    return Truncator(told).chars(SHOWN_ARGUMENTS)
