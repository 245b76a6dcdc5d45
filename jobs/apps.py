from django.apps import AppConfig, apps

from jobs.runs import titles

# This project's names for the models of django-celery-beat and django-celery-results, which the
# admin shows beside its own models.
NAMES = {
    "django_celery_beat.PeriodicTask": ("schedule", "schedules"),
    "django_celery_results.TaskResult": ("run", "runs"),
}
LABELS = {
    "django_celery_beat.PeriodicTask": {
        "last_run_at": "last run",
        "total_run_count": "runs in all",
        "start_time": "start",
        "one_off": "once only",
        "interval": "interval",
        "crontab": "crontab",
        "solar": "solar event",
        "clocked": "moment",
        "kwargs": "arguments by name",
        "args": "arguments by position",
    },
    "django_celery_results.TaskResult": {
        "task_id": "task id",
        "task_name": "task",
        "periodic_task_name": "schedule",
        "date_created": "asked for",
        "date_started": "started",
        "date_done": "ended",
        "worker": "worker",
        "traceback": "traceback",
    },
}


class JobsConfig(AppConfig):
    """Schedules, runs and locks. This app knows neither bots nor Reddit."""

    name = "jobs"
    verbose_name = "Jobs"

    def ready(self) -> None:
        """Connect this app's receivers, register its schedules and name the models."""
        from jobs import signals  # noqa: F401

        _name_models()


def _name_models() -> None:
    """Give other packages' models this project's names; their migrations do not see the change."""
    for app in ("django_celery_beat", "django_celery_results"):
        apps.get_app_config(app).verbose_name = "Schedules and runs"
    for label, (one, many) in NAMES.items():
        options = apps.get_model(label)._meta
        options.verbose_name, options.verbose_name_plural = one, many
    for label, fields in LABELS.items():
        for name, told in fields.items():
            apps.get_model(label)._meta.get_field(name).verbose_name = told
    run = apps.get_model("django_celery_results.TaskResult")
    run.__str__ = titles.title  # type: ignore[method-assign]  # another package defines the model
