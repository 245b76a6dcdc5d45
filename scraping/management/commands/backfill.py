from argparse import ArgumentTypeError
from datetime import UTC, datetime
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _
from rich.console import Console
from rich.markup import escape

from bots.models import BotConfig
from jobs.management.output import BAD_ARGUMENTS
from scraping.collecting.page_store import Progress
from scraping.completing.backfill import NothingToBackfill, backfill_bot
from scraping.models import ScrapeSession
from scraping.sessions.counts import in_words

# Reddit opened in June 2005.
FIRST = datetime(2005, 6, 1, tzinfo=UTC)
# What the command counts while it reads and at the end.
TOLD = (
    "posts_seen",
    "comments_seen",
    "new",
    "matched",
    "gaps_closed",
    "requests",
    "wait_seconds",
)


class Command(BaseCommand):
    """Runs a backfill of a bot's streams."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the description, the bot, and how far back to read."""
        parser.description = _(
            "Read what Reddit still lists of a bot's streams, back to a day: about 1,000 items of each "
            "stream. The backfill runs beside the bot's sessions and uses the budget that they leave. "
            "If the backfill was killed, run it again: it does not read complete streams twice. The "
            "exit code is 0 if all streams reach back to the day, 1 if a stream does not, and 2 for "
            "bad arguments."
        )
        parser.add_argument("bot", metavar="BOT", help=_("the bot's name or number"))
        parser.add_argument(
            "--since",
            required=True,
            type=_day,
            metavar="YYYY-MM-DD",
            help=_("the day to read back to, from midnight UTC"),
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the backfill and print the outcome of each stream."""
        bot = _bot(options["bot"])
        # The output stream inside Django's wrapper; the type stubs take `_out` for a method.
        console = Console(file=cast("IO[str]", self.stdout._out))
        try:
            with console.status(_("reading"), spinner="line") as status:

                def on_page(progress: Progress) -> None:
                    status.update(_counts(progress))

                session = backfill_bot(bot, options["since"], on_page=on_page)
        except NothingToBackfill as reason:
            raise CommandError(
                _("The backfill did not run: %(reason)s") % {"reason": reason}
            ) from reason
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
    return in_words({name: getattr(counted, name) for name in TOLD})


def _day(text: str) -> datetime:
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise ArgumentTypeError(
            _("“%(text)s” is not a day. Write a day such as 2026-01-31.") % {"text": text}
        ) from None
    if not FIRST <= day < timezone.now():
        raise ArgumentTypeError(
            _(
                "“%(text)s” is not in the past, or is before Reddit. Name a past day since %(first)s."
            )
            % {"text": text, "first": f"{FIRST:%Y-%m-%d}"}
        )
    return day


def _bot(name: str) -> BotConfig:
    by_number = Q(pk=int(name)) if name.isdecimal() and len(name) < 19 else Q(pk=None)
    found = list(
        BotConfig.objects.select_related("reddit_app").filter(Q(name=name) | by_number)[:2]
    )
    if len(found) == 1:
        return found[0]
    known = ", ".join(f"{bot.pk} “{bot.name}”" for bot in BotConfig.objects.all()[:10])
    told = {"name": name, "known": known or _("none")}
    if found:
        message = _(
            "BOT “%(name)s”: Several owners have such a bot. Give its number. Known: %(known)s."
        )
    else:
        message = _("BOT “%(name)s”: There is no such bot. Known: %(known)s.")
    raise CommandError(message % told, returncode=BAD_ARGUMENTS)
