from typing import Any

from django.core.management.base import CommandParser
from django.utils.translation import gettext as _

from bots.models import BotConfig
from jobs.management.output import RowsCommand
from scraping.planning.freshness import achieved


class Command(RowsCommand):
    """Lists the promised and achieved freshness of scheduled bots."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the description and the form of the output."""
        parser.description = _(
            "List the freshness of each bot on schedule in seconds: what its schedule promises, and "
            "what its sessions of the last 24 hours achieved. A bot without a session that measured "
            "the freshness is left out."
        )
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Print a row for each bot, by name."""
        bots = list(BotConfig.objects.scheduled().order_by("name", "pk"))
        told = achieved(bots)
        rows = [
            {
                "bot": bot.pk,
                "name": bot.name,
                "promised": told[bot.pk].promised,
                "p50": told[bot.pk].p50,
                "p95": told[bot.pk].p95,
                "longest": told[bot.pk].longest,
                "sessions": told[bot.pk].sessions,
            }
            for bot in bots
            if bot.pk in told
        ]
        self.show(
            rows, as_json=options["json"], empty=_("No bot has two reads in the last 24 hours.")
        )
