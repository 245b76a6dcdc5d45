"""Closing gaps: the one place where what was not read becomes known after all.

Whoever has read a span of a stream without a hole (a walk, a search, an import) says so by a `Cover`.
Of a gap that is covered in part, the rest stays open in its own bounds.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from scraping.coverage.walk import End, Walk
from scraping.models import Gap, Stream

# Reddit tells times in whole seconds. Of the items of the last second that a walk saw, it may not
# have seen all.
SECOND = timedelta(seconds=1)
# Before Reddit. A cover from here says that there is nothing older, not since when there is something.
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Cover:
    """A span of which everything that Reddit still shows has been read and stored."""

    stream_id: int
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True)
class ClosedGaps:
    """What came of covers: how many gaps ended, and how many were narrowed or split, by stream."""

    closed: dict[int, int] = field(default_factory=dict)
    narrowed: dict[int, int] = field(default_factory=dict)

    @property
    def total_closed(self) -> int:
        """How many gaps there are no more."""
        return sum(self.closed.values())

    @property
    def total_narrowed(self) -> int:
        """How many gaps are smaller than they were."""
        return sum(self.narrowed.values())


# Streams that have something to gain. Mostly none: nothing is locked then.
CONCERNED = """
SELECT s.id FROM scraping_stream s
JOIN unnest(%(streams)s::bigint[], %(starts)s::timestamptz[], %(ends)s::timestamptz[])
  AS c (stream_id, starts_at, ends_at) ON c.stream_id = s.id
WHERE (s.complete_since > c.starts_at AND s.complete_since <= c.ends_at
       AND c.starts_at > %(beginning)s)
   OR EXISTS (SELECT FROM scraping_gap g WHERE g.stream_id = s.id AND g.closed_at IS NULL
              AND g.starts_at < c.ends_at AND g.ends_at > c.starts_at)
"""

LOCK = "SELECT id FROM scraping_stream WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE"

# What was closed and what stays open of one gap are rows of their own; its own row keeps the oldest
# open part.
CLOSE = """
WITH cover AS (
    SELECT stream_id, range_agg(tstzrange(starts_at, ends_at)) AS spans
    FROM unnest(%(streams)s::bigint[], %(starts)s::timestamptz[], %(ends)s::timestamptz[])
      AS c (stream_id, starts_at, ends_at)
    GROUP BY stream_id
), touched AS MATERIALIZED (
    SELECT g.*, tstzmultirange(tstzrange(g.starts_at, g.ends_at)) - c.spans AS rest,
           tstzmultirange(tstzrange(g.starts_at, g.ends_at)) * c.spans AS done
    FROM scraping_gap g JOIN cover c USING (stream_id)
    WHERE g.closed_at IS NULL AND tstzrange(g.starts_at, g.ends_at) && c.spans
), rest AS (
    SELECT t.id, lower(part) AS starts_at, upper(part) AS ends_at,
           row_number() OVER (PARTITION BY t.id ORDER BY part) AS number
    FROM touched t, unnest(t.rest) AS part
), kept AS (
    UPDATE scraping_gap g SET
        starts_at = COALESCE(r.starts_at, g.starts_at),
        ends_at = COALESCE(r.ends_at, g.ends_at),
        closed_at = CASE WHEN r.id IS NULL THEN %(now)s::timestamptz END,
        closed_by = CASE WHEN r.id IS NULL THEN %(by)s ELSE '' END
    FROM touched t LEFT JOIN rest r ON r.id = t.id AND r.number = 1
    WHERE g.id = t.id
    RETURNING g.stream_id, g.closed_at
), added AS (
    INSERT INTO scraping_gap
        (stream_id, starts_at, ends_at, reason, unread_since, found_at, searched_at, closed_at,
         closed_by)
    SELECT t.stream_id, r.starts_at, r.ends_at, t.reason, t.unread_since, t.found_at,
           t.searched_at, NULL, ''
    FROM touched t JOIN rest r USING (id) WHERE r.number > 1
    UNION ALL
    SELECT t.stream_id, lower(part), upper(part), t.reason, t.unread_since, t.found_at,
           t.searched_at, %(now)s::timestamptz, %(by)s
    FROM touched t, unnest(t.done) AS part WHERE NOT isempty(t.rest)
)
SELECT stream_id, count(closed_at), count(*) - count(closed_at) FROM kept GROUP BY stream_id
"""

# Only where it joins what is known already: the span between would be neither stored nor a gap.
EXTEND = """
UPDATE scraping_stream s SET complete_since = c.starts_at
FROM (
    SELECT stream_id, min(starts_at) AS starts_at
    FROM unnest(%(streams)s::bigint[], %(starts)s::timestamptz[], %(ends)s::timestamptz[])
      AS c (stream_id, starts_at, ends_at)
    JOIN scraping_stream t ON t.id = c.stream_id
    WHERE t.complete_since > c.starts_at AND t.complete_since <= c.ends_at
      AND c.starts_at > %(beginning)s
    GROUP BY stream_id
) c
WHERE s.id = c.stream_id
"""


def close(covers: Iterable[Cover], *, by: str) -> ClosedGaps:
    """Close what the covers hold of open gaps, and say by what.

    Also takes back since when a stream is complete, where a cover joins that moment. Its transaction
    takes the streams' rows in the order of their ids, so that of two who close at once each sees what
    the other has left.
    """
    spans = [cover for cover in covers if cover.starts_at < cover.ends_at]
    if not spans:
        return ClosedGaps()
    with connection.cursor() as cursor:
        cursor.execute(CONCERNED, _parameters(spans))
        concerned = {key for (key,) in cursor.fetchall()}
    if not concerned:
        return ClosedGaps()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(LOCK, [list(concerned)])
        # A statement of its own: it sees what was committed while the lock was waited for.
        parameters = _parameters([span for span in spans if span.stream_id in concerned])
        cursor.execute(CLOSE, parameters | {"now": timezone.now(), "by": by})
        rows = cursor.fetchall()
        cursor.execute(EXTEND, parameters)
    return ClosedGaps(
        closed={stream: whole for stream, whole, _ in rows if whole},
        narrowed={stream: part for stream, _, part in rows if part},
    )


def covers_of(streams: Iterable[Stream], walk: Walk, *, early: Collection[int] = ()) -> list[Cover]:
    """What a finished walk from the top has read of each stream.

    `streams` are as they were when the walk began. One of which the walk saw nothing is left out: of
    several, Reddit leaves those out silently that cannot be read. A listing that led back to itself
    proves nothing. The end of one that ended `early`, by the id of the stream, is no beginning.
    """
    if walk.end == End.BROKEN_LISTING:
        return []
    covers = []
    for stream in streams:
        name = stream.subreddit.name.lower()
        seen = walk.by_subreddit.get(name)
        ended = walk.end == End.LISTING_END and stream.pk not in early
        whole = walk.alone and ended and not walk.reached_cap(name)
        if seen is None and not whole:
            continue
        newest = max(filter(None, (walk.total.newest, stream.watermark)), default=None)
        if newest is None:
            continue
        oldest = seen.oldest if seen and walk.reached_cap(name) else walk.total.oldest
        if whole:
            # Its listing's end is the beginning of all that there is.
            covers.append(Cover(stream.pk, BEGINNING, oldest or newest))
        if oldest:
            covers.append(Cover(stream.pk, oldest if whole else oldest + SECOND, newest))
    return covers


def record_unread(stream: Stream, since: datetime, *, reason: Gap.Reason) -> Gap | None:
    """Write down that a stream was to be read back to `since` and was not; return the gap, if any.

    From then on the stream is complete since that moment but for its gaps.
    """
    with transaction.atomic():
        row = Stream.objects.select_for_update(no_key=True).get(pk=stream.pk)
        if row.complete_since is None or row.complete_since <= since:
            return None
        gap = Gap.objects.create(
            stream=row, starts_at=since, ends_at=row.complete_since, reason=reason
        )
        row.complete_since = since
        row.save(update_fields=["complete_since"])
    return gap


def _parameters(covers: Iterable[Cover]) -> dict[str, Any]:
    rows = [(cover.stream_id, cover.starts_at, cover.ends_at) for cover in covers]
    streams, starts, ends = zip(*rows, strict=True)
    return {
        "streams": list(streams),
        "starts": list(starts),
        "ends": list(ends),
        "beginning": BEGINNING,
    }
