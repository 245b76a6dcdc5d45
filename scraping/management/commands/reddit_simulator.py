"""``manage.py reddit_simulator``: start the simulator as one of the project's commands."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation import gettext as _

from scraping.simulator.config import add_arguments, from_options
from scraping.simulator.server import SimulatorError, serve


class Command(BaseCommand):
    """Serves until interrupted. The options are those of ``python -m scraping.simulator``."""

    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the description and the simulator's own options."""
        parser.description = _("Serve a simulated Reddit API over HTTP.")
        add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve until interrupted."""
        try:
            serve(from_options(options), announce=self._announce)
        except SimulatorError as problem:
            raise CommandError(str(problem), returncode=2) from problem

    def _announce(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
