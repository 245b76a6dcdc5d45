"""What is known of each stream's completeness: watermarks moved, gaps written."""

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

# By the end of a finished walk. One that overlapped or came to its bottom leaves no gap.
GAP_REASONS: dict[End | None, Gap.Reason] = {
    End.ITEM_LIMIT: Gap.Reason.ITEM_LIMIT,
    End.BROKEN_LISTING: Gap.Reason.BROKEN_LISTING,
    End.LISTING_END: Gap.Reason.LISTING_END,
}


# No session walks so long: what was first seen so much earlier an earlier walk has shown.
LONGEST_WALK = timedelta(hours=1)

LOCK = "SELECT id FROM scraping_stream WHERE id = ANY(%s) ORDER BY id FOR UPDATE"

# In the statement, so that of two walks at once the further one stands.
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
    """What a walk opened and closed."""

    gaps: list[Gap]
    closed: ClosedGaps
    # Ids of the streams whose listing ended although it should go on.
    early: set[int]


def record_walk(
    streams: Iterable[Stream],
    walk: Walk,
    *,
    fetched_at: datetime | None = None,
    by: str = "a later walk",
) -> Recorded:
    """Move the streams' watermarks to what a finished walk proved, and write what it left open.

    `streams` are as they were when the walk began. Gaps of theirs that it has read are closed, and
    say that they were `by` it.

    What the walk saw arrive teaches the streams' rates, and with them by when each must be read
    again. `fetched_at` is when the walk began, by our clock: as fresh is what it read.
    """
    streams = sorted(streams, key=lambda stream: stream.pk)
    early = _ended_early(streams, walk)
    gaps = [gap for stream in streams if (gap := _gap(stream, walk, early=stream.pk in early))]
    fetched_at = fetched_at or timezone.now()
    rows = [_row(stream, walk, fetched_at, early=stream.pk in early) for stream in streams]
    with transaction.atomic():
        with connection.cursor() as cursor:
            # In one order: two bots may name the same subreddits in different ones.
            cursor.execute(LOCK, [[stream.pk for stream in streams]])
            cursor.execute(RECORD, [json.dumps(rows, default=datetime.isoformat)])
        Gap.objects.bulk_create(gaps)
        if gaps:
            # A deep walk has met the gaps that itself has left.
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
    """The stream's rates after what the walk saw of it above the watermark, or as far as it came.

    Of a first walk the oldest item only says where the span begins.
    """
    rates = Rates.of(stream)
    seen = walk.by_subreddit.get(stream.subreddit.name.lower(), Seen())
    oldest, newest = reached(stream, walk), walk.total.newest
    start = max(stream.watermark, oldest) if stream.watermark and oldest else seen.oldest
    return rates.learn(seen.moments, start, newest) if start and newest else rates


def _gap(stream: Stream, walk: Walk, *, early: bool) -> Gap | None:
    """What lies between the stream's watermark and the oldest item of it that the walk reached."""
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
    """Those of whom the listing ended although known items of theirs stand below its end."""
    if walk.end != End.LISTING_END:
        return set()
    return {
        stream.pk
        for stream in streams
        if not walk.reached_cap(stream.subreddit.name)
        and _is_known_below(stream, reached(stream, walk))
    }


def well_known(streams: Iterable[Stream]) -> list[Stream]:
    """Those with several stored items up to the watermark, as far as is known still on Reddit.

    Their listing does not end before it has shown them.
    """
    return [stream for stream in streams if _is_known_below(stream, None)]


def _is_known_below(stream: Stream, moment: datetime | None) -> bool:
    """Whether several items stand below a moment and not above the watermark; None: anywhere."""
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

    Nobody can say since when they have been: what is proven ends where it did before the walk that
    showed their newest item, as that may have lost what lay below. What is in such a gap already
    opens no other one.
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
    """The newest item that was stored before the walk of the newest one; else the stream's beginning.

    Later than it the subreddit was seen, so what had been read until then had been readable.
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
    """How far back the walk has read this stream.

    Reddit cuts each member of a merged listing off by itself: below that point the others' items
    go on, and may well reach known ground, but prove nothing of this one.
    """
    seen = walk.by_subreddit.get(stream.subreddit.name.lower())
    # Also where the walk ended first: by then, this one's part may have ended already.
    return seen.oldest if seen and seen.items >= SURELY_WHOLE else walk.total.oldest


def gaps_of_last_read(streams: Iterable[Stream]) -> dict[int, Gap]:
    """Gaps that the last read of these streams found and that are open still, by stream."""
    read_at = {stream.pk: stream.last_fetch_at for stream in streams if stream.last_fetch_at}
    if not read_at:
        return {}
    gaps = Gap.objects.filter(
        stream__in=read_at, closed_at=None, found_at__gte=min(read_at.values())
    )
    return {gap.stream_id: gap for gap in gaps if gap.found_at >= read_at[gap.stream_id]}
