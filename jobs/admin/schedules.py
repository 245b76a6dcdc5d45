import json
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
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
from jobs.runs.titles import crontab_in_words
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
    "name": _("Each schedule has its own name. The history lists runs by this name."),
    "enabled": _("A disabled schedule does not run."),
    "description": _("The purpose of the schedule."),
    "interval": _("The schedule runs this long after its previous run."),
    "crontab": _("The schedule runs at these times."),
    "solar": _("The schedule runs at this event, for example at sunrise."),
    "clocked": _("The schedule runs once, at this moment."),
    "start_time": _("The schedule does not run before this moment."),
    "expires": _("The schedule does not run from this moment on."),
    "expire_seconds": _("A run that has not started after so many seconds is revoked."),
    "one_off": _("The schedule runs once; then beat disables it."),
    "last_run_at": _("Beat counts the next run from this moment."),
    "kwargs": _('Give arguments by name, for example {"bot_id": 1}.'),
    "args": _("Give arguments by position, for example [1]. Names are easier to read."),
    "queue": _("If the field is empty, the job's own queue receives the runs."),
    "priority": _("The broker's priority of the runs; with Redis, 0 is the highest."),
    "headers": _("Headers of each message, as a JSON object."),
}


class _TaskSelect(UnfoldAdminSelectWidget, beat_admin.TaskSelectWidget):
    """A select field with the registered tasks."""


class PeriodicTaskForm(beat_admin.PeriodicTaskForm):
    """django-celery-beat's form with themed widgets; it accepts only schedules that can run."""

    class Meta:
        model = PeriodicTask
        exclude = ()
        help_texts = HELP_TEXTS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["task"].widget = UnfoldAdminTextInputWidget()
        self.fields["regtask"].widget = _TaskSelect()
        # django-celery-beat always shows a schedule's task in the second field.
        self.fields["regtask"].label = _("Task")
        self.fields["task"].label = _("Another task")
        self.fields["task"].help_text = _("Enter the task's name if the list does not contain it.")
        task = self.instance.task
        if task and task in dict(self.fields["regtask"].widget.choices):
            self.initial.update(regtask=task, task="")

    def clean(self) -> dict[str, Any]:
        """Refuse an unknown task, and arguments that do not fit the task's signature."""
        listed, typed = (self.cleaned_data.get(field) for field in ("regtask", "task"))
        if listed and typed and listed != typed:
            raise ValidationError(
                {
                    "task": gettext(
                        "The list says “%(listed)s”, and this field says “%(typed)s”. Clear one of "
                        "the two fields."
                    )
                    % {"listed": listed, "typed": typed}
                }
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
            _("When"),
            {
                "description": _("Choose an interval, a crontab, a solar event or a moment."),
                "fields": [
                    ("interval", "crontab"),
                    ("solar", "clocked"),
                    ("start_time", "one_off"),
                ],
            },
        ),
        (
            _("Arguments"),
            {
                "description": _(
                    "Enter the arguments as JSON. ./manage.py jobs lists the parameters of each job."
                ),
                "fields": ["kwargs", "args"],
            },
        ),
        (
            _("Message"),
            {
                "description": _("Beat sends each run as a message with these options."),
                "classes": ["collapse"],
                "fields": [("expires", "expire_seconds"), ("queue", "priority"), "headers"],
            },
        ),
        (_("Runs"), {"fields": ["last_run_at", "next_run_of_one", "run_statistics", "why"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[PeriodicTask]:
        """Join the timing, as django-celery-beat does, and the policy: they determine the next run."""
        return super().get_queryset(request).select_related("policy")

    @display(description=_("Schedule"), ordering="name", header=True)
    def name_and_purpose(self, row: PeriodicTask) -> list[str]:
        """The name, and below it the description."""
        # The descriptions of system schedules are marked where they are written.
        told = gettext(row.description) if row.description else ""
        return [row.name, told if len(told) <= 90 else f"{told[:89]}…"]

    @admin.display(description=_("Owner"))
    def belongs_to(self, row: PeriodicTask) -> str:
        """A link to the schedule's owner."""
        return link_to_owner(row.name, row.kwargs)

    @display(
        description=_("State"),
        ordering="enabled",
        label={"enabled": "success", "disabled": "warning"},
    )
    def state(self, row: PeriodicTask) -> tuple[str, str]:
        """Whether beat fires the schedule."""
        if row.enabled:
            return "enabled", gettext("Enabled")
        return "disabled", gettext("Disabled")

    @admin.display(description=_("When"))
    def timing(self, row: PeriodicTask) -> str:
        """The interval, crontab, solar event or moment."""
        if row.crontab:
            return crontab_in_words(row.crontab)
        return str(row.scheduler or gettext("none"))

    @admin.display(description=_("Next run"))
    def next_run(self, row: PeriodicTask) -> object:
        """When beat next fires the schedule."""
        return schedules.next_run_at(row, timezone.now())

    @admin.display(description=_("Next run"))
    def next_run_of_one(self, row: PeriodicTask) -> str:
        """The next run on the schedule's own page, which does not format moments by itself."""
        at = schedules.next_run_at(row, timezone.now()) if row.pk else None
        return date_format(timezone.localtime(at), "DATETIME_FORMAT") if at else "-"

    @admin.action(description=_("Run now"), permissions=["change"])
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
        messages.success(
            request,
            ngettext("%(count)d run requested.", "%(count)d runs requested.", requested)
            % {"count": requested},
        )

    @admin.action(description=_("Enable"), permissions=["change"])
    def enable_tasks(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        """Enable the selected schedules."""
        names = list(queryset.values_list("name", flat=True))
        enabled = schedules.resume(names)
        messages.success(
            request,
            ngettext("%(count)d schedule enabled.", "%(count)d schedules enabled.", enabled)
            % {"count": enabled},
        )

    @admin.action(description=_("Disable"), permissions=["change"])
    def disable_tasks(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        """Disable the selected schedules."""
        names = list(queryset.values_list("name", flat=True))
        disabled = schedules.pause(names)
        messages.success(
            request,
            ngettext("%(count)d schedule disabled.", "%(count)d schedules disabled.", disabled)
            % {"count": disabled},
        )

    @admin.display(description=_("Runs in 30 days"))
    def run_statistics(self, row: PeriodicTask) -> str:
        """How the schedule's runs ended, and how long they took."""
        if not row.pk:
            return "-"
        found = _once(row, "statistics", lambda: statistics.of_schedule(row.name))
        runs = _link_to_runs(row, found.runs)
        if not found.ended:
            told = gettext("none has ended")
            return format_html("{}: {}", runs, told) if found.runs else gettext("none")
        told = gettext("%(share)s of %(ended)d ended runs succeeded.") % {
            "share": f"{found.success_share:.0%}",
            "ended": found.ended,
        }
        if found.mean is not None:
            told += " " + gettext(
                "Duration: %(mean).1f s on average, 95 %% at most %(p95).1f s, 99 %% at most "
                "%(p99).1f s."
            ) % {"mean": found.mean, "p95": found.p95, "p99": found.p99}
        return format_html("{}: {}", runs, told)

    @admin.display(description=_("What keeps the schedule from running"))
    def why(self, row: PeriodicTask) -> str:
        """The causes that keep the schedule from running, with the remedies."""
        if not row.pk:
            return "-"
        findings = _once(row, "findings", lambda: diagnosis.why(row.name))
        if not findings:
            return gettext("Nothing keeps the schedule from running.")
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
        '<a class="text-link" href="{}?{}">{}</a>',
        url,
        query,
        ngettext("%(count)d run", "%(count)d runs", count) % {"count": count},
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
    list_display = ["__str__", "in_words"]
    fields = [
        "in_words",
        "minute",
        "hour",
        "day_of_month",
        "month_of_year",
        "day_of_week",
        "timezone",
    ]
    readonly_fields = ["in_words"]

    @admin.display(description=_("In words"))
    def in_words(self, row: CrontabSchedule) -> str:
        """The times in words, with their zone."""
        return crontab_in_words(row)


@admin.register(SolarSchedule)
class SolarScheduleAdmin(_TimingAdmin):
    """Solar events that schedules share."""


@admin.register(ClockedSchedule)
class ClockedScheduleAdmin(beat_admin.ClockedScheduleAdmin, ModelAdmin):
    """Moments for one-off runs."""

    inlines = [_UsedBy]
