from typing import Any

from django.core.management.base import CommandParser
from django.utils.translation import gettext as _

from jobs.management.output import RowsCommand
from jobs.schedules import diagnosis


class Command(RowsCommand):
    """Says why a schedule is not running."""

    help = _("List the causes that keep a schedule from running, each with its remedy.")

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the name of the schedule."""
        super().add_arguments(parser)
        parser.add_argument("schedule", metavar="SCHEDULE", help=_("the name of the schedule"))

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the findings."""
        findings = diagnosis.why(options["schedule"])
        self.show(
            [{"cause": finding.cause, "remedy": finding.remedy} for finding in findings],
            as_json=options["json"],
            empty=_("Nothing keeps the schedule from running."),
        )
