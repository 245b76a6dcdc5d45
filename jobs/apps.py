from django.apps import AppConfig, apps
from django.utils.translation import gettext_lazy as _

from jobs.runs import titles

# This project's names for the models of django-celery-beat and django-celery-results, which the
# admin shows beside its own models.
NAMES = {
    "django_celery_beat.PeriodicTask": (_("schedule"), _("schedules")),
    "django_celery_beat.ClockedSchedule": (_("moment"), _("moments")),
    "django_celery_results.TaskResult": (_("run"), _("runs")),
}
LABELS = {
    "django_celery_beat.PeriodicTask": {
        "name": _("name"),
        "task": _("task"),
        "enabled": _("enabled"),
        "description": _("description"),
        "last_run_at": _("last run"),
        "total_run_count": _("number of runs"),
        "start_time": _("start"),
        "expires": _("end"),
        "expire_seconds": _("seconds until a run expires"),
        "one_off": _("once only"),
        "interval": _("interval"),
        "crontab": _("crontab"),
        "solar": _("solar event"),
        "clocked": _("moment"),
        "kwargs": _("arguments by name"),
        "args": _("arguments by position"),
        "queue": _("queue"),
        "priority": _("priority"),
        "headers": _("headers"),
    },
    "django_celery_results.TaskResult": {
        "task_id": _("task id"),
        "task_name": _("task"),
        "periodic_task_name": _("schedule"),
        "status": _("state"),
        "date_created": _("requested"),
        "date_started": _("started"),
        "date_done": _("ended"),
        "worker": _("worker"),
        "traceback": _("traceback"),
    },
}


class JobsConfig(AppConfig):
    """Schedules, runs and locks. This app knows neither bots nor Reddit."""

    name = "jobs"
    verbose_name = _("Schedules and runs")

    def ready(self) -> None:
        """Connect this app's receivers, register its schedules and name the models."""
        from jobs import signals  # noqa: F401

        _name_models()


def _name_models() -> None:
    """Give other packages' models this project's names; their migrations do not see the change."""
    for app in ("django_celery_beat", "django_celery_results"):
        apps.get_app_config(app).verbose_name = _("Schedules and runs")
    for label, (one, many) in NAMES.items():
        options = apps.get_model(label)._meta
        options.verbose_name, options.verbose_name_plural = one, many
    for label, fields in LABELS.items():
        for name, told in fields.items():
            apps.get_model(label)._meta.get_field(name).verbose_name = told
    crontab = apps.get_model("django_celery_beat.CrontabSchedule")
    crontab.__str__ = titles.crontab  # type: ignore[method-assign]  # another package defines it
    run = apps.get_model("django_celery_results.TaskResult")
    run.__str__ = titles.title  # type: ignore[method-assign]  # another package defines the model
