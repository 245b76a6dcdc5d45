import csv
import json
from argparse import ArgumentTypeError
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder
from django.utils.dateparse import parse_date, parse_datetime

from jobs.management.output import BAD_ARGUMENTS, RowsCommand
from scraping.content import receipts
from scraping.content.receipts import Purges


class Command(RowsCommand):
    """Reports purges and how old the oldest verification is. It only reads."""

    help = (
        "Report purges: how many, by reason and kind of item, the time from first seen to purged "
        "(median, 95th percentile, longest), and the item that was verified longest ago."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the span of time and the form of the output."""
        super().add_arguments(parser)
        parser.add_argument("--csv", action="store_true", help="print CSV instead of a table")
        parser.add_argument(
            "--since", type=_moment, metavar="TIME", help="purged at or after: 2026-01-31[T12:00]"
        )
        parser.add_argument("--until", type=_moment, metavar="TIME", help="purged before")
        parser.add_argument(
            "--receipts",
            action="store_true",
            help="each receipt instead of their counts: CSV, or with --json one object a line",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the report."""
        span = {"since": options["since"], "until": options["until"]}
        if options["json"] and options["csv"]:
            raise CommandError("Choose --json or --csv.", returncode=BAD_ARGUMENTS)
        if span["since"] and span["until"] and span["since"] >= span["until"]:
            raise CommandError("--since is not before --until.", returncode=BAD_ARGUMENTS)
        if options["receipts"]:
            form = "ndjson" if options["json"] else "csv"
            for line in receipts.export(receipts.between(**span), form):
                self.stdout.write(line, ending="")
            return
        rows = [asdict(row) for row in receipts.summary(**span)]
        state = receipts.verification()
        if options["json"]:
            report = {
                **span,
                "purges": rows,
                "oldest_unverified_at": state.oldest_at,
                "oldest_unverified_hours": state.oldest_hours,
                "overdue": state.overdue,
                "unreadable": state.unreadable,
            }
            self.stdout.write(json.dumps(report, cls=DjangoJSONEncoder, indent=2))
        elif options["csv"]:
            writer = csv.DictWriter(self.stdout, [field.name for field in fields(Purges)])
            writer.writeheader()
            writer.writerows(rows)
        else:
            self.show(rows, as_json=False, empty="Nothing was purged.")
            self.stdout.write(_sentence(state))


def _sentence(state: receipts.Verification) -> str:
    if state.oldest_hours is None:
        told = "No item is to be verified."
    else:
        told = f"The item verified longest ago was verified {state.oldest_hours:.1f} hours ago."
    return f"{told} Overdue: {state.overdue}. In unreadable subreddits: {state.unreadable}."


def _moment(text: str) -> datetime:
    try:
        moment = parse_datetime(text)
        day = None if moment else parse_date(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r}: {error}") from None
    if day is not None:
        moment = datetime(day.year, day.month, day.day, tzinfo=UTC)
    if moment is None:
        raise ArgumentTypeError(f"{text!r} is no time: give 2026-01-31 or 2026-01-31T12:00 (UTC)")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
