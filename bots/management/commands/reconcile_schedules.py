from typing import Any

from django.core.management.base import CommandParser
from django.utils.translation import gettext as _

from bots import services
from jobs.management.output import RowsCommand


class Command(RowsCommand):
    """Brings the schedules of bots back in line with the bots."""

    help = _(
        "Bring the schedules of bots in line with the bots: create missing schedules, correct "
        "changed schedules, and remove schedules whose bot does not exist any more. The command "
        "changes no other schedule."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add `--dry-run`."""
        super().add_arguments(parser)
        parser.add_argument(
            "--dry-run", action="store_true", help=_("print the changes without making them")
        )

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> None:
        """Reconcile, and print each change."""
        changes = services.reconcile_schedules(dry_run=dry_run)
        rows = [
            {"change": f"would be {verb}" if dry_run else verb, "schedule": name}
            for verb in ("created", "updated", "removed")
            for name in getattr(changes, verb)
        ]
        empty = _("Nothing to do: every bot's schedule is right.")
        self.show(rows, as_json=options["json"], empty=empty)
