from typing import Any

from bots.models import BotConfig
from jobs.management.output import RowsCommand
from scraping.planning.freshness import achieved


class Command(RowsCommand):
    """Lists the promised and achieved freshness of scheduled bots."""

    help = (
        "Of each scheduled bot: the freshness that its schedule promises and what its streams had in "
        "the last 24 hours, in seconds. Those without a session that can tell are left out."
    )

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
            rows, as_json=options["json"], empty="No bot has had two reads in the last 24 hours."
        )
