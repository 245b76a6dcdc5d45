"""Filters of the lists of runs; none of them reads the whole history."""

from datetime import timedelta
from typing import Any

from celery import states
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import TextFilter

from jobs import registry
from jobs.runs.transitions import SKIPPED

# The states of runs, in the order of a run's life.
STATE_NAMES = {
    states.PENDING: _("Pending"),
    states.STARTED: _("Started"),
    states.RETRY: _("Retry"),
    states.SUCCESS: _("Success"),
    SKIPPED: _("Skipped"),
    states.FAILURE: _("Failure"),
    states.REVOKED: _("Revoked"),
}


class _Choices(admin.SimpleListFilter):
    """A filter whose choices come from the code, so that it does not read the whole history."""

    field = ""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows with the chosen value, using the column's index."""
        return queryset.filter(**{self.field: self.value()}) if self.value() else queryset


class OutcomeFilter(_Choices):
    """Filters runs by state."""

    title = _("state")
    parameter_name = field = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the states."""
        return [(state, str(name)) for state, name in STATE_NAMES.items()]


class TaskFilter(_Choices):
    """Filters runs by task."""

    title = _("task")
    parameter_name = field = "task_name"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the registered jobs."""
        return [(name, gettext(job.title)) for name, job in registry.all_jobs().items()]


class _Exactly(TextFilter):
    """A filter for a value that is typed in full, because there may be a hundred thousand values."""

    field = ""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows with this value, using an index."""
        return queryset.filter(**{self.field: self.value()}) if self.value() else queryset


class ScheduleFilter(_Exactly):
    """Filters runs by schedule."""

    title = _("full name of the schedule")
    parameter_name = field = "periodic_task_name"


class WorkerFilter(_Exactly):
    """Filters runs by worker."""

    title = _("full name of the worker")
    parameter_name = field = "worker"


class AskedForFilter(_Choices):
    """Filters runs by the time of their request."""

    title = _("requested")
    parameter_name = field = "date_created"
    SPANS = {
        "hour": (timedelta(hours=1), _("In the last hour")),
        "day": (timedelta(days=1), _("In the last day")),
        "week": (timedelta(days=7), _("In the last week")),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the spans of time, which end now."""
        return [(name, str(told)) for name, (_span, told) in self.SPANS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows in the chosen span, using the column's index."""
        span = self.SPANS.get(self.value() or "")
        return queryset.filter(date_created__gte=timezone.now() - span[0]) if span else queryset
