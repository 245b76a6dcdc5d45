"""Coverage: how complete streams are, in spans and in shares of hours.

A moment of a stream is complete when every item that Reddit showed of that moment is stored. A stream
is complete from `complete_since` up to its last read, except for its open gaps.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypedDict

from django.db.models import Count, OuterRef, Prefetch, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from scraping.models import Gap, Stream

if TYPE_CHECKING:  # the package comes with mypy's stubs, and only with them
    from django_stubs_ext import WithAnnotations

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
WEEK = timedelta(days=7)
HOURS = WEEK // HOUR
# For this long after a stream's last read, its figures are as of that read.
FRESH = HOUR

Span = tuple[datetime, datetime]


class StreamGaps(TypedDict):
    """The annotations that `with_gaps` adds to each stream."""

    open_gaps: int
    recent_gaps: list[Gap]


@dataclass(frozen=True)
class Coverage:
    """How complete a stream is. Shares are from 0 to 1, of the whole day, week or hour."""

    stream: Stream
    complete_since: datetime | None
    read_until: datetime | None
    open_gaps: int
    day: float
    week: float
    hours: tuple[float, ...]
    """The share of each of the last 7 x 24 hours, the oldest first; the last is the current hour."""
    hours_until: datetime
    """The end of the last of these hours."""

    @property
    def hours_before(self) -> int:
        """How many of the hours had ended before the stream was first complete."""
        if self.complete_since is None:
            return len(self.hours)
        first = self.hours_until - len(self.hours) * HOUR
        return max(0, min((self.complete_since - first) // HOUR, len(self.hours)))


def complete_spans(
    complete_since: datetime | None, read_until: datetime | None, gaps: Iterable[Span]
) -> list[Span]:
    """Return the complete spans, in order and without overlap. The gaps may overlap and lie anywhere."""
    if complete_since is None or read_until is None:
        return []
    spans = []
    begins = complete_since
    for gap_begins, gap_ends in sorted(gaps):
        ends = min(gap_begins, read_until)
        if begins < ends:
            spans.append((begins, ends))
        begins = max(begins, gap_ends)
    if begins < read_until:
        spans.append((begins, read_until))
    return spans


def share(spans: Iterable[Span], begins: datetime, ends: datetime) -> float:
    """Return the share of the time from `begins` to `ends` in the spans, which must not overlap."""
    held = sum(
        (max(min(b, ends) - max(a, begins), timedelta()) for a, b in spans), start=timedelta()
    )
    return held / (ends - begins)


def shares_by_hour(spans: Sequence[Span], until: datetime, hours: int) -> tuple[float, ...]:
    """Return the share of each of the last `hours` hours before `until`, the oldest first."""
    first = until - hours * HOUR
    return tuple(
        share(spans, first + number * HOUR, first + (number + 1) * HOUR) for number in range(hours)
    )


def with_gaps(
    streams: QuerySet[Stream], *, now: datetime | None = None
) -> "QuerySet[WithAnnotations[Stream, StreamGaps]]":
    """Return the streams as `coverage_of` needs them: two statements for any number of streams."""
    since = (now or timezone.now()) - WEEK - HOUR
    recent = Gap.objects.filter(closed_at=None, ends_at__gte=since)
    # A subquery runs only for the rows of a page, not for all streams.
    counted = (
        Gap.objects.filter(stream=OuterRef("pk"), closed_at=None)
        .order_by()
        .values("stream")
        .annotate(number=Count("pk"))
        .values("number")
    )
    return (
        streams.select_related("subreddit")
        .annotate(open_gaps=Coalesce(Subquery(counted), 0))
        .prefetch_related(Prefetch("gaps", queryset=recent, to_attr="recent_gaps"))
    )


def streams_of(names: Sequence[str]) -> QuerySet[Stream]:
    """Return the streams of these subreddits, in any case; without names, every stream ever read."""
    if not names:
        return Stream.objects.exclude(last_fetch_at=None)
    return Stream.objects.named(names)


def coverage_of(
    stream: "WithAnnotations[Stream, StreamGaps]", *, now: datetime | None = None
) -> Coverage:
    """Return the coverage of a stream from `with_gaps`, as of now, or of its last read if that is fresh.

    A stream without new items keeps its watermark, by Reddit's clock, although it is read. So it
    counts as read up to the beginning of its last walk, by our clock.
    """
    now = now or timezone.now()
    read_until = max(filter(None, (stream.watermark, stream.last_fetch_at)), default=None)
    if read_until is not None:
        read_until = min(read_until, now)
        # The time since the last read is a matter of freshness, unless it is long.
        now = read_until if now - read_until <= FRESH else now
    spans = complete_spans(
        stream.complete_since,
        read_until,
        [(gap.starts_at, gap.ends_at) for gap in stream.recent_gaps],
    )
    begun = now.replace(minute=0, second=0, microsecond=0)
    # The current hour counts only up to now.
    running = share(spans, begun, now) if begun < now else 0.0
    return Coverage(
        stream=stream,
        complete_since=stream.complete_since,
        read_until=read_until,
        open_gaps=stream.open_gaps,
        day=share(spans, now - DAY, now),
        week=share(spans, now - WEEK, now),
        hours=(*shares_by_hour(spans, begun, HOURS - 1), running),
        hours_until=begun + HOUR,
    )
