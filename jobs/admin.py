import json

from celery import states
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django_celery_beat import admin as beat_admin
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from django_celery_results.models import GroupResult, TaskResult
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from jobs import runs, schedules

# django-celery-beat's and -results' own admins, in this admin's theme. GroupResult has none: groups
# need chords, which the database backend cannot count on.
for model in (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
    GroupResult,
    TaskResult,
):
    admin.site.unregister(model)


class _TaskSelect(UnfoldAdminSelectWidget, beat_admin.TaskSelectWidget):
    """The registered tasks to choose from."""


class PeriodicTaskForm(beat_admin.PeriodicTaskForm):
    """django-celery-beat's form with themed widgets."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.fields["task"].widget = UnfoldAdminTextInputWidget()
        self.fields["regtask"].widget = _TaskSelect()


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(beat_admin.PeriodicTaskAdmin, ModelAdmin):
    """Schedules: what runs when."""

    form = PeriodicTaskForm
    date_hierarchy = None
    # django-celery-beat's own page has an inline script, which the content security policy refuses.
    change_form_template = None
    list_display = [
        "name_and_purpose",
        "state",
        "timing",
        "last_run_at",
        "next_run",
        "total_run_count",
    ]
    list_filter = ["enabled", "one_off"]
    list_per_page = 50
    search_fields = ["name", "task", "description"]
    actions = ["enable_tasks", "disable_tasks", "run_tasks"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[PeriodicTask]:
        """Join what tells the next run: the timing, as django-celery-beat does, and the policy."""
        return super().get_queryset(request).select_related("policy")

    @display(description="Schedule", ordering="name", header=True)
    def name_and_purpose(self, row: PeriodicTask) -> list[str]:
        """The name, and under it what it is for."""
        return [
            row.name,
            row.description if len(row.description) <= 90 else f"{row.description[:89]}…",
        ]

    @display(description="State", ordering="enabled", label={"on": "success", "off": "warning"})
    def state(self, row: PeriodicTask) -> tuple[str, str]:
        """Whether beat fires it."""
        return ("on", "On") if row.enabled else ("off", "Off")

    @admin.display(description="When")
    def timing(self, row: PeriodicTask) -> str:
        """The interval, crontab, solar event or moment."""
        return row.crontab.human_readable if row.crontab else str(row.scheduler or "none")

    @admin.display(description="Next run")
    def next_run(self, row: PeriodicTask) -> object:
        """When beat fires it next."""
        return schedules.next_run_at(row, timezone.now())

    @admin.action(description="Run now", permissions=["change"])
    def run_tasks(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        """Request one run of each selected schedule, recorded before it is sent."""
        for row in queryset:
            runs.request_run(
                row.task, json.loads(row.kwargs or "{}"), queue=row.queue, trigger="manual"
            )
        messages.success(request, f"{len(queryset)} run(s) requested.")


class _UsedBy(TabularInline, beat_admin.PeriodicTaskInline):
    fields = readonly_fields = ["name", "task", "kwargs"]


class _TimingAdmin(ModelAdmin):
    inlines = [_UsedBy]


@admin.register(IntervalSchedule)
class IntervalScheduleAdmin(_TimingAdmin):
    """Intervals that schedules share."""


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(beat_admin.CrontabScheduleAdmin, ModelAdmin):
    """Crontabs that schedules share."""

    inlines = [_UsedBy]


@admin.register(SolarSchedule)
class SolarScheduleAdmin(_TimingAdmin):
    """Solar events that schedules share."""


@admin.register(ClockedSchedule)
class ClockedScheduleAdmin(beat_admin.ClockedScheduleAdmin, ModelAdmin):
    """Moments for one-off runs."""

    inlines = [_UsedBy]


@admin.register(TaskResult)
class TaskResultAdmin(ModelAdmin):
    """Runs are evidence: nobody adds, edits or deletes them here."""

    list_display = [
        "task_name",
        "outcome",
        "periodic_task_name",
        "date_created",
        "date_done",
        "worker",
    ]
    list_filter = ["status"]
    search_fields = ["task_id", "periodic_task_name"]
    ordering = ["-date_created"]
    show_full_result_count = False
    fieldsets = [
        (None, {"fields": ["task_name", "status", "periodic_task_name", "worker", "task_id"]}),
        ("Time", {"fields": ["date_created", "date_started", "date_done"]}),
        ("Arguments", {"fields": ["task_args", "task_kwargs"]}),
        ("Result", {"fields": ["result", "traceback", "meta"]}),
    ]

    @display(
        description="State",
        ordering="status",
        label={
            states.SUCCESS: "success",
            states.FAILURE: "danger",
            states.REVOKED: "warning",
            states.RETRY: "warning",
            states.STARTED: "info",
        },
    )
    def outcome(self, run: TaskResult) -> str:
        """Where the run stands."""
        return run.status

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody: a run is recorded when it is requested."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: TaskResult | None = None) -> bool:
        """Nobody."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: TaskResult | None = None) -> bool:
        """Nobody: retention removes old runs."""
        return False
