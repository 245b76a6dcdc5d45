import json
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import pluralize
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django_celery_beat import admin as beat_admin
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from unfold.admin import ModelAdmin, StackedInline, TabularInline
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from jobs import registry
from jobs.admin.runs import link_to_owner
from jobs.errors import UnknownJob
from jobs.job import Job
from jobs.models import SchedulePolicy
from jobs.runs import statistics
from jobs.schedules import diagnosis
from jobs.schedules import services as schedules

# Replace django-celery-beat's own admins by admins in this admin's theme.
for model in (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
):
    admin.site.unregister(model)


HELP_TEXTS = {
    "name": "Each schedule has its own; runs are recorded under it.",
    "enabled": "While it is off, nothing is run by this schedule.",
    "description": "What it is for.",
    "interval": "So long after each run.",
    "crontab": "At these times of the clock.",
    "solar": "At sunrise, at sunset and the like.",
    "clocked": "Once, at this moment.",
    "start_time": "Nothing is run before.",
    "one_off": "Run once only, then switch the schedule off.",
    "kwargs": 'By name, for example {"bot_id": 1}.',
    "args": "By position, for example [1]. Names are easier to read.",
}


class _TaskSelect(UnfoldAdminSelectWidget, beat_admin.TaskSelectWidget):
    """A select field with the registered tasks."""


class PeriodicTaskForm(beat_admin.PeriodicTaskForm):
    """django-celery-beat's form with themed widgets; it accepts only schedules that can run."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["task"].widget = UnfoldAdminTextInputWidget()
        self.fields["regtask"].widget = _TaskSelect()
        # django-celery-beat always shows a schedule's task in the second field.
        self.fields["regtask"].label = "Task"
        self.fields["task"].label = "Another task"
        self.fields["task"].help_text = "Its name, if it is not in the list above."
        task = self.instance.task
        if task and task in dict(self.fields["regtask"].widget.choices):
            self.initial.update(regtask=task, task="")
        for name, text in HELP_TEXTS.items():
            if name in self.fields:
                self.fields[name].help_text = text

    def clean(self) -> dict[str, Any]:
        """Refuse an unknown task, and arguments that do not fit the task's signature."""
        listed, typed = (self.cleaned_data.get(field) for field in ("regtask", "task"))
        if listed and typed and listed != typed:
            raise ValidationError(
                {"task": f"Choose “{listed}” from the list or type “{typed}” here, not both."}
            )
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


class SchedulePolicyInline(StackedInline):
    """The policy of a schedule: the rule for a late, missed or still running run."""

    model = SchedulePolicy
    extra = 0
    fields = [
        ("misfire_grace_seconds", "jitter_seconds"),
        ("max_instances", "skip_if_running"),
        ("coalesce", "problem"),
    ]
    readonly_fields = ["problem"]


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(beat_admin.PeriodicTaskAdmin, ModelAdmin):
    """Schedules: jobs and their times."""

    form = PeriodicTaskForm
    date_hierarchy = None
    # django-celery-beat's page has an inline script, which the content security policy refuses.
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
    inlines = [SchedulePolicyInline]
    readonly_fields = ["belongs_to", "last_run_at", "next_run_of_one", "run_statistics", "why"]
    fieldsets = [
        (None, {"fields": ["name", "belongs_to", "regtask", "task", "enabled", "description"]}),
        (
            "When",
            {
                "description": "Choose one of the four.",
                "fields": [
                    ("interval", "crontab"),
                    ("solar", "clocked"),
                    ("start_time", "one_off"),
                ],
            },
        ),
        (
            "Arguments",
            {
                "description": "As JSON; ./manage.py jobs lists what each job takes.",
                "fields": ["kwargs", "args"],
            },
        ),
        (
            "Message",
            {
                "description": "A run that has not started when it expires is dropped.",
                "classes": ["collapse"],
                "fields": [("expires", "expire_seconds"), ("queue", "priority"), "headers"],
            },
        ),
        ("Runs", {"fields": ["last_run_at", "next_run_of_one", "run_statistics", "why"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[PeriodicTask]:
        """Join the timing, as django-celery-beat does, and the policy: they determine the next run."""
        return super().get_queryset(request).select_related("policy")

    @display(description="Schedule", ordering="name", header=True)
    def name_and_purpose(self, row: PeriodicTask) -> list[str]:
        """The name, and below it the description."""
        return [
            row.name,
            row.description if len(row.description) <= 90 else f"{row.description[:89]}…",
        ]

    @admin.display(description="Belongs to")
    def belongs_to(self, row: PeriodicTask) -> str:
        """A link to the schedule's owner."""
        return link_to_owner(row.name, row.kwargs)

    @display(description="State", ordering="enabled", label={"on": "success", "off": "warning"})
    def state(self, row: PeriodicTask) -> tuple[str, str]:
        """Whether beat fires the schedule."""
        return ("on", "On") if row.enabled else ("off", "Off")

    @admin.display(description="When")
    def timing(self, row: PeriodicTask) -> str:
        """The interval, crontab, solar event or moment."""
        return row.crontab.human_readable if row.crontab else str(row.scheduler or "none")

    @admin.display(description="Next run")
    def next_run(self, row: PeriodicTask) -> object:
        """When beat next fires the schedule."""
        return schedules.next_run_at(row, timezone.now())

    @admin.display(description="Next run")
    def next_run_of_one(self, row: PeriodicTask) -> str:
        """The next run on the schedule's own page, which does not format moments by itself."""
        at = schedules.next_run_at(row, timezone.now()) if row.pk else None
        return date_format(timezone.localtime(at), "DATETIME_FORMAT") if at else "-"

    @admin.action(description="Run now", permissions=["change"])
    def run_tasks(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        """Request one run of each selected schedule; each run is recorded before it is sent."""
        requested = 0
        for row in queryset:
            try:
                schedules.run_now(row.name)
                requested += 1
            except (UnknownJob, ValueError) as error:
                messages.error(request, f"{row.name}: {error}")
            except ValidationError as error:
                messages.error(request, f"{row.name}: {' '.join(error.messages)}")
        messages.success(request, f"{requested} run(s) requested.")

    @admin.action(description="Resume", permissions=["change"])
    def enable_tasks(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        """Enable the selected schedules."""
        names = list(queryset.values_list("name", flat=True))
        messages.success(request, f"{schedules.resume(names)} schedule(s) resumed.")

    @admin.action(description="Pause", permissions=["change"])
    def disable_tasks(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        """Disable the selected schedules."""
        names = list(queryset.values_list("name", flat=True))
        messages.success(request, f"{schedules.pause(names)} schedule(s) paused.")

    @admin.display(description="Runs in 30 days")
    def run_statistics(self, row: PeriodicTask) -> str:
        """How the schedule's runs ended, and how long they took."""
        if not row.pk:
            return "-"
        found = _once(row, "statistics", lambda: statistics.of_schedule(row.name))
        runs = _link_to_runs(row, found.runs)
        if not found.ended:
            return format_html("{}, none of which has ended", runs) if found.runs else "none"
        told = f"{found.success_share:.0%} of {found.ended} ended well"
        if found.mean is not None:
            told += (
                f"; they took {found.mean:.1f} s on average, 95 of 100 at most {found.p95:.1f} s, "
                f"99 of 100 at most {found.p99:.1f} s"
            )
        return format_html("{}, {}", runs, told)

    @admin.display(description="Why is it not running?")
    def why(self, row: PeriodicTask) -> str:
        """The causes that keep the schedule from running, with the remedies."""
        if not row.pk:
            return "-"
        findings = _once(row, "findings", lambda: diagnosis.why(row.name))
        if not findings:
            return "Nothing keeps it from running."
        return format_html_join("", "<div>{} {}</div>", ((f.cause, f.remedy) for f in findings))


Found = TypeVar("Found")


def _once(row: PeriodicTask, name: str, find: Callable[[], Found]) -> Found:
    """Compute a value for the page once, and keep it on the row.

    The page reads a field several times, and the workers' answers take a second.
    """
    kept: dict[str, Found] = vars(row)
    if name not in kept:
        kept[name] = find()
    return kept[name]


def _link_to_runs(row: PeriodicTask, count: int) -> str:
    url = reverse("admin:django_celery_results_taskresult_changelist")
    query = urlencode({"periodic_task_name": row.name})
    return format_html(
        '<a class="text-link" href="{}?{}">{} run{}</a>', url, query, count, pluralize(count)
    )


class _UsedBy(TabularInline, beat_admin.PeriodicTaskInline):
    fields = readonly_fields = ("name", "task", "kwargs")


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
