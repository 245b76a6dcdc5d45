"""Gaps and covers: the one place where gaps are closed.

A walk, a gap search or an import that has read a span of a stream without a hole reports a `Cover`.
If a cover holds only a part of a gap, the rest of the gap stays open with bounds of its own.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from scraping.coverage.walk import End, Walk
from scraping.models import Gap, Stream

# Reddit gives times in whole seconds. A walk may not have seen all items of the last second that it
# reached.
SECOND = timedelta(seconds=1)
# Long before Reddit. A cover from here says that nothing older exists. It does not say since when the
# stream is complete.
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Cover:
    """A span of a stream in which everything that Reddit still shows has been read and stored."""

    stream_id: int
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True)
class ClosedGaps:
    """The effect of covers: how many gaps were closed, and how many narrowed or split, by stream."""

    closed: dict[int, int] = field(default_factory=dict)
    narrowed: dict[int, int] = field(default_factory=dict)

    @property
    def total_closed(self) -> int:
        """How many gaps were closed."""
        return sum(self.closed.values())

    @property
    def total_narrowed(self) -> int:
        """How many gaps were narrowed or split."""
        return sum(self.narrowed.values())


# The streams for which the covers change something. Mostly there are none, and nothing is locked.
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

# If a gap is covered in part, its row keeps the oldest open part. Every other open part and every
# closed part becomes a row of its own.
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

# A cover extends the complete span only if it joins that span: anything between the two would be
# neither stored nor a gap.
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
    """Close the parts of open gaps that the covers hold; `by` says what closed them.

    If a cover joins the moment since which a stream is complete, that moment moves back to the
    cover's start. The transaction locks the streams' rows in the order of their ids. So if two callers
    close gaps at once, each sees what the other has left.
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
        # A new statement also sees what was committed during the wait for the lock.
        parameters = _parameters([span for span in spans if span.stream_id in concerned])
        cursor.execute(CLOSE, parameters | {"now": timezone.now(), "by": by})
        rows = cursor.fetchall()
        cursor.execute(EXTEND, parameters)
    return ClosedGaps(
        closed={stream: whole for stream, whole, _ in rows if whole},
        narrowed={stream: part for stream, _, part in rows if part},
    )


def covers_of(streams: Iterable[Stream], walk: Walk, *, early: Collection[int] = ()) -> list[Cover]:
    """Return the covers that a finished walk from the top has read of the streams.

    `streams` are as they were when the walk began. A member of a merged listing that the walk did not
    show has no cover, because Reddit may have left it out silently. A listing that led back to itself
    proves nothing. `early` holds the ids of streams whose listing ended above known items: the end of
    such a listing does not prove that nothing older exists.
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
            # The end of the listing proves that nothing older exists.
            covers.append(Cover(stream.pk, BEGINNING, oldest or newest))
        if oldest:
            covers.append(Cover(stream.pk, oldest if whole else oldest + SECOND, newest))
    return covers


def record_unread(stream: Stream, since: datetime, *, reason: Gap.Reason) -> Gap | None:
    """Record that a read was to go back to `since` and did not get there; return the gap, if any.

    The stream is then complete since that moment, except for its gaps.
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
