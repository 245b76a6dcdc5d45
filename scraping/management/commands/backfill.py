from argparse import ArgumentTypeError
from datetime import UTC, datetime
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Q
from django.utils import timezone
from rich.console import Console
from rich.markup import escape

from bots.models import BotConfig
from jobs.management.output import BAD_ARGUMENTS
from scraping.collecting.page_store import Progress
from scraping.completing.backfill import NothingToBackfill, backfill_bot
from scraping.models import ScrapeSession

# Reddit opened in June 2005.
FIRST = datetime(2005, 6, 1, tzinfo=UTC)


class Command(BaseCommand):
    """Runs a backfill of a bot's streams."""

    help = (
        "Read what Reddit still lists of a bot's streams, back to a day: about 1,000 items of each. "
        "It runs beside the bot's sessions, with what they leave of the API's budget. Killed, run it "
        "again: what is complete is not read twice. Exit code 0 when all streams reach back to the "
        "day, 1 when one does not, 2 for bad arguments."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the bot, and how far back to read."""
        parser.add_argument("bot", metavar="BOT", help="the bot's name or number")
        parser.add_argument(
            "--since", required=True, type=_day, metavar="YYYY-MM-DD", help="midnight of it, UTC"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the backfill and print the outcome of each stream."""
        bot = _bot(options["bot"])
        # The output stream inside Django's wrapper; the type stubs take `_out` for a method.
        console = Console(file=cast("IO[str]", self.stdout._out))
        try:
            with console.status("reading", spinner="line") as status:

                def on_page(progress: Progress) -> None:
                    status.update(_counts(progress))

                session = backfill_bot(bot, options["since"], on_page=on_page)
        except NothingToBackfill as reason:
            raise CommandError(f"Not run: {reason}") from reason
        for stream, outcome in session.outcomes.items():
            line = f"{stream}: {outcome['outcome']}: {outcome['detail']}"
            console.print(escape(line), highlight=False, soft_wrap=True)
        console.print(
            f"{session.get_status_display()}: {_counts(session)}", highlight=False, soft_wrap=True
        )
        if session.error:
            self.stderr.write(session.error)
        if session.status != ScrapeSession.Status.COMPLETED:
            raise SystemExit(1)


def _counts(counted: Progress | ScrapeSession) -> str:
    return (
        f"{counted.posts_seen} posts, {counted.comments_seen} comments, {counted.new} new, "
        f"{counted.matched} matched, {counted.gaps_closed} gaps closed, {counted.requests} requests, "
        f"{counted.wait_seconds:.0f} s waited"
    )


def _day(text: str) -> datetime:
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no day; write it as 2026-01-31") from None
    if not FIRST <= day < timezone.now():
        raise ArgumentTypeError(
            f"{text!r} is not in the past, or from before Reddit; name a day since {FIRST:%Y-%m-%d}"
        )
    return day


def _bot(name: str) -> BotConfig:
    by_number = Q(pk=int(name)) if name.isdecimal() and len(name) < 19 else Q(pk=None)
    found = list(
        BotConfig.objects.select_related("reddit_app").filter(Q(name=name) | by_number)[:2]
    )
    if len(found) == 1:
        return found[0]
    what = "There is no such bot" if not found else "Several bots go by it: give its number"
    known = ", ".join(f"{bot.pk} “{bot.name}”" for bot in BotConfig.objects.all()[:10]) or "none"
    raise CommandError(f"BOT “{name}”: {what}. Known: {known}.", returncode=BAD_ARGUMENTS)
