import csv
import json
from argparse import ArgumentTypeError
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.translation import gettext as _

from jobs.management.output import BAD_ARGUMENTS, RowsCommand
from scraping.content import receipts
from scraping.content.receipts import Purges


class Command(RowsCommand):
    """Reports purges and how old the oldest verification is. It only reads."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the description, the span of time and the form of the output."""
        parser.description = _(
            "Report purges: their number by reason and kind of item, and the time from first seen to "
            "purged (median, 95th percentile, longest). The report ends with the age of the oldest "
            "verification."
        )
        super().add_arguments(parser)
        parser.add_argument("--csv", action="store_true", help=_("print CSV instead of a table"))
        parser.add_argument(
            "--since",
            type=_moment,
            metavar="TIME",
            help=_("count purges at or after this time, such as 2026-01-31 or 2026-01-31T12:00"),
        )
        parser.add_argument(
            "--until", type=_moment, metavar="TIME", help=_("count purges before this time")
        )
        parser.add_argument(
            "--receipts",
            action="store_true",
            help=_("print the receipts instead of counts: CSV, or with --json one object a line"),
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the report."""
        span = {"since": options["since"], "until": options["until"]}
        if options["json"] and options["csv"]:
            raise CommandError(
                _("--json and --csv exclude each other. Choose --json or --csv."),
                returncode=BAD_ARGUMENTS,
            )
        if span["since"] and span["until"] and span["since"] >= span["until"]:
            raise CommandError(
                _("--since %(since)s is not before --until %(until)s. Give an earlier --since.")
                % {"since": span["since"].isoformat(), "until": span["until"].isoformat()},
                returncode=BAD_ARGUMENTS,
            )
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
            self.show(rows, as_json=False, empty=_("Nothing was purged."))
            self.stdout.write(_sentence(state))


def _sentence(state: receipts.Verification) -> str:
    if state.oldest_hours is None:
        told = _("No item needs a verification.")
    else:
        told = _(
            "The oldest verification of an item was %(hours).1f hours ago: Reddit or a dump last showed "
            "the item then."
        ) % {"hours": state.oldest_hours}
    counts = _("Overdue items: %(overdue)d. Items in unreadable subreddits: %(unreadable)d.") % {
        "overdue": state.overdue,
        "unreadable": state.unreadable,
    }
    return f"{told} {counts}"


def _moment(text: str) -> datetime:
    try:
        moment = parse_datetime(text)
        day = None if moment else parse_date(text)
    except ValueError as error:
        raise ArgumentTypeError(_bad_moment(text)) from error
    if day is not None:
        moment = datetime(day.year, day.month, day.day, tzinfo=UTC)
    if moment is None:
        raise ArgumentTypeError(_bad_moment(text))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _bad_moment(text: str) -> str:
    return _(
        "“%(text)s” is not a time. Write a time such as 2026-01-31 or 2026-01-31T12:00 (UTC)."
    ) % {"text": text}
