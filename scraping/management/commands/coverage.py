from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _

from bots.validation import clean_subreddits
from jobs.management.output import BAD_ARGUMENTS, RowsCommand
from scraping.coverage import report
from scraping.models import Gap


class Command(RowsCommand):
    """Reports how complete streams are."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the description, the subreddits and the choice of the report."""
        parser.description = _(
            "Report how complete the streams of subreddits are: since when, up to when, and which "
            "share of the last 24 hours and 7 days. With --gaps, list the spans that were not read and "
            "the reasons. The exit code is 1 if a named subreddit has never been collected."
        )
        super().add_arguments(parser)
        parser.add_argument(
            "subreddits",
            nargs="*",
            metavar="SUBREDDIT",
            help=_("name of a subreddit, in any case; all subreddits if you name none"),
        )
        parser.add_argument("--gaps", action="store_true", help=_("list open gaps"))

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the streams' figures or their open gaps."""
        names = _names(options["subreddits"])
        streams = report.streams_of(names)
        if names:
            known = {name.lower() for name in streams.values_list("subreddit__name", flat=True)}
            unknown = [name for name in names if name.lower() not in known]
            for name in unknown:
                self.stderr.write(
                    _(
                        "r/%(name)s has never been collected. Add the subreddit to an active bot to "
                        "collect it."
                    )
                    % {"name": name}
                )
        else:
            unknown = []
        rows = _gaps(streams) if options["gaps"] else _figures(streams)
        empty = _("No open gap.") if options["gaps"] else _("Nothing has been collected yet.")
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
