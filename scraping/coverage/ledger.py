"""The ledger: record what finished walks prove about streams, as watermarks, gaps and rates."""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.utils import timezone

from scraping.coverage.gaps import ClosedGaps, close, covers_of
from scraping.coverage.rates import Rates, poll_by
from scraping.coverage.walk import KNOWN_ITEMS, SURELY_WHOLE, End, Seen, Walk
from scraping.models import Gap, Stream, item_model

# The reason of a gap by how the walk ended. A walk that ended at known ground or at its bottom leaves
# no gap.
GAP_REASONS: dict[End | None, Gap.Reason] = {
    End.ITEM_LIMIT: Gap.Reason.ITEM_LIMIT,
    End.BROKEN_LISTING: Gap.Reason.BROKEN_LISTING,
    End.LISTING_END: Gap.Reason.LISTING_END,
}


# No walk lasts this long: an item that was first seen that much earlier was shown by an earlier walk.
LONGEST_WALK = timedelta(hours=1)

LOCK = "SELECT id FROM scraping_stream WHERE id = ANY(%s) ORDER BY id FOR UPDATE"

# The statement itself compares the moments, so that of two walks at once the later watermark wins.
RECORD = """
UPDATE scraping_stream t SET
    watermark = GREATEST(t.watermark, v.watermark),
    complete_since = COALESCE(t.complete_since, v.complete_since),
    previous_fetch_at = CASE WHEN v.fetched_at > t.last_fetch_at THEN t.last_fetch_at
                             ELSE t.previous_fetch_at END,
    last_fetch_at = GREATEST(t.last_fetch_at, v.fetched_at),
    arrivals_per_hour = v.arrivals_per_hour,
    arrivals_by_hour = v.arrivals_by_hour,
    learned_hours = v.learned_hours,
    poll_by = v.poll_by,
    deep_read_at = COALESCE(v.deep_read_at, t.deep_read_at),
    deep_read_since = COALESCE(v.deep_read_since, t.deep_read_since)
FROM jsonb_to_recordset(%s) AS v (
    id bigint, watermark timestamptz, complete_since timestamptz, fetched_at timestamptz,
    arrivals_per_hour float8, arrivals_by_hour float8[], learned_hours float8, poll_by timestamptz,
    deep_read_at timestamptz, deep_read_since timestamptz
)
WHERE t.id = v.id
"""


class Recorded(NamedTuple):
    """The gaps that a walk opened and closed."""

    gaps: list[Gap]
    closed: ClosedGaps
    # The ids of streams whose listing ended above known items.
    early: set[int]


def record_walk(
    streams: Iterable[Stream],
    walk: Walk,
    *,
    fetched_at: datetime | None = None,
    by: str = "a later walk",
) -> Recorded:
    """Move the streams' watermarks to what a finished walk proved, and record gaps that it left.

    `streams` are as they were when the walk began. Their gaps that the walk has read are closed; `by`
    says what closed them.

    The arrivals that the walk saw update the streams' rates. The rates give the time by which each
    stream must be read again. `fetched_at` is when the walk began, by our clock: the streams are as
    fresh as that.
    """
    streams = sorted(streams, key=lambda stream: stream.pk)
    early = _ended_early(streams, walk)
    gaps = [gap for stream in streams if (gap := _gap(stream, walk, early=stream.pk in early))]
    fetched_at = fetched_at or timezone.now()
    rows = [_row(stream, walk, fetched_at, early=stream.pk in early) for stream in streams]
    with transaction.atomic():
        with connection.cursor() as cursor:
            # Lock the rows in one order: two bots may name the same subreddits in different orders.
            cursor.execute(LOCK, [[stream.pk for stream in streams]])
            cursor.execute(RECORD, [json.dumps(rows, default=datetime.isoformat)])
        Gap.objects.bulk_create(gaps)
        if gaps:
            # Gaps that a deep walk leaves itself do not count as new to it.
            deep = [row["id"] for row in rows if row["deep_read_at"]]
            Stream.objects.filter(pk__in=deep).update(deep_read_at=timezone.now())
        closed = close(covers_of(streams, walk, early=early), by=by)
    return Recorded(gaps, closed, early)


def _row(stream: Stream, walk: Walk, fetched_at: datetime, *, early: bool) -> dict[str, Any]:
    newest = walk.total.newest
    rates = _learned(stream, walk)
    is_deep = _is_deep(stream, walk) and not early
    return {
        "id": stream.pk,
        "watermark": newest,
        "complete_since": reached(stream, walk) if newest else None,
        "fetched_at": fetched_at,
        "arrivals_per_hour": rates.overall if rates.learned_hours else None,
        "arrivals_by_hour": rates.by_hour if rates.learned_hours else None,
        "learned_hours": rates.learned_hours,
        "poll_by": poll_by(rates, fetched_at) if rates.learned_hours else None,
        "deep_read_at": timezone.now() if is_deep else None,
        "deep_read_since": reached(stream, walk) if is_deep else None,
    }


def _learned(stream: Stream, walk: Walk) -> Rates:
    """Return the stream's rates, learned from what the walk saw above the watermark.

    If the walk did not reach the watermark, it counts as far as it came. In a first walk, the oldest
    item marks the start of the span and is not counted.
    """
    rates = Rates.of(stream)
    seen = walk.by_subreddit.get(stream.subreddit.name.lower(), Seen())
    oldest, newest = reached(stream, walk), walk.total.newest
    start = max(stream.watermark, oldest) if stream.watermark and oldest else seen.oldest
    return rates.learn(seen.moments, start, newest) if start and newest else rates


def _gap(stream: Stream, walk: Walk, *, early: bool) -> Gap | None:
    """Return the gap between the stream's watermark and how far the walk read it, if there is any."""
    cut_off = walk.reached_cap(stream.subreddit.name)
    whole = walk.end in (End.OVERLAP, End.LISTING_END) and not cut_off and not early
    if stream.watermark is None or whole:
        return None
    oldest = reached(stream, walk)
    if oldest is None or oldest <= stream.watermark:
        return None
    return Gap(
        stream=stream,
        starts_at=stream.watermark,
        ends_at=oldest,
        unread_since=stream.last_fetch_at,
        reason=Gap.Reason.LISTING_CAP if cut_off else GAP_REASONS[walk.end],
    )


def _is_deep(stream: Stream, walk: Walk) -> bool:
    was_read = walk.alone or stream.subreddit.name.lower() in walk.by_subreddit
    return was_read and walk.end in (End.LISTING_END, End.BOTTOM)


def _ended_early(streams: Iterable[Stream], walk: Walk) -> set[int]:
    """Return the ids of streams whose listing ended although known items lie below its end."""
    if walk.end != End.LISTING_END:
        return set()
    return {
        stream.pk
        for stream in streams
        if not walk.reached_cap(stream.subreddit.name)
        and _is_known_below(stream, reached(stream, walk))
    }


def well_known(streams: Iterable[Stream]) -> list[Stream]:
    """Return the known streams: several of their stored items, up to the watermark, still stand.

    The listing of a known stream cannot be empty.
    """
    return [stream for stream in streams if _is_known_below(stream, None)]


def _is_known_below(stream: Stream, moment: datetime | None) -> bool:
    """Whether several stored items stand below `moment` and up to the watermark.

    If `moment` is None, every item up to the watermark counts.
    """
    if stream.watermark is None:
        return False
    items = item_model(stream.kind).objects.filter(
        subreddit=stream.subreddit_id, created_at__lte=stream.watermark, removal=""
    )
    if moment is not None:
        items = items.filter(created_at__lt=moment)
    standing = items.exclude(stickied=True).order_by()
    return standing[:KNOWN_ITEMS].count() == KNOWN_ITEMS


def record_doubt(subreddit_ids: Iterable[int]) -> int:
    """Open a gap for each stream of subreddits that turned out to be closed; return how many.

    Nobody can say since when a subreddit has been closed. The walk that showed its newest item may
    already have lost the items below. So the stream is proven only up to the newest item that was
    stored before that walk. A span that lies in one open gap already opens no other gap.
    """
    gaps = []
    for stream in Stream.objects.filter(subreddit__in=list(subreddit_ids)):
        proven = _surely_read_to(stream)
        if proven is None or stream.watermark is None or proven >= stream.watermark:
            continue
        known = Gap.objects.filter(
            stream=stream, closed_at=None, starts_at__lte=proven, ends_at__gte=stream.watermark
        )
        if not known.exists():
            gaps.append(
                Gap(
                    stream=stream,
                    starts_at=proven,
                    ends_at=stream.watermark,
                    reason=Gap.Reason.CLOSED,
                )
            )
    Gap.objects.bulk_create(gaps)
    return len(gaps)


def _surely_read_to(stream: Stream) -> datetime | None:
    """Return the time of the newest item that was stored before the walk of the newest item.

    A later walk showed the subreddit again, so everything up to this item could be read. Without such
    an item, returns the stream's beginning; None if no item is stored.
    """
    items = (
        item_model(stream.kind)
        .objects.filter(subreddit=stream.subreddit_id)
        .order_by("-created_at")
        .values_list("created_at", "first_seen_at")
    )
    newest = items.first()
    if newest is None:
        return None
    before = items.filter(first_seen_at__lt=newest[1] - LONGEST_WALK).first()
    return before[0] if before else min(filter(None, (stream.complete_since, newest[0])))


def reached(stream: Stream, walk: Walk) -> datetime | None:
    """Return how far back the walk has read this stream; None if the walk saw no item at all.

    Reddit cuts off each member of a merged listing by itself. Below that point, the items of other
    members may go on down to known ground, but they prove nothing about this stream.
    """
    seen = walk.by_subreddit.get(stream.subreddit.name.lower())
    # This also holds when the walk ended first: Reddit may have cut off this stream before.
    return seen.oldest if seen and seen.items >= SURELY_WHOLE else walk.total.oldest


def gaps_of_last_read(streams: Iterable[Stream]) -> dict[int, Gap]:
    """Return the open gaps that the last reads of these streams found, by stream."""
    read_at = {stream.pk: stream.last_fetch_at for stream in streams if stream.last_fetch_at}
    if not read_at:
        return {}
    gaps = Gap.objects.filter(
        stream__in=read_at, closed_at=None, found_at__gte=min(read_at.values())
    )
    return {gap.stream_id: gap for gap in gaps if gap.found_at >= read_at[gap.stream_id]}
