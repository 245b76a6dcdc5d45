"""The admin of runs. Runs are evidence: nobody adds, edits or deletes them."""

import json
from typing import Any

from celery import states
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django_celery_results.models import GroupResult, TaskResult
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display

from jobs.admin.confirmation import asks_first
from jobs.admin.run_filters import (
    AskedForFilter,
    OutcomeFilter,
    ScheduleFilter,
    TaskFilter,
    WorkerFilter,
)
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

LABELS = {
    states.SUCCESS: "success",
    states.FAILURE: "danger",
    states.REVOKED: "warning",
    states.RETRY: "warning",
    SKIPPED: "warning",
    states.STARTED: "info",
}
SHOWN_REASON = 80
ENDS = _(
    "Waiting runs never start. Running runs end at their next safe point. Ended runs do not change."
)
# Help texts for another package's fields.
HELP_TEXTS = {
    "task_id": _("The id of the run and of its message."),
    "task_name": _("The job that the run executes."),
    "periodic_task_name": _("The schedule that fired the run, if there is one."),
    "date_created": _("When the run was requested."),
    "date_started": _("When the last attempt started."),
    "date_done": _("When the run ended."),
    "worker": _("The worker that claimed the last attempt."),
    "traceback": _("The traceback of the error, if the run failed."),
}


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
    search_help_text = _("Enter a task id, or the full name of a schedule or worker.")
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
        (_("Time"), {"fields": ["date_created", "date_started", "date_done", "waited", "ran"]}),
        (_("Arguments"), {"fields": ["arguments"]}),
        (_("Result"), {"fields": ["pretty_result", "traceback"]}),
        (_("Attempts"), {"fields": ["attempts", "worker", "history", "details"]}),
    ]

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Return the form with this project's help texts of another package's fields."""
        return super().get_form(request, *args, help_texts=HELP_TEXTS, **kwargs)

    def has_run_permission(self, request: HttpRequest) -> bool:
        """Allow a user with the permission to change runs to run them again and cancel them."""
        return request.user.has_perm("django_celery_results.change_taskresult")

    @display(description=_("State"), ordering="status", label=LABELS)
    def outcome(self, run: TaskResult) -> str:
        """The state of the run."""
        return run.status

    @admin.display(description=_("Reason"))
    def reason(self, run: TaskResult) -> str:
        """Why the run ended in its state, in one line."""
        text = _meta(run).get("reason", "")
        return text if len(text) <= SHOWN_REASON else f"{text[: SHOWN_REASON - 1]}…"

    @admin.display(description=_("Owner"))
    def belongs_to(self, run: TaskResult) -> str:
        """A link to the run's owner."""
        return link_to_owner(run.periodic_task_name, run.task_kwargs)

    @admin.display(description=_("Waited"))
    def waited(self, run: TaskResult) -> str:
        """The time from the request to the start of the last attempt."""
        if run.date_started is None:
            return "-"
        return f"{(run.date_started - run.date_created).total_seconds():.1f} s"

    @admin.display(description=_("Duration"))
    def ran(self, run: TaskResult) -> str:
        """How long the last attempt took."""
        duration = _meta(run).get("duration")
        return "-" if duration is None else f"{duration:.1f} s"

    @admin.display(description=_("Attempts"))
    def attempts(self, run: TaskResult) -> int:
        """How often the run was started."""
        attempts: int = _meta(run).get("attempts", 0)
        return attempts

    @admin.display(description=_("Arguments"))
    def arguments(self, run: TaskResult) -> SafeString:
        """The arguments, by name."""
        return _pretty(run.task_kwargs)

    @admin.display(description=_("Result"))
    def pretty_result(self, run: TaskResult) -> SafeString:
        """The result or the error of the run."""
        return _pretty(run.result)

    @admin.display(description=_("Earlier attempts"))
    def history(self, run: TaskResult) -> SafeString:
        """How earlier attempts ended."""
        return _pretty(json.dumps(_meta(run).get("history", [])))

    @admin.display(description=_("Details"))
    def details(self, run: TaskResult) -> SafeString:
        """All other values of the run's `meta`."""
        return _pretty(json.dumps({k: v for k, v in _meta(run).items() if k != "history"}))

    @admin.action(description=_("Run again with the same arguments"), permissions=["run"])
    def run_again(self, request: HttpRequest, queryset: QuerySet[TaskResult]) -> None:
        """Request one new run for each ended run that was not run again before."""
        try:
            again = runs.rerun(queryset.values_list("task_id", flat=True))
        except (UnknownJob, ValidationError) as error:
            told = " ".join(error.messages) if isinstance(error, ValidationError) else str(error)
            messages.error(request, gettext("No run was requested. %(error)s") % {"error": told})
            return
        messages.success(
            request,
            ngettext("%(count)d run requested.", "%(count)d runs requested.", len(again))
            % {"count": len(again)},
        )
        if left := len(queryset) - len(again):
            messages.warning(
                request,
                ngettext(
                    "%(count)d run was left out: it has not ended, or was run again before.",
                    "%(count)d runs were left out: they have not ended, or were run again before.",
                    left,
                )
                % {"count": left},
            )

    @admin.action(description=_("Cancel"), permissions=["run"])
    @asks_first(ENDS)
    def cancel_runs(self, request: HttpRequest, queryset: QuerySet[TaskResult]) -> None:
        """Cancel the selected runs that have not ended."""
        waiting, running = runs.cancel(
            list(queryset.values_list("task_id", flat=True)), reason=_cancelled_by(request)
        )
        messages.success(
            request,
            gettext(
                "Waiting runs cancelled: %(waiting)d. Running runs that end at their next safe "
                "point: %(running)d."
            )
            % {"waiting": waiting, "running": running},
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

    @admin.display(description=_("Progress"))
    def progress(self, batch: Batch) -> str:
        """How many runs of the batch have ended."""
        return gettext("%(done)d of %(total)d") % {"done": batch.done, "total": batch.total}

    @admin.action(description=_("Cancel"), permissions=["run"])
    @asks_first(ENDS)
    def cancel_batches(self, request: HttpRequest, queryset: QuerySet[Batch]) -> None:
        """Cancel all unfinished runs of the selected batches."""
        for batch in queryset:
            batches.cancel_batch(batch.pk, reason=_cancelled_by(request))
        messages.success(
            request,
            ngettext(
                "%(count)d batch of runs cancelled.",
                "%(count)d batches of runs cancelled.",
                len(queryset),
            )
            % {"count": len(queryset)},
        )


def link_to_owner(schedule: str | None, kwargs: str | None) -> SafeString | str:
    """Return a link to the owner of a schedule or run; `kwargs` are its arguments as JSON."""
    owner = owners.owner_of(schedule, object_in(kwargs))
    if owner is None:
        return "-"
    return format_html('<a class="text-link" href="{}">{}</a>', owner.url, owner.name)


def _cancelled_by(request: HttpRequest) -> str:
    return gettext("Cancelled by %(user)s.") % {"user": request.user}


def _meta(run: TaskResult) -> dict[str, Any]:
    return object_in(run.meta)


def _pretty(text: str | None) -> SafeString:
    try:
        shown = json.dumps(json.loads(text or "null"), indent=2, ensure_ascii=False)
    except ValueError:
        shown = text or ""
    return format_html("<pre>{}</pre>", shown)
