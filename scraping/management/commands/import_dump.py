from argparse import ArgumentTypeError
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, cast

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from bots.validation import clean_subreddits
from scraping.dumps.files import DumpFileError
from scraping.dumps.importer import ImportConflict, ImportReport, import_dump
from scraping.dumps.lines import Filters
from scraping.dumps.reader_process import ReaderFailed
from scraping.models import DumpImport

BAD_ARGUMENTS = 2
COLUMNS = (
    "lines",
    "posts",
    "comments",
    "new",
    "updated",
    "unchanged",
    "filtered",
    "deleted",
    "rejected",
)


class Command(BaseCommand):
    """Imports dumps of Reddit."""

    help = (
        "Import posts and comments out of dumps: NDJSON, plain, gzip or zstd. An import that was "
        "killed goes on where it stopped. Lines that are no items are written to "
        "FILE.rejects.ndjson with the reason. Exit code 0 when the files were read to their ends, "
        "1 when one was cut off, damaged, is being imported by another process or could not be read "
        "on, 2 for bad arguments."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the files, and the options that choose their lines."""
        parser.add_argument("files", nargs="+", metavar="FILE", type=Path)
        parser.add_argument(
            "--subreddit",
            action="append",
            default=[],
            metavar="NAME",
            help="store this subreddit's items only; repeatable, in any case",
        )
        parser.add_argument(
            "--since", type=_moment, metavar="ISO", help="written at this time or later"
        )
        parser.add_argument("--until", type=_moment, metavar="ISO", help="written before this time")
        parser.add_argument(
            "--complete",
            nargs=2,
            type=_moment,
            metavar=("FROM", "TO"),
            help="declare that the files hold every item of their subreddits written from FROM to "
            "TO: gaps in between are closed. Nothing but your word can close them",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="read and count, and store nothing"
        )
        parser.add_argument(
            "--restart", action="store_true", help="read from the beginning, whatever is done"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Import one file after the other and print the closing table."""
        filters = _filters(options)
        complete = tuple(options["complete"]) if options["complete"] else None
        if complete and complete[0] >= complete[1]:
            raise _bad("--complete: FROM must be earlier than TO.")
        for path in options["files"]:
            if not path.is_file():
                raise _bad(f"{path}: there is no such file. Check the path.")
        # The output stream inside Django's wrapper; the type stubs take `_out` for a method.
        console = Console(file=cast("IO[str]", self.stdout._out))
        reports: list[tuple[Path, ImportReport]] = []
        faults: list[str] = []
        with _progress_bar(console) as bar:
            for path in options["files"]:
                task = bar.add_task(path.name, total=path.stat().st_size, lines=0)

                def on_progress(record: DumpImport, done: int, task: Any = task) -> None:
                    bar.update(task, completed=done, lines=record.lines)

                try:
                    report = import_dump(
                        path,
                        filters=filters,
                        complete=complete,
                        dry_run=options["dry_run"],
                        restart=options["restart"],
                        on_progress=on_progress,
                    )
                except (DumpFileError, ImportConflict, ReaderFailed) as error:
                    faults.append(str(error))
                    continue
                finally:
                    bar.remove_task(task)
                reports.append((path, report))
        console.print(_table(reports, dry_run=options["dry_run"]))
        for path, report in reports:
            for line in _notes(path, report, dry_run=options["dry_run"]):
                console.print(escape(line), highlight=False)
            if report.damage:
                faults.append(
                    f"{path}: after line {report.record.lines:,}, {report.damage}. What came "
                    "before is kept. Get the file anew and import it: known items cost little."
                )
        for fault in faults:
            self.stderr.write(fault)
        if faults:
            raise SystemExit(1)


class _LinesPerSecond(ProgressColumn):
    """Shows the lines per second since this import of the file began."""

    def render(self, task: Task) -> Text:
        lines, elapsed = task.fields["lines"], task.elapsed
        return Text(f"{lines / elapsed:,.0f} lines/s" if lines and elapsed else "")


def _progress_bar(console: Console) -> Progress:
    # The remaining time is estimated from the compressed position, because the number of lines in a
    # file is unknown.
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[lines]:,} lines"),
        _LinesPerSecond(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


def _filters(options: dict[str, Any]) -> Filters:
    names: list[str] = []
    if options["subreddit"]:
        try:
            names = clean_subreddits(options["subreddit"])
        except ValidationError as error:
            raise _bad(f"--subreddit: {' '.join(error.messages)}") from error
    since, until = options["since"], options["until"]
    if since and until and since >= until:
        raise _bad("--since must be earlier than --until.")
    return Filters(frozenset(name.lower() for name in names), since, until)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(
            f"{text!r} is no time; write 2023-01-31 or 2023-01-31T12:00:00+00:00"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _bad(message: str) -> CommandError:
    return CommandError(message, returncode=BAD_ARGUMENTS)


def _notes(path: Path, report: ImportReport, *, dry_run: bool) -> list[str]:
    notes = []
    if report.was_finished:
        notes.append(f"{path} was imported before; --restart reads it again.")
    if report.record.rejected and not dry_run and not report.was_finished:
        notes.append(f"Rejected lines: {report.rejects}")
    if report.rejects_fault:
        notes.append(report.rejects_fault)
    if report.closed.total_closed:
        notes.append(f"{path}: closed {report.closed.total_closed} gaps.")
    if report.closed.total_narrowed:
        notes.append(f"{path}: closed a part of {report.closed.total_narrowed} gaps.")
    if report.gaps_left:
        notes.append(f"{path}: no gap was closed, because {report.gaps_left}.")
    return notes


def _table(reports: list[tuple[Path, ImportReport]], *, dry_run: bool) -> Table:
    title = "Dry run: nothing was stored" if dry_run else "Imported"
    table = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("File", overflow="ellipsis", no_wrap=True)
    # Only storing the items shows which are new.
    columns = [
        name for name in COLUMNS if not dry_run or name not in ("new", "updated", "unchanged")
    ]
    for name in columns:
        table.add_column(name.capitalize(), justify="right")
    for path, report in reports:
        numbers = [f"{getattr(report.record, name):,}" for name in columns]
        table.add_row(escape(path.name), *numbers)
    return table
