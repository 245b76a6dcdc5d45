"""Coverage in the admin: how complete each stream is in its last week, and its gaps."""

from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.decorators import display

from scraping.admin.evidence import EvidenceAdmin
from scraping.coverage.report import HOUR, Coverage, StreamGaps, coverage_of, with_gaps
from scraping.models import Gap, Stream

if TYPE_CHECKING:  # the package comes with mypy's stubs, and only with them
    from django_stubs_ext import WithAnnotations

# Colours for both themes: they differ clearly on white and on black.
COMPLETE, PARTLY, MISSING, BEFORE = "#16a34a", "#f59e0b", "#dc2626", "#94a3b8"
# The width of an hour and the height of the strip, in pixels: in the list, and on a stream's own page.
SMALL, LARGE = (1.5, 18), (4, 36)
PLAIN_SECONDS = 60


def strip_of(figures: Coverage, *, size: tuple[float, float] = SMALL) -> SafeString:
    """Draw the last 7 x 24 hours from left to right; a run of hours with one share is one piece.

    The title of each piece names its span.
    """
    hour_width, height = size
    first = figures.hours_until - len(figures.hours) * HOUR
    shares: list[float | None] = list(figures.hours)
    shares[: figures.hours_before] = [None] * figures.hours_before
    pieces = []
    number = 0
    for value, run in groupby(shares):
        length = len(list(run))
        begins, ends = (
            timezone.localtime(first + hours * HOUR) for hours in (number, number + length)
        )
        pieces.append((number, length, height, _colour(value), _title(value, begins, ends)))
        number += length
    return format_html(
        '<svg width="{}" height="{}" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" '
        'aria-label="{}">{}</svg>',
        round(number * hour_width),
        height,
        number,
        height,
        gettext("%(share)s of the last 7 days complete") % {"share": _percent(figures.week)},
        format_html_join(
            "",
            '<rect x="{}" width="{}" height="{}" fill="{}"><title>{}</title></rect>',
            pieces,
        ),
    )


def _title(value: float | None, begins: datetime, ends: datetime) -> str:
    if value is None:
        told = gettext("not collected yet")
    else:
        told = gettext("%(share)s complete") % {"share": _percent(value)}
    return gettext("%(start)s to %(end)s: %(state)s") % {
        "start": date_format(begins, "D d M H:i"),
        "end": date_format(ends, "D H:i"),
        "state": told,
    }


def _colour(value: float | None) -> str:
    if value is None:
        return BEFORE
    if value >= 1:
        return COMPLETE
    return PARTLY if value > 0 else MISSING


def _percent(value: float) -> str:
    # Never show 100 % for a span that is not complete.
    return "100 %" if value >= 1 else f"{min(value * 100, 99.9):.1f} %"


class OpenGapsFilter(admin.SimpleListFilter):
    """Streams with and without open gaps."""

    title = _("open gaps")
    parameter_name = "gaps"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return the choices of the filter."""
        return [("open", _("With open gaps")), ("none", _("Without open gaps"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Stream]) -> QuerySet[Stream]:
        """Filter the list; open gaps have an index by stream."""
        holes = Exists(Gap.objects.filter(stream=OuterRef("pk"), closed_at=None))
        if self.value() == "open":
            return queryset.filter(holes)
        return queryset.exclude(holes) if self.value() == "none" else queryset


class ClosedFilter(admin.SimpleListFilter):
    """Open and closed gaps."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return the choices of the filter."""
        return [("open", _("Open")), ("closed", _("Closed"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Gap]) -> QuerySet[Gap]:
        """Filter the list; open gaps have an index by time."""
        if self.value() == "open":
            return queryset.filter(closed_at=None)
        return queryset.exclude(closed_at=None) if self.value() == "closed" else queryset


@admin.register(Stream)
class StreamAdmin(EvidenceAdmin):
    """Streams, and how complete each stream is."""

    list_display = [
        "subreddit",
        "kind",
        "last_week",
        "day_share",
        "week_share",
        "open_gaps",
        "complete_since",
        "last_fetch_at",
        "arrivals",
    ]
    list_filter = ["kind", OpenGapsFilter]
    search_fields = ["subreddit__name"]
    fieldsets = [
        (
            None,
            {
                "description": _(
                    "Green hours are complete: every item that Reddit showed is stored. Yellow hours "
                    "are partly complete. Red hours are missing. Grey hours lie before the collection "
                    "of the stream began."
                ),
                "fields": ["subreddit", "kind", "whole_week", ("day_share", "week_share")],
            },
        ),
        (_("Completeness"), {"fields": [("complete_since", "watermark"), "gaps"]}),
        (
            _("Reads"),
            {
                "fields": [
                    ("last_fetch_at", "previous_fetch_at"),
                    "poll_by",
                    ("deep_read_at", "deep_read_since"),
                    "arrivals",
                ]
            },
        ),
    ]

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        """Allow the filter by subreddit, because the list of subreddits links here with it."""
        return lookup == "subreddit__id__exact" or super().lookup_allowed(lookup, value, request)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[WithAnnotations[Stream, StreamGaps]]":
        """Return the streams with the data for their figures, in two statements for a page."""
        return with_gaps(super().get_queryset(request))

    @admin.display(description=_("Last 7 days"))
    def last_week(self, stream: "WithAnnotations[Stream, StreamGaps]") -> SafeString:
        """Return a strip for the list."""
        return strip_of(_figures(stream))

    @admin.display(description=_("Last 7 days, hour by hour"))
    def whole_week(self, stream: "WithAnnotations[Stream, StreamGaps]") -> SafeString:
        """Return a larger strip for the stream's own page."""
        return strip_of(_figures(stream), size=LARGE)

    @admin.display(description=_("24 h"))
    def day_share(self, stream: "WithAnnotations[Stream, StreamGaps]") -> str:
        """Return the share of the last 24 hours that is complete."""
        return _percent(_figures(stream).day)

    @admin.display(description=_("7 days"))
    def week_share(self, stream: "WithAnnotations[Stream, StreamGaps]") -> str:
        """Return the share of the last 7 days that is complete."""
        return _percent(_figures(stream).week)

    @admin.display(description=_("Open gaps"))
    def open_gaps(self, stream: "WithAnnotations[Stream, StreamGaps]") -> str:
        """Return the number of open gaps, with a link to them."""
        if not stream.open_gaps:
            return "-"
        url = reverse("admin:scraping_gap_changelist")
        return format_html(
            '<a class="text-primary-600 dark:text-primary-500" '
            'href="{}?stream__id__exact={}&state=open">{}</a>',
            url,
            stream.pk,
            stream.open_gaps,
        )

    @admin.display(description=_("Items an hour"), ordering="arrivals_per_hour")
    def arrivals(self, stream: Stream) -> str:
        """Return the learned rate of arrivals."""
        rate = stream.arrivals_per_hour
        return "-" if rate is None else f"{rate:.2g}" if rate < 10 else f"{rate:,.0f}"

    @admin.display(description=_("Open gaps"))
    def gaps(self, stream: "WithAnnotations[Stream, StreamGaps]") -> str:
        """Return the open gaps as the list shows them."""
        return self.open_gaps(stream)


def _figures(stream: "WithAnnotations[Stream, StreamGaps]") -> Coverage:
    # Kept on the row, because several columns use the same figures.
    figures: Coverage | None = getattr(stream, "figures", None)
    if figures is None:
        figures = vars(stream)["figures"] = coverage_of(stream)
    return figures


@admin.register(Gap)
class GapAdmin(EvidenceAdmin):
    """Gaps: spans that were not read, and what closed them."""

    list_display = [
        "stream",
        "state",
        "starts_at",
        "ends_at",
        "length",
        "why",
        "found_at",
        "searched_at",
        "closed_at",
        "closed_by",
    ]
    list_filter = [ClosedFilter, "reason", ("ends_at", RangeDateTimeFilter)]
    list_select_related = ["stream__subreddit"]
    search_fields = ["stream__subreddit__name"]

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        """Allow the filter by stream, because the list of streams links here with it."""
        return lookup == "stream__id__exact" or super().lookup_allowed(lookup, value, request)

    @display(description=_("State"), label={"open": "danger", "closed": "success"})
    def state(self, gap: Gap) -> tuple[str, str]:
        """Return whether the gap is open or closed."""
        if gap.closed_at is None:
            return "open", gettext("Open")
        return "closed", gettext("Closed")

    @admin.display(description=_("Length"))
    def length(self, gap: Gap) -> str:
        """Return the length of the gap, such as "3 h 20 min"."""
        seconds = int((gap.ends_at - gap.starts_at).total_seconds())
        if seconds < PLAIN_SECONDS:
            return f"{seconds} s"
        days, minutes = divmod(seconds // 60, 24 * 60)
        hours, minutes = divmod(minutes, 60)
        parts = ((days, "d"), (hours, "h"), (minutes, "min"))
        return " ".join(f"{number} {unit}" for number, unit in parts if number)

    @admin.display(description=_("Reason"), ordering="reason")
    def why(self, gap: Gap) -> str:
        """Return the reason for the gap, and since when the stream had not been read before."""
        return gap.explanation
