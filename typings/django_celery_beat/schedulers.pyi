from collections.abc import Mapping
from datetime import datetime
from typing import Any

from celery.beat import ScheduleEntry, Scheduler
from django.db.models import QuerySet
from django_celery_beat.models import PeriodicTask, PeriodicTasks

class ModelEntry(ScheduleEntry):
    model: PeriodicTask
    def save(self) -> None: ...

class DatabaseScheduler(Scheduler):
    Model: type[PeriodicTask]
    Changes: type[PeriodicTasks]
    # celery-types knows whole seconds only.
    max_interval: float  # type: ignore[assignment]
    _dirty: set[str]
    _schedule: dict[str, ModelEntry] | None
    _last_timestamp: datetime | None
    def install_default_entries(self, data: dict[str, Any]) -> None: ...
    def update_from_dict(self, mapping: Mapping[str, Any]) -> None: ...
    def enabled_models_qs(self) -> QuerySet[PeriodicTask]: ...
    def all_as_schedule(self) -> dict[str, ModelEntry]: ...
    def schedule_changed(self) -> bool: ...
