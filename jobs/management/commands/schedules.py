from typing import Any

from django.core.management.base import CommandParser
from django.utils.translation import gettext as _
from django_celery_beat.models import PeriodicTask

from jobs.management.output import RowsCommand
from jobs.schedules import services as schedules


class Command(RowsCommand):
    """Lists schedules."""

    help = _("List schedules with their last and next run.")

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the filter and the limit."""
        super().add_arguments(parser)
        parser.add_argument(
            "--disabled", action="store_true", help=_("list disabled schedules only")
        )
        parser.add_argument(
            "--limit",
            type=int,
            default=200,
            metavar="N",
            help=_("list at most N schedules (default: 200)"),
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the schedules."""
        found = PeriodicTask.objects.order_by("name")
        if options["disabled"]:
            found = found.filter(enabled=False)
        names = list(found.values_list("name", flat=True)[: max(1, options["limit"])])
        rows = schedules.find(names)
        self.show(
            [
                {
                    "name": name,
                    "job": rows[name].task,
                    "when": str(rows[name].scheduler or "none"),
                    "enabled": rows[name].enabled,
                    "last_run": rows[name].last_run_at,
                    "next_run": schedules.next_run_at(rows[name]),
                }
                for name in names
            ],
            as_json=options["json"],
            empty=_("No schedule found."),
        )
