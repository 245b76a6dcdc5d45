from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from bots.validation import clean_subreddits
from jobs.management.output import BAD_ARGUMENTS, RowsCommand
from scraping.coverage import report
from scraping.models import Gap


class Command(RowsCommand):
    """Reports how complete streams are."""

    help = (
        "Tell how complete the posts and comments of subreddits are: since when, up to when, and "
        "which share of the last 24 hours and 7 days. With --gaps, what was not read, and why. "
        "Exit code 1 when a subreddit that is named has never been collected."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the subreddits and the choice of the report."""
        super().add_arguments(parser)
        parser.add_argument(
            "subreddits",
            nargs="*",
            metavar="SUBREDDIT",
            help="in any case; all where none is named",
        )
        parser.add_argument("--gaps", action="store_true", help="list open gaps")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the streams' figures or their open gaps."""
        names = _names(options["subreddits"])
        streams = report.streams_of(names)
        if names:
            known = {name.lower() for name in streams.values_list("subreddit__name", flat=True)}
            unknown = [name for name in names if name.lower() not in known]
            for name in unknown:
                self.stderr.write(f"r/{name} has never been collected: no active bot names it.")
        else:
            unknown = []
        rows = _gaps(streams) if options["gaps"] else _figures(streams)
        empty = "No open gap." if options["gaps"] else "Nothing has been collected yet."
        self.show(rows, as_json=options["json"], empty=empty)
        if unknown:
            raise SystemExit(1)


def _names(given: list[str]) -> list[str]:
    if not given:
        return []
    try:
        return clean_subreddits(given)
    except ValidationError as error:
        raise CommandError(
            f"SUBREDDIT: {' '.join(error.messages)}", returncode=BAD_ARGUMENTS
        ) from error


def _figures(streams: Any) -> list[dict[str, Any]]:
    now = timezone.now()
    found = report.with_gaps(streams, now=now).order_by("subreddit__name", "kind")
    return [
        {
            "stream": str(figures.stream),
            "complete_since": figures.complete_since,
            "read_until": figures.read_until,
            "open_gaps": figures.open_gaps,
            "share_24h": figures.day,
            "share_7d": figures.week,
        }
        for figures in (report.coverage_of(stream, now=now) for stream in found)
    ]


def _gaps(streams: Any) -> list[dict[str, Any]]:
    gaps = Gap.objects.filter(closed_at=None, stream__in=streams)
    return [
        {
            "stream": str(gap.stream),
            "from": gap.starts_at,
            "to": gap.ends_at,
            "hours": (gap.ends_at - gap.starts_at).total_seconds() / 3600,
            "why": gap.explanation,
            "found": gap.found_at,
        }
        for gap in gaps.select_related("stream__subreddit").order_by(
            "stream__subreddit__name", "stream__kind", "starts_at"
        )
    ]
