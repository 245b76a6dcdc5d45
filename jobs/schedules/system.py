"""Schedules that come with the code: installed once, by name, and the operator's ever after."""

from typing import Any

from django.db import connections
from django.db.models.signals import post_migrate
from django.dispatch import receiver
from django_celery_beat.models import PeriodicTask

from jobs.schedules import services as schedules
from jobs.schedules.services import ScheduleSpec

_specs: dict[str, ScheduleSpec] = {}


def register(spec: ScheduleSpec) -> ScheduleSpec:
    """Have a schedule installed with the next `migrate`; call it when the app is ready."""
    _specs[spec.name] = spec
    return spec


def registered() -> list[ScheduleSpec]:
    """All that were registered, by name."""
    return [spec for _, spec in sorted(_specs.items())]


def install() -> list[str]:
    """Create those that no schedule has the name of; return their names.

    One that was edited is left alone; one that was deleted comes back: switch it off instead.
    """
    return [spec.name for spec in registered() if schedules.install(spec)]


@receiver(post_migrate, dispatch_uid="jobs.install_system_schedules")
def install_after_migrate(sender: Any, using: str, **_: Any) -> None:
    """Install them once the tables are there; Django asks for each app, and once is enough."""
    if sender.name == "jobs" and PeriodicTask._meta.db_table in (
        connections[using].introspection.table_names()
    ):
        install()
