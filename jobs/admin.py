import json
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
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
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from jobs import registry, run_admin, runs, schedules  # noqa: F401 - run_admin registers itself
from jobs.errors import UnknownJob
from jobs.task import Job

# django-celery-beat's own admins, in this admin's theme.
for model in (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
):
    admin.site.unregister(model)


class _TaskSelect(UnfoldAdminSelectWidget, beat_admin.TaskSelectWidget):
    """The registered tasks to choose from."""


class PeriodicTaskForm(beat_admin.PeriodicTaskForm):
    """django-celery-beat's form with themed widgets; takes only what could run."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.fields["task"].widget = UnfoldAdminTextInputWidget()
        self.fields["regtask"].widget = _TaskSelect()

    def clean(self) -> dict[str, Any]:
        """Refuse an unknown task, and arguments that its signature does not take."""
        data = super().clean()
        name = data.get("task")
        if not name or self.errors:
            return data
        try:
            task = registry.find(name)
        except UnknownJob as error:
            raise ValidationError({"task": str(error)}) from error
        if isinstance(task, Job):
            try:
                args = json.loads(data.get("args") or "[]")
                kwargs = json.loads(data.get("kwargs") or "{}")
                task.parameters.bind(args, kwargs)
            except ValidationError as error:
                raise ValidationError({"kwargs": error.messages}) from error
        return data


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
        requested = 0
        for row in queryset:
            try:
                runs.request_run(
                    row.task, json.loads(row.kwargs or "{}"), queue=row.queue, trigger="manual"
                )
                requested += 1
            except UnknownJob as error:
                messages.error(request, f"{row.name}: {error}")
            except ValidationError as error:
                messages.error(request, f"{row.name}: {' '.join(error.messages)}")
        messages.success(request, f"{requested} run(s) requested.")


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
