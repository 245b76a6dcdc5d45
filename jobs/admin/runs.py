"""The admin of runs. Runs are evidence: nobody adds, edits or deletes them."""

import json
from datetime import timedelta
from typing import Any

from celery import states
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django_celery_results.models import GroupResult, TaskResult
from unfold.admin import ModelAdmin, TabularInline
from unfold.contrib.filters.admin import TextFilter
from unfold.decorators import display

from jobs import registry
from jobs.admin.confirmation import asks_first
from jobs.errors import UnknownJob
from jobs.models import Batch, BatchRun, DeadLetter
from jobs.runs import batches
from jobs.runs import requests as runs
from jobs.runs.titles import object_in
from jobs.runs.transitions import SKIPPED
from jobs.schedules import owners

# Remove django-celery-results' own admins. GroupResult gets none: a group needs a chord, and the
# database backend cannot count a chord's tasks reliably.
admin.site.unregister([GroupResult, TaskResult])

STATES = [
    states.PENDING,
    states.STARTED,
    states.RETRY,
    states.SUCCESS,
    SKIPPED,
    states.FAILURE,
    states.REVOKED,
]
LABELS = {
    states.SUCCESS: "success",
    states.FAILURE: "danger",
    states.REVOKED: "warning",
    states.RETRY: "warning",
    SKIPPED: "warning",
    states.STARTED: "info",
}
SHOWN_REASON = 80
ENDS = (
    "Runs that wait never start, those that go on end at their next safe point, and what has ended "
    "stays as it is."
)


class _Choices(admin.SimpleListFilter):
    """A filter whose choices come from the code, so that it does not read the whole history."""

    field = ""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows with the chosen value, using the column's index."""
        return queryset.filter(**{self.field: self.value()}) if self.value() else queryset


class OutcomeFilter(_Choices):
    """Filters runs by state."""

    title = "state"
    parameter_name = field = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the states."""
        return [(state, state.capitalize()) for state in STATES]


class TaskFilter(_Choices):
    """Filters runs by task."""

    title = "task"
    parameter_name = field = "task_name"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the registered jobs."""
        return [(name, job.title) for name, job in registry.all_jobs().items()]


class _Exactly(TextFilter):
    """A filter for a value that is typed in full, because there may be a hundred thousand values."""

    field = ""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows with this value, using an index."""
        return queryset.filter(**{self.field: self.value()}) if self.value() else queryset


class ScheduleFilter(_Exactly):
    """Filters runs by schedule."""

    title = "full name of the schedule"
    parameter_name = field = "periodic_task_name"


class WorkerFilter(_Exactly):
    """Filters runs by worker."""

    title = "full name of the worker"
    parameter_name = field = "worker"


class AskedForFilter(_Choices):
    """Filters runs by the time of their request."""

    title = "asked for"
    parameter_name = field = "date_created"
    SPANS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the spans of time, which end now."""
        return [(name, f"In the last {name}") for name in self.SPANS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows in the chosen span, using the column's index."""
        span = self.SPANS.get(self.value() or "")
        return queryset.filter(date_created__gte=timezone.now() - span) if span else queryset


class CappedPaginator(Paginator):  # type: ignore[type-arg]  # not generic at runtime
    """Counts only as far as an operator turns pages: a history has millions of rows."""

    MOST = 10_000
    # The admin paginates only querysets.
    object_list: QuerySet[Any]

    @cached_property
    def count(self) -> int:
        """The number of rows, at most `MOST`."""
        return self.object_list.order_by()[: self.MOST].count()


class _ReadOnly(ModelAdmin):
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # they count each choice of each filter
    paginator = CappedPaginator

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Allow nobody to add a row: a request records it."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Allow nobody to edit a row."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Allow nobody to delete a row: retention deletes old rows."""
        return False


@admin.register(TaskResult)
class TaskResultAdmin(_ReadOnly):
    """All runs."""

    list_display = [
        "task_name",
        "outcome",
        "reason",
        "periodic_task_name",
        "date_created",
        "waited",
        "ran",
        "attempts",
        "worker",
    ]
    list_filter = [
        OutcomeFilter,
        TaskFilter,
        ScheduleFilter,
        WorkerFilter,
        AskedForFilter,
    ]
    list_filter_submit = True
    # `exact` also matches the case (`=` does not), so that an index finds the value.
    search_fields = ["task_id__exact", "periodic_task_name__exact", "worker__exact"]
    search_help_text = "A task id, or the full name of a schedule or worker."
    date_hierarchy = None
    ordering = ["-date_created"]
    actions = ["run_again", "cancel_runs"]
    fieldsets = [
        (
            None,
            {
                "fields": [
                    "task_name",
                    "outcome",
                    "reason",
                    "belongs_to",
                    "periodic_task_name",
                    "task_id",
                ]
            },
        ),
        ("Time", {"fields": ["date_created", "date_started", "date_done", "waited", "ran"]}),
        ("Arguments", {"fields": ["arguments"]}),
        ("Result", {"fields": ["pretty_result", "traceback"]}),
        ("Attempts", {"fields": ["attempts", "worker", "history", "details"]}),
    ]

    def has_run_permission(self, request: HttpRequest) -> bool:
        """Allow a user with the permission to change runs to run them again and cancel them."""
        return request.user.has_perm("django_celery_results.change_taskresult")

    @display(description="State", ordering="status", label=LABELS)
    def outcome(self, run: TaskResult) -> str:
        """The state of the run."""
        return run.status

    @admin.display(description="Why")
    def reason(self, run: TaskResult) -> str:
        """Why the run ended in its state, in one line."""
        text = _meta(run).get("reason", "")
        return text if len(text) <= SHOWN_REASON else f"{text[: SHOWN_REASON - 1]}…"

    @admin.display(description="Belongs to")
    def belongs_to(self, run: TaskResult) -> str:
        """A link to the run's owner."""
        return link_to_owner(run.periodic_task_name, run.task_kwargs)

    @admin.display(description="Waited")
    def waited(self, run: TaskResult) -> str:
        """The time from the request to the start of the last attempt."""
        if run.date_started is None:
            return "-"
        return f"{(run.date_started - run.date_created).total_seconds():.1f} s"

    @admin.display(description="Ran")
    def ran(self, run: TaskResult) -> str:
        """How long the last attempt took."""
        duration = _meta(run).get("duration")
        return "-" if duration is None else f"{duration:.1f} s"

    @admin.display(description="Attempts")
    def attempts(self, run: TaskResult) -> int:
        """How often the run was started."""
        attempts: int = _meta(run).get("attempts", 0)
        return attempts

    @admin.display(description="Arguments")
    def arguments(self, run: TaskResult) -> SafeString:
        """The arguments, by name."""
        return _pretty(run.task_kwargs)

    @admin.display(description="Result")
    def pretty_result(self, run: TaskResult) -> SafeString:
        """The result or the error of the run."""
        return _pretty(run.result)

    @admin.display(description="Earlier attempts")
    def history(self, run: TaskResult) -> SafeString:
        """How earlier attempts ended."""
        return _pretty(json.dumps(_meta(run).get("history", [])))

    @admin.display(description="Details")
    def details(self, run: TaskResult) -> SafeString:
        """All other values of the run's `meta`."""
        return _pretty(json.dumps({k: v for k, v in _meta(run).items() if k != "history"}))

    @admin.action(description="Run again with the same arguments", permissions=["run"])
    def run_again(self, request: HttpRequest, queryset: QuerySet[TaskResult]) -> None:
        """Request one new run for each ended run that was not run again before."""
        try:
            again = runs.rerun(queryset.values_list("task_id", flat=True))
        except (UnknownJob, ValidationError) as error:
            told = " ".join(error.messages) if isinstance(error, ValidationError) else str(error)
            messages.error(request, f"Nothing was requested. {told}")
            return
        messages.success(request, f"{len(again)} run(s) requested.")
        if left := len(queryset) - len(again):
            messages.warning(request, f"{left} have not ended, or were run again before.")

    @admin.action(description="Cancel", permissions=["run"])
    @asks_first(ENDS)
    def cancel_runs(self, request: HttpRequest, queryset: QuerySet[TaskResult]) -> None:
        """Cancel the selected runs that have not ended."""
        waiting, running = runs.cancel(
            list(queryset.values_list("task_id", flat=True)), reason=f"Cancelled by {request.user}."
        )
        messages.success(
            request, f"{waiting} will not start; {running} end at their next safe point."
        )


@admin.register(DeadLetter)
class DeadLetterAdmin(TaskResultAdmin):
    """Runs that failed for good."""

    list_filter = [
        TaskFilter,
        ScheduleFilter,
        WorkerFilter,
        AskedForFilter,
    ]
    actions = ["run_again"]


class _Members(TabularInline):
    model = BatchRun
    fields = readonly_fields = ("task_id", "status")
    extra = 0
    can_delete = False
    per_page = 50

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Allow nobody to add a run to a batch."""
        return False


@admin.register(Batch)
class BatchAdmin(_ReadOnly):
    """Runs that were requested together."""

    list_display = ["name", "status", "progress", "created_at", "finished_at", "summary"]
    list_filter = ["status"]
    inlines = [_Members]
    actions = ["cancel_batches"]

    def has_run_permission(self, request: HttpRequest) -> bool:
        """Allow a user with the permission to change batches to cancel them."""
        return request.user.has_perm("jobs.change_batch")

    @admin.display(description="Done")
    def progress(self, batch: Batch) -> str:
        """How many runs of the batch have ended."""
        return f"{batch.done} of {batch.total}"

    @admin.action(description="Cancel", permissions=["run"])
    @asks_first(ENDS)
    def cancel_batches(self, request: HttpRequest, queryset: QuerySet[Batch]) -> None:
        """Cancel all unfinished runs of the selected batches."""
        for batch in queryset:
            batches.cancel_batch(batch.pk, reason=f"Cancelled by {request.user}.")
        messages.success(request, f"{len(queryset)} batch(es) cancelled.")


def link_to_owner(schedule: str | None, kwargs: str | None) -> SafeString | str:
    """Return a link to the owner of a schedule or run; `kwargs` are its arguments as JSON."""
    owner = owners.owner_of(schedule, object_in(kwargs))
    if owner is None:
        return "-"
    return format_html('<a class="text-link" href="{}">{}</a>', owner.url, owner.name)


def _meta(run: TaskResult) -> dict[str, Any]:
    return object_in(run.meta)


def _pretty(text: str | None) -> SafeString:
    try:
        shown = json.dumps(json.loads(text or "null"), indent=2, ensure_ascii=False)
    except ValueError:
        shown = text or ""
    return format_html("<pre>{}</pre>", shown)
