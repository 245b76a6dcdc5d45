import json
from typing import Any

from celery import states
from django.core.management.base import CommandParser
from django.utils.translation import gettext as _
from django_celery_results.models import TaskResult

from jobs.management.output import RowsCommand


class Command(RowsCommand):
    """Lists runs."""

    help = _("List runs, the latest first.")

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the filters and the limit."""
        super().add_arguments(parser)
        parser.add_argument("--failed", action="store_true", help=_("list failed runs only"))
        parser.add_argument("--job", metavar="NAME", help=_("list runs of this job only"))
        parser.add_argument("--schedule", metavar="NAME", help=_("list runs of this schedule only"))
        parser.add_argument(
            "--limit",
            type=int,
            default=20,
            metavar="N",
            help=_("list at most N runs (default: 20)"),
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the runs."""
        found = TaskResult.objects.order_by("-date_created")
        if options["failed"]:
            found = found.filter(status=states.FAILURE)
        if options["job"]:
            found = found.filter(task_name=options["job"])
        if options["schedule"]:
            found = found.filter(periodic_task_name=options["schedule"])
        rows = [_row(run) for run in found[: max(1, options["limit"])]]
        self.show(rows, as_json=options["json"], empty=_("No run found."))


def _row(run: TaskResult) -> dict[str, Any]:
    meta = json.loads(run.meta or "{}")
    return {
        "task_id": run.task_id,
        "job": run.task_name,
        "state": run.status,
        "trigger": meta.get("trigger"),
        "schedule": run.periodic_task_name,
        "queued": run.date_created,
        "seconds": meta.get("duration"),
        "reason": meta.get("reason"),
    }
