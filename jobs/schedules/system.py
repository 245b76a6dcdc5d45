"""System schedules: they come with the code, are installed once, and are then the operator's."""

from typing import Any

from django.db import connections
from django.db.models.signals import post_migrate
from django.dispatch import receiver
from django_celery_beat.models import PeriodicTask

from jobs.schedules import services as schedules
from jobs.schedules.services import ScheduleSpec

_specs: dict[str, ScheduleSpec] = {}


def register(spec: ScheduleSpec) -> ScheduleSpec:
    """Register a schedule, which the next `migrate` installs; call this when the app is ready."""
    _specs[spec.name] = spec
    return spec


def registered() -> list[ScheduleSpec]:
    """Return all registered schedules, ordered by name."""
    return [spec for _, spec in sorted(_specs.items())]


def install() -> list[str]:
    """Create the registered schedules whose names do not exist; return their names.

    An edited schedule stays as it is. A deleted schedule comes back: switch it off instead.
    """
    return [spec.name for spec in registered() if schedules.install(spec)]


@receiver(post_migrate, dispatch_uid="jobs.install_system_schedules")
def install_after_migrate(sender: Any, using: str, **_: Any) -> None:
    """Install the system schedules once their tables exist.

    Django sends the signal once for each app; this receiver acts only on the signal for `jobs`.
    """
    if sender.name == "jobs" and PeriodicTask._meta.db_table in (
        connections[using].introspection.table_names()
    ):
        install()
