import time
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any, cast

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Q
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
from scraping.threads import due_threads

BAD_ARGUMENTS = 2
POLL_SECONDS = 0.5
COLUMNS = ("posts_seen", "comments_seen", "new", "matched", "requests")

Row = tuple[str, str, SessionProgress | ScrapeSession | None, list[str]]


class Command(BaseCommand):
    """Runs sessions in the foreground by the workers' code, or requests a batch from the workers."""

    help = (
        "Collect now, in this process: the bots named (by name or number), all active bots, or "
        "subreddits that need no bot. A bot that reads full trees has a second session for them. "
        "With --batch the workers run the bots, and this waits for the summary. Exit code 0 when "
        "everything was read, 1 when something was not, 2 for bad arguments."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the options: what to scrape, and how far."""
        parser.add_argument("bots", nargs="*", metavar="BOT", help="a bot's name or number")
        parser.add_argument("--all", action="store_true", help="every active bot")
        parser.add_argument(
            "--subreddit",
            action="append",
            default=[],
            metavar="NAME",
            help="without a bot; repeatable",
        )
        parser.add_argument("--app", metavar="NAME", help="the Reddit app for --subreddit")
        parser.add_argument(
            "--limit",
            type=_limit,
            metavar="N",
            help="read at most N items of each subreddit's listing",
        )
        parser.add_argument("--dry-run", action="store_true", help="read, and store nothing")
        parser.add_argument(
            "--batch", action="store_true", help="hand the bots to the workers, as one batch"
        )
        parser.add_argument(
            "--timeout",
            type=_seconds,
            default=3600,
            metavar="SECONDS",
            help="how long to wait for a batch (3600); it goes on afterwards",
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
        if any(status != ScrapeSession.Status.COMPLETED for _, status, _, _ in rows):
            raise SystemExit(1)

    def _work(self, options: dict[str, Any]) -> list[tuple[str, Callable[..., Any]]]:
        ways = [bool(options["bots"]), options["all"], bool(options["subreddit"])]
        if sum(ways) != 1:
            raise _bad("Name bots, or give --all, or --subreddit NAME: one of the three.")
        if options["subreddit"]:
            return [self._subreddits(options)]
        work = []
        for bot in _chosen(options):
            work.append((bot.name, self._bot_run(bot, options)))
            if bot.comments == BotConfig.Comments.THREADS and not options["dry_run"]:
                work.append((f"{bot.name}: trees", self._trees_run(bot)))
        return work

    def _batch(self, console: Console, options: dict[str, Any]) -> None:
        """Request a batch, wait for its end, and print its summary."""
        if options["subreddit"] or options["dry_run"] or options["limit"]:
            raise _bad("--batch: only for bots, without --subreddit, --dry-run and --limit.")
        if bool(options["bots"]) == options["all"]:
            raise _bad("--batch: name bots, or give --all.")
        try:
            asked = batches.scrape_batch(_chosen(options))
        except ValueError as error:
            raise _bad(str(error)) from error
        for bot in asked.inactive:
            console.print(f"[yellow]{escape(bot.name)}[/yellow]: inactive, left out")
        told = f"Batch {asked.batch.pk} of {asked.batch.total} session(s)"
        console.print(told, highlight=False)
        batch = ScrapeBatch.objects.get(pk=asked.batch.pk)
        deadline = time.monotonic() + options["timeout"]
        while batch.summary is None and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            batch.refresh_from_db()
        rows = [(session.bot_name, *_told(session)) for session in batches.sessions_of(batch.pk)]
        self._tell(console, rows, dry_run=False)
        if batch.summary is None:
            message = "It goes on: see Batches of sessions in the admin. Does a worker run?"
            raise CommandError(f"{told} has not ended within {options['timeout']} s. {message}")
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
        for name, _, _, faults in rows:
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
        raise _bad("--all: there is no active bot. Add one in the admin.")
    return chosen


def _bots(names: list[str]) -> list[BotConfig]:
    chosen = []
    for name in names:
        by_number = Q(pk=int(name)) if name.isdecimal() else Q()
        found = list(
            BotConfig.objects.select_related("reddit_app").filter(Q(name=name) | by_number)
        )
        if len(found) != 1:
            what = "There is no such bot" if not found else "Several owners have such a bot"
            known = ", ".join(f"{bot.pk} “{bot.name}”" for bot in BotConfig.objects.all()[:10])
            raise _bad(f"BOT “{name}”: {what}. Known: {known or 'none'}.")
        chosen += found
    return chosen


def _app(name: str | None) -> RedditApp:
    apps = list(RedditApp.objects.filter(name=name) if name else RedditApp.objects.all()[:2])
    if len(apps) == 1:
        return apps[0]
    known = ", ".join(f"“{app.name}”" for app in RedditApp.objects.all()[:10]) or "none"
    what = f"“{name}” names {len(apps)} apps" if name else "say which Reddit app asks"
    raise _bad(f"--app: {what}. Known: {known}.")


def _limit(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= LISTING_CAP:
        raise ArgumentTypeError(f"{text!r} is not a number from 1 to {LISTING_CAP}")
    return int(text)


def _seconds(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds, 1 or more")
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
    return (
        f"{progress.posts_seen} posts, {progress.comments_seen} comments, {progress.new} new, "
        f"{progress.requests} requests"
    )


def _table(rows: list[Row], *, dry_run: bool) -> Table:
    title = "Dry run: nothing was stored" if dry_run else "Sessions"
    table = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Bot", overflow="ellipsis", no_wrap=True)
    table.add_column("Status", min_width=len(ScrapeSession.Status.COMPLETED))
    for heading in ("Posts", "Comments", "New", "Matched", "Requests", "Seconds"):
        table.add_column(heading, justify="right", min_width=len(heading))
    for name, status, result, _ in rows:
        numbers = [str(getattr(result, column)) if result else "-" for column in COLUMNS]
        duration = getattr(result, "duration", None)
        seconds = f"{duration.total_seconds():.1f}" if duration else "-"
        table.add_row(escape(name), str(status), *numbers, seconds)
    return table
