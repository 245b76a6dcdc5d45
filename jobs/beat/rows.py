"""An enabled schedule in beat's memory, and the check whether its row can be used.

Hundreds of thousands fit into memory. An object has slots and shares its timing and rule with equal
schedules. Arguments and routing stay in the database; the statement that fires a schedule returns
them.
"""

import json
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from celery import Celery
from celery.exceptions import ImproperlyConfigured
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from jobs.beat.slots import (
    Crontab,
    Interval,
    Moment,
    Rule,
    Solar,
    Timing,
    anchor_of,
    jitter_of,
    next_fire,
)

EMPTY = {list: "[]", dict: "{}"}
KINDS = {list: "array", dict: "object"}

TIMING_KINDS = ("interval", "crontab", "solar", "clocked")
TIMING_NAMES = {
    "interval": gettext_lazy("interval"),
    "crontab": gettext_lazy("crontab"),
    "solar": gettext_lazy("solar event"),
    "clocked": gettext_lazy("moment"),
}


class Row(NamedTuple):
    """The columns of a schedule and its policy that beat reads; None where there is no policy."""

    id: int
    version: int
    name: str
    task: str
    args: str | None
    kwargs: str | None
    headers: str | None
    queue: str | None
    exchange: str | None
    routing_key: str | None
    interval_id: int | None
    crontab_id: int | None
    solar_id: int | None
    clocked_id: int | None
    one_off: bool
    start_time: datetime | None
    expires: datetime | None
    expire_seconds: int | None
    last_run_at: datetime | None
    date_changed: datetime
    misfire_grace_seconds: int | None
    coalesce: bool | None
    jitter_seconds: int | None
    max_instances: int | None
    skip_if_running: bool | None
    problem: str | None

    @property
    def timing_key(self) -> tuple[str, int] | None:
        """The kind of the row's timing and its id; django-celery-beat's order decides between kinds."""
        for kind in TIMING_KINDS:
            if (timing_id := getattr(self, f"{kind}_id")) is not None:
                return kind, timing_id
        return None


class Schedule:
    """A schedule as beat plans it."""

    __slots__ = (
        "due",
        "expire_seconds",
        "expires",
        "failures",
        "gone",
        "id",
        "known_since",
        "last_run_at",
        "name",
        "one_off",
        "recorded_problem",
        "row_problem",
        "rule",
        "start_time",
        "timing",
        "timing_key",
        "version",
    )

    def __init__(self, row: Row, *, rule: Rule, timing_key: tuple[str, int] | None) -> None:
        self.id = row.id
        self.version = row.version
        self.name = row.name
        self.timing_key = timing_key
        self.rule = rule
        self.one_off = row.one_off or row.clocked_id is not None
        self.start_time = row.start_time
        self.expires = row.expires
        self.expire_seconds = row.expire_seconds
        self.last_run_at = row.last_run_at
        self.known_since = row.date_changed
        # The problem that the database records, and the problem of the row now.
        self.recorded_problem = row.problem or ""
        self.row_problem = ""
        # A text in place of a timing is the problem of the timing.
        self.timing: Timing | str = ""
        # When beat next looks at the schedule; None: never.
        self.due: datetime | None = None
        # Whether the row is gone, or another object now represents it.
        self.gone = False
        # How often in a row its firing failed.
        self.failures = 0

    def __repr__(self) -> str:
        return f"<Schedule {self.id} {self.name!r} due {self.due}>"

    @property
    def problem(self) -> str:
        """Why the schedule cannot be fired, with the remedy; empty if it can."""
        return self.row_problem or (self.timing if isinstance(self.timing, str) else "")

    @property
    def jitter(self) -> timedelta:
        """The delay of each run after its slot."""
        return jitter_of(self.name, self.rule.jitter_seconds)

    @property
    def anchor(self) -> datetime:
        """The moment up to which its slots are decided. Raises ValueError without a timing."""
        if isinstance(self.timing, str):
            raise ValueError(f"schedule {self.name} has no timing")
        return anchor_of(
            self.timing,
            last_run_at=self.last_run_at,
            start_time=self.start_time,
            known_since=self.known_since,
        )

    def plan(self) -> None:
        """Set `due` from the last run."""
        self.due = self.next_after(None)
        if self.expires is not None and (self.due is None or self.due > self.expires):
            self.due = self.expires  # beat switches it off then

    def next_after(self, moment: datetime | None) -> datetime | None:
        """Return when its next slot runs, or its next slot after a moment; None if there is none.

        If the timing cannot be computed, the error becomes the schedule's problem.
        """
        if isinstance(self.timing, str):
            return None
        try:
            decided = self.anchor
            if moment is not None:
                decided = self.timing.latest(decided, moment) or decided
            return next_fire(self.timing, decided, self.jitter)
        except Exception as error:  # noqa: BLE001 - reported as the schedule's problem
            self.timing = _(
                "The next run cannot be computed (%(error)s). Choose another timing."
            ) % {"error": error}
            return None

    def take_over(self, known: "Schedule", looked_at: datetime | None) -> None:
        """Keep the values of `known` that an edit must not change; `known` was current at `looked_at`."""
        if known.failures and not self.row_problem:
            # Recording the problem changed the row. The next successful firing clears the problem.
            self.failures, self.row_problem = known.failures, known.row_problem
        if self.last_run_at is None and self.timing_key == known.timing_key:
            # A save sets `date_changed`, and switching the schedule off and on empties
            # `last_run_at`. Neither may start the interval anew.
            if not isinstance(self.timing, Crontab):
                self.last_run_at = known.last_run_at
            self.known_since = known.known_since
        elif self.timing_key != known.timing_key:
            self.retimed(looked_at)

    def retimed(self, looked_at: datetime | None) -> None:
        """Count the slots of a new crontab from the last look, not from its last run.

        A crontab that is set to 12:00 at 14:00 has not missed 12:00.
        """
        if isinstance(self.timing, Crontab) and looked_at is not None:
            self.last_run_at = max(self.last_run_at or looked_at, looked_at)


def rule_of(policy: Any) -> Rule:
    """Return the rule of a `SchedulePolicy`, or of a row with its columns."""
    return Rule(
        misfire_grace_seconds=policy.misfire_grace_seconds,
        coalesce=policy.coalesce is not False,
        jitter_seconds=policy.jitter_seconds or 0,
        max_instances=1 if policy.skip_if_running else policy.max_instances,
    )


def timing_of_row(kind: str, row: Any) -> Timing | str:
    """Return the timing of a row, or its problem as a text."""
    try:
        if kind == "interval":
            return Interval(timedelta(**{row.period: row.every}))
        if kind == "clocked":
            return Moment(row.clocked_time)
        if kind == "solar":
            return Solar(row.event, row.latitude, row.longitude)
        return Crontab.parse(
            minute=row.minute,
            hour=row.hour,
            day_of_month=row.day_of_month,
            month_of_year=row.month_of_year,
            day_of_week=row.day_of_week,
            zone=row.timezone,
        )
    except (ValueError, TypeError, OverflowError, ImproperlyConfigured) as error:
        return unusable(kind, error)


def unusable(kind: str, error: Exception) -> str:
    """Return the problem of a timing as a text, with the remedy."""
    told = " ".join(error.messages) if isinstance(error, ValidationError) else str(error)
    return _(
        "The %(kind)s cannot be used: %(error)s. Correct the %(kind)s, or choose another one."
    ) % {"kind": TIMING_NAMES.get(kind, kind), "error": told.strip()}


class Registry:
    """The tasks and queues of the Celery application that a schedule can name."""

    def __init__(self, app: Celery) -> None:
        self.tasks = app.tasks
        # None: Celery creates a queue when a message names it.
        self.queues = None if app.conf.task_create_missing_queues else frozenset(app.amqp.queues)


def examine(registry: Registry, row: Row) -> str:
    """Return why a row cannot become a run, with the remedy; empty if it can."""
    if row.task not in registry.tasks:
        return _("No task is registered as %(task)r. Correct the task, or delete the schedule.") % {
            "task": row.task
        }
    for column, text, wanted in (
        ("args", row.args, list),
        ("kwargs", row.kwargs, dict),
        ("headers", row.headers, dict),
    ):
        if not text or text == EMPTY[wanted]:
            continue
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            return _("The field %(field)s is not JSON (%(error)s). Correct the field.") % {
                "field": column,
                "error": error,
            }
        if not isinstance(value, wanted):
            return _(
                "The field %(field)s is %(value)r, not a JSON %(kind)s. Correct the field."
            ) % {"field": column, "value": value, "kind": KINDS[wanted]}
    is_routed = row.exchange or row.routing_key
    if row.queue and not is_routed and registry.queues and row.queue not in registry.queues:
        return _("There is no queue %(queue)r. Choose one of %(queues)s.") % {
            "queue": row.queue,
            "queues": ", ".join(sorted(registry.queues)),
        }
    return ""


def options_of(row: dict[str, Any]) -> dict[str, Any]:
    """Return the message options in the columns of a schedule, without its queue."""
    options = {
        name: row[name]
        for name in ("exchange", "routing_key", "priority")
        if row[name] not in (None, "")
    }
    headers = json.loads(row["headers"] or "{}")
    return options | ({"headers": headers} if headers else {})
