from argparse import ArgumentTypeError
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, cast

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
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

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the description, the files, and the options that choose their lines."""
        parser.description = _(
            "Import posts and comments from dumps in NDJSON: plain, gzip or zstd. If an import was "
            "killed, run the command again: it continues where it stopped. The command writes lines "
            "that hold no item to FILE.rejects.ndjson, with the reason. The exit code is 0 if all "
            "files were read to their ends. The exit code is 1 if a file is cut off or damaged, if "
            "another process imports it, or if it could not be read to its end. The exit code is 2 "
            "for bad arguments."
        )
        parser.add_argument(
            "files", nargs="+", metavar="FILE", type=Path, help=_("the dump to import; repeatable")
        )
        parser.add_argument(
            "--subreddit",
            action="append",
            default=[],
            metavar="NAME",
            help=_("store only items of this subreddit, in any case; repeatable"),
        )
        parser.add_argument(
            "--since",
            type=_moment,
            metavar="ISO",
            help=_("store only items created at this time or later"),
        )
        parser.add_argument(
            "--until",
            type=_moment,
            metavar="ISO",
            help=_("store only items created before this time"),
        )
        parser.add_argument(
            "--complete",
            nargs=2,
            type=_moment,
            metavar=("FROM", "TO"),
            help=_(
                "declare that the files hold every item of their subreddits created from FROM to TO; "
                "only this declaration closes the gaps in that span"
            ),
        )
        parser.add_argument(
            "--dry-run", action="store_true", help=_("read and count, and store nothing")
        )
        parser.add_argument(
            "--restart", action="store_true", help=_("read the files from the beginning")
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Import one file after the other and print the closing table."""
        filters = _filters(options)
        complete = tuple(options["complete"]) if options["complete"] else None
        if complete and complete[0] >= complete[1]:
            raise _bad(
                _("--complete: FROM %(since)s is not before TO %(until)s. Give an earlier FROM.")
                % {"since": complete[0].isoformat(), "until": complete[1].isoformat()}
            )
        for path in options["files"]:
            if not path.is_file():
                raise _bad(
                    _("FILE “%(path)s”: There is no such file. Check the path.") % {"path": path}
                )
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
                    _(
                        "%(path)s: after line %(line)s, %(damage)s. The items before it are stored. "
                        "Get the file again and import it: known items take little time."
                    )
                    % {
                        "path": path,
                        "line": f"{report.record.lines:,}",
                        "damage": report.damage,
                    }
                )
        for fault in faults:
            self.stderr.write(fault)
        if faults:
            raise SystemExit(1)


class _LinesPerSecond(ProgressColumn):
    """Shows the lines per second since this import of the file began."""

    def render(self, task: Task) -> Text:
        lines, elapsed = task.fields["lines"], task.elapsed
        if not lines or not elapsed:
            return Text("")
        return Text(_("%(number)s lines/s") % {"number": f"{lines / elapsed:,.0f}"})


def _progress_bar(console: Console) -> Progress:
    # The remaining time is estimated from the compressed position, because the number of lines in a
    # file is unknown.
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        # `rich` fills in the number, so the placeholder is in its syntax.
        TextColumn(_("{number} lines").format(number="{task.fields[lines]:,}")),
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
        raise _bad(
            _("--since %(since)s is not before --until %(until)s. Give an earlier --since.")
            % {"since": since.isoformat(), "until": until.isoformat()}
        )
    return Filters(frozenset(name.lower() for name in names), since, until)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(
            _(
                "“%(text)s” is not a time. Write a time such as 2023-01-31 or "
                "2023-01-31T12:00:00+00:00."
            )
            % {"text": text}
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _bad(message: str) -> CommandError:
    return CommandError(message, returncode=BAD_ARGUMENTS)


def _notes(path: Path, report: ImportReport, *, dry_run: bool) -> list[str]:
    notes = []
    if report.was_finished:
        notes.append(
            _("%(path)s was imported before. To read it again, give --restart.") % {"path": path}
        )
    if report.record.rejected and not dry_run and not report.was_finished:
        notes.append(_("Rejected lines: %(path)s") % {"path": report.rejects})
    if report.rejects_fault:
        notes.append(report.rejects_fault)
    if report.closed.total_closed:
        number = report.closed.total_closed
        told = ngettext(
            "%(path)s: closed %(number)d gap.", "%(path)s: closed %(number)d gaps.", number
        )
        notes.append(told % {"path": path, "number": number})
    if report.closed.total_narrowed:
        number = report.closed.total_narrowed
        told = ngettext(
            "%(path)s: closed a part of %(number)d gap.",
            "%(path)s: closed parts of %(number)d gaps.",
            number,
        )
        notes.append(told % {"path": path, "number": number})
    if report.gaps_left:
        notes.append(
            _("%(path)s: no gap was closed. %(reason)s")
            % {"path": path, "reason": report.gaps_left}
        )
    return notes


def _table(reports: list[tuple[Path, ImportReport]], *, dry_run: bool) -> Table:
    title = _("Dry run: nothing was stored") if dry_run else _("Imported")
    table = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(_("File"), overflow="ellipsis", no_wrap=True)
    # Only storing the items shows which are new.
    columns = [
        name for name in COLUMNS if not dry_run or name not in ("new", "updated", "unchanged")
    ]
    headings = {field.name: field.verbose_name for field in DumpImport._meta.fields}
    for name in columns:
        table.add_column(capfirst(str(headings[name])), justify="right")
    for path, report in reports:
        numbers = [f"{getattr(report.record, name):,}" for name in columns]
        table.add_row(escape(path.name), *numbers)
    return table
