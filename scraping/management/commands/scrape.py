import time
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any, cast

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from bots.models import LISTING_CAP, BotConfig, RedditApp
from bots.validation import clean_subreddits
from scraping.collecting.collector import Plan
from scraping.collecting.collector import Progress as SessionProgress
from scraping.models import ScrapeBatch, ScrapeSession
from scraping.reddit.errors import RedditError
from scraping.sessions import batches, lifecycle, services
from scraping.sessions.counts import in_words
from scraping.threads import due_threads

BAD_ARGUMENTS = 2
POLL_SECONDS = 0.5
COLUMNS = ("posts_seen", "comments_seen", "new", "matched", "requests")
# What the progress bar counts.
TOLD = ("posts_seen", "comments_seen", "new", "requests")

Row = tuple[str, str, SessionProgress | ScrapeSession | None, list[str]]


class Command(BaseCommand):
    """Runs sessions in the foreground by the workers' code, or requests a batch from the workers."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the description and the options: what to scrape, and how far."""
        parser.description = _(
            "Collect now, in this process: named bots, all active bots, or subreddits without a bot. A "
            "bot that reads full comment trees has a second session for the trees. With --batch, the "
            "workers run the bots, and the command waits for the summary. The exit code is 0 if "
            "everything was read, 1 if something was not read, and 2 for bad arguments."
        )
        parser.add_argument("bots", nargs="*", metavar="BOT", help=_("a bot's name or number"))
        parser.add_argument("--all", action="store_true", help=_("run every active bot"))
        parser.add_argument(
            "--subreddit",
            action="append",
            default=[],
            metavar="NAME",
            help=_("collect this subreddit without a bot; repeatable"),
        )
        parser.add_argument("--app", metavar="NAME", help=_("the Reddit app for --subreddit"))
        parser.add_argument(
            "--limit",
            type=_limit,
            metavar="N",
            help=_("read at most N items of each subreddit's listing"),
        )
        parser.add_argument("--dry-run", action="store_true", help=_("read, and store nothing"))
        parser.add_argument(
            "--batch", action="store_true", help=_("let the workers run the bots as one batch")
        )
        parser.add_argument(
            "--timeout",
            type=_seconds,
            default=3600,
            metavar="SECONDS",
            help=_(
                "how long to wait for the end of a batch (3600); the batch continues after that time"
            ),
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the sessions one after the other, or wait for a batch; print the closing table."""
        # The output stream inside Django's wrapper; the type stubs take `_out` for a method.
        console = Console(file=cast("IO[str]", self.stdout._out))
        if options["batch"]:
            self._batch(console, options)
            return
        work = self._work(options)
        rows = []
        with _progress_bar(console, len(work)) as advance:
            for name, run in work:
                rows.append(_run(name, run, advance))
        self._tell(console, rows, dry_run=options["dry_run"])
        if any(
            status != ScrapeSession.Status.COMPLETED for _name, status, _result, _faults in rows
        ):
            raise SystemExit(1)

    def _work(self, options: dict[str, Any]) -> list[tuple[str, Callable[..., Any]]]:
        ways = [bool(options["bots"]), options["all"], bool(options["subreddit"])]
        if sum(ways) != 1:
            raise _bad(_("Name bots, or give --all, or give --subreddit NAME: one of the three."))
        if options["subreddit"]:
            return [self._subreddits(options)]
        work = []
        for bot in _chosen(options):
            work.append((bot.name, self._bot_run(bot, options)))
            if bot.comments == BotConfig.Comments.THREADS and not options["dry_run"]:
                work.append((_("%(bot)s: trees") % {"bot": bot.name}, self._trees_run(bot)))
        return work

    def _batch(self, console: Console, options: dict[str, Any]) -> None:
        """Request a batch, wait for its end, and print its summary."""
        if options["subreddit"] or options["dry_run"] or options["limit"]:
            raise _bad(
                _(
                    "--batch runs only bots. Leave out --subreddit, --dry-run and --limit, or leave "
                    "out --batch."
                )
            )
        if bool(options["bots"]) == options["all"]:
            raise _bad(_("--batch needs bots. Name bots, or give --all, but not both."))
        try:
            asked = batches.scrape_batch(_chosen(options))
        except ValueError as error:
            raise _bad(str(error)) from error
        for bot in asked.inactive:
            told = _("the bot is inactive, and the batch leaves it out")
            console.print(f"[yellow]{escape(bot.name)}[/yellow]: {escape(told)}")
        told = ngettext(
            "Batch %(batch)d of %(count)d session",
            "Batch %(batch)d of %(count)d sessions",
            asked.batch.total,
        ) % {"batch": asked.batch.pk, "count": asked.batch.total}
        console.print(told, highlight=False)
        batch = ScrapeBatch.objects.get(pk=asked.batch.pk)
        deadline = time.monotonic() + options["timeout"]
        while batch.summary is None and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            batch.refresh_from_db()
        rows = [(session.bot_name, *_told(session)) for session in batches.sessions_of(batch.pk)]
        self._tell(console, rows, dry_run=False)
        if batch.summary is None:
            raise CommandError(
                _(
                    "%(batch)s has not ended within %(seconds)d s. The batch continues: see the page "
                    "“Batches of sessions” in the admin. Does a worker run?"
                )
                % {"batch": told, "seconds": options["timeout"]}
            )
        console.print(batches.told(batch.summary), highlight=False)
        if set(batch.summary["sessions"]) != {ScrapeSession.Status.COMPLETED}:
            raise SystemExit(1)

    @staticmethod
    def _trees_run(bot: BotConfig) -> Callable[..., Any]:
        def run(on_progress: Callable[[SessionProgress], None]) -> ScrapeSession | SessionProgress:
            if not due_threads.anything_due(bot):
                return SessionProgress()
            return services.read_threads(
                bot.pk, trigger=ScrapeSession.Trigger.COMMAND, on_progress=on_progress
            )

        return run

    @staticmethod
    def _tell(console: Console, rows: list[Row], *, dry_run: bool) -> None:
        console.print(_table(rows, dry_run=dry_run))
        for name, _status, _result, faults in rows:
            for fault in faults:
                console.print(f"[yellow]{escape(name)}[/yellow]: {escape(fault)}", highlight=False)

    @staticmethod
    def _bot_run(bot: BotConfig, options: dict[str, Any]) -> Callable[..., Any]:
        limit = options["limit"]
        if options["dry_run"]:
            plan = Plan.of(bot, item_limit=limit)
            return lambda on_progress: services.preview(
                bot.reddit_app, plan, on_progress=on_progress
            )
        return lambda on_progress: services.scrape_bot(
            bot.pk,
            trigger=ScrapeSession.Trigger.COMMAND,
            item_limit=limit,
            on_progress=on_progress,
        )

    @staticmethod
    def _subreddits(options: dict[str, Any]) -> tuple[str, Callable[..., Any]]:
        try:
            names = clean_subreddits(options["subreddit"])
        except ValidationError as error:
            raise _bad(f"--subreddit: {' '.join(error.messages)}") from error
        plan = Plan(
            subreddits=tuple(names), comments=True, item_limit=options["limit"] or LISTING_CAP
        )
        run = services.preview if options["dry_run"] else services.scrape_subreddits
        app = _app(options["app"])
        title = ", ".join(f"r/{name}" for name in names)
        return title, lambda on_progress: run(app, plan, on_progress=on_progress)


def _run(name: str, run: Callable[..., Any], advance: Callable[..., None]) -> Row:
    def on_progress(progress: SessionProgress) -> None:
        advance(name, progress, 0)

    try:
        result = run(on_progress)
    except services.SessionSkipped as reason:
        row = (name, "skipped", None, [str(reason)])
    except RedditError as error:
        row = (name, ScrapeSession.Status.FAILED, None, [str(error)])
    else:
        row = (name, *_told(result))
    advance(name, row[2], 1)
    return row


def _told(
    result: ScrapeSession | SessionProgress,
) -> tuple[str, Any, list[str]]:
    if isinstance(result, ScrapeSession):
        status, error = result.status, result.error
    else:
        status, error = lifecycle.status_of(result.outcomes), ""
    faults = [
        f"{stream}: {outcome['outcome']} ({outcome['detail']})"
        for stream, outcome in result.outcomes.items()
        if outcome["outcome"] not in lifecycle.GOOD_OUTCOMES
    ]
    return status, result, [error, *faults] if error else faults


def _chosen(options: dict[str, Any]) -> list[BotConfig]:
    """Return the bots that were named, or all active bots."""
    if not options["all"]:
        return _bots(options["bots"])
    chosen = list(BotConfig.objects.select_related("reddit_app").filter(is_active=True))
    if not chosen:
        raise _bad(_("--all: There is no active bot. Add a bot in the admin, or activate a bot."))
    return chosen


def _bots(names: list[str]) -> list[BotConfig]:
    chosen = []
    for name in names:
        by_number = Q(pk=int(name)) if name.isdecimal() else Q()
        found = list(
            BotConfig.objects.select_related("reddit_app").filter(Q(name=name) | by_number)
        )
        if len(found) != 1:
            known = ", ".join(f"{bot.pk} “{bot.name}”" for bot in BotConfig.objects.all()[:10])
            told = {"name": name, "known": known or _("none")}
            if found:
                message = _(
                    "BOT “%(name)s”: Several owners have such a bot. Give its number. Known: %(known)s."
                )
            else:
                message = _("BOT “%(name)s”: There is no such bot. Known: %(known)s.")
            raise _bad(message % told)
        chosen += found
    return chosen


def _app(name: str | None) -> RedditApp:
    apps = list(RedditApp.objects.filter(name=name) if name else RedditApp.objects.all()[:2])
    if len(apps) == 1:
        return apps[0]
    known = ", ".join(f"“{app.name}”" for app in RedditApp.objects.all()[:10]) or _("none")
    if name and not apps:
        message = _("--app “%(name)s”: There is no such Reddit app. Known: %(known)s.")
    elif name:
        message = _(
            "--app “%(name)s”: Several Reddit apps have this name. Rename an app in the admin. Known: "
            "%(known)s."
        )
    else:
        message = _("--app: Name the Reddit app that collects. Known: %(known)s.")
    raise _bad(message % {"name": name, "known": known})


def _limit(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= LISTING_CAP:
        raise ArgumentTypeError(
            _("“%(text)s” is not a number from 1 to %(most)d") % {"text": text, "most": LISTING_CAP}
        )
    return int(text)


def _seconds(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(
            _("“%(text)s” is not a number of seconds. Give 1 or more.") % {"text": text}
        )
    return int(text)


def _bad(message: str) -> CommandError:
    return CommandError(message, returncode=BAD_ARGUMENTS)


@contextmanager
def _progress_bar(console: Console, total: int) -> Iterator[Callable[..., None]]:
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.fields[name]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[counts]}"),
        console=console,
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=total, name="", counts="")

        def advance(name: str, progress: Any, steps: int) -> None:
            counts = _counts(progress) if progress else ""
            bar.update(task, advance=steps, name=name, counts=counts)

        yield advance


def _counts(progress: Any) -> str:
    return in_words({name: getattr(progress, name) for name in TOLD})


def _table(rows: list[Row], *, dry_run: bool) -> Table:
    title = _("Dry run: nothing was stored") if dry_run else _("Sessions")
    table = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(_("Bot"), overflow="ellipsis", no_wrap=True)
    table.add_column(_("Status"), min_width=len(ScrapeSession.Status.COMPLETED))
    headings = (
        _("Posts"),
        _("Comments"),
        _("New"),
        _("Matched"),
        _("Requests"),
        _("Seconds"),
    )
    for heading in headings:
        table.add_column(heading, justify="right", min_width=len(heading))
    for name, status, result, _faults in rows:
        numbers = [str(getattr(result, column)) if result else "-" for column in COLUMNS]
        duration = getattr(result, "duration", None)
        seconds = f"{duration.total_seconds():.1f}" if duration else "-"
        table.add_row(escape(name), str(status), *numbers, seconds)
    return table
