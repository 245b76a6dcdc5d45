"""Deep walks: from time to time, read each wanted stream again, further down than known ground.

Moderators approve some posts and comments hours late. These items then appear at the time of their
writing, where an ordinary walk no longer looks. A deep walk finds these items, and closes the gaps
that Reddit's listings still reach.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypedDict

from django.conf import settings
from django.db import connection
from django.db.models import Case, Exists, F, OuterRef, Q, QuerySet, Value, When
from django.utils import timezone

from bots import refusals
from bots.models import LISTING_CAP, RedditApp
from jobs import locks
from scraping.collecting.page_store import Progress
from scraping.completing import deep_reader
from scraping.completing.deep_reader import DeepReader, Depth, PagesSpent, Reading, StreamOutcome
from scraping.coverage.gaps import SECOND
from scraping.models import Gap, RedditComment, RedditPost, ScrapeSession, Stream
from scraping.planning import demand
from scraping.reddit.client import PAGE_SIZE
from scraping.sessions import lifecycle

if TYPE_CHECKING:  # the package comes with mypy's stubs, and only with them
    from django_stubs_ext import WithAnnotations

logger = logging.getLogger(__name__)

# A deep walk goes this far below the watermark if no gap lies deeper: a day since the last deep walk,
# and half a day for moderators to let items through. It costs up to ten requests for each stream.
DEPTH = timedelta(hours=36)
# Comments have their turn every third time. A subreddit has about five times as many comments as posts,
# so in a busy subreddit the listed 1,000 reach back only hours; and moderators hold back few comments.
INTERVALS = {Stream.Kind.POSTS.value: 1, Stream.Kind.COMMENTS.value: 3}
# At most this many streams in one run, for each app.
STREAMS = 500

LOCK = "deep-walk:{app_id}"

TABLES = {
    Stream.Kind.POSTS.value: RedditPost._meta.db_table,
    Stream.Kind.COMMENTS.value: RedditComment._meta.db_table,
}


@dataclass
class DeepWalk:
    """The counts of a run for one app: streams due and read, gaps, new items, requests.

    `ended_early` says why the run ended before all due streams were read; empty if it did not.
    """

    due: int = 0
    read: int = 0
    gaps_opened: int = 0
    gaps_closed: int = 0
    gaps_narrowed: int = 0
    new: int = 0
    requests: int = 0
    ended_early: str = ""

    def note(self, reading: Reading) -> StreamOutcome:
        """Count the reading of one stream; return the stream's outcome."""
        if reading.ended_early and not reading.is_done:
            detail = "its listing ended above items of it that are known: read again soon"
            return StreamOutcome("error", detail)
        self.read += 1
        self.gaps_closed += reading.gaps_closed
        self.gaps_narrowed += reading.gaps_narrowed
        since = f"read back to {reading.since:%Y-%m-%d %H:%M}" if reading.since else "nothing in it"
        closed = f", {reading.gaps_closed} gaps closed" if reading.gaps_closed else ""
        cut = "" if reading.is_done or reading.cut_off else ", cut short: it has its turn again"
        missed = ", which is above known ground" if reading.gaps_opened else ""
        return StreamOutcome("gap" if reading.gaps_opened else "ok", since + missed + closed + cut)


def walk_deep(app: RedditApp, *, on_page: Callable[[Progress], None] = lambda _: None) -> DeepWalk:
    """Read the due streams that the app's bots want, and return the counts.

    No request is made when no stream is due, when Reddit refuses the app, or when another process
    holds the app's lock for deep walks. Streams that the run does not reach stay due.
    """
    if not refusals.may_try(app):
        return DeepWalk(ended_early="Reddit refuses the app's credentials")
    lock = LOCK.format(app_id=app.pk)
    try:
        with locks.hold(lock):
            streams = due_streams(app)
            if not streams:
                return DeepWalk()
            session = lifecycle.start_without_bot(
                f"Deep walk of {app.name}",
                trigger=ScrapeSession.Trigger.BACKFILL,
                lock=lock,
            )
            return _walk(app, streams, session, on_page)
    except locks.LockHeld as held:
        return DeepWalk(ended_early=str(held))


def _walk(
    app: RedditApp,
    streams: "Sequence[WithAnnotations[Stream, NewGap]]",
    session: ScrapeSession,
    on_page: Callable[[Progress], None],
) -> DeepWalk:
    result = DeepWalk(due=len(streams))

    def read(reader: DeepReader) -> None:
        try:
            reader.read(within_pages(depths_of(streams), settings.DEEP_WALK_PAGES))
        except PagesSpent:
            result.ended_early = f"{settings.DEEP_WALK_PAGES} pages were read"

    progress = deep_reader.run(
        app,
        session,
        read,
        by="a deep walk",
        name="deep walk",
        pages=settings.DEEP_WALK_PAGES,
        on_reading=result.note,
        on_page=on_page,
    )
    result.ended_early = result.ended_early or session.error
    result.new, result.requests = progress.new, progress.requests
    result.gaps_opened = progress.gaps_opened
    logger.info("Deep walk of app %s: %s", app, asdict(result))
    return result


class NewGap(TypedDict):
    """The annotation that `due_streams` adds: whether a stream has a gap that no deep walk has met yet."""

    has_new_gap: bool


@dataclass(frozen=True)
class WalkDepth(Depth):
    """How far down to read a stream, and whether it has a gap that no deep walk has met yet."""

    has_new_gap: bool


def due_streams(app: RedditApp) -> "list[WithAnnotations[Stream, NewGap]]":
    """Return the streams that the app's bots want and that are due for a deep walk, most urgent first.

    Streams with a gap that no deep walk has met yet come first, then streams whose last deep walk is
    longest ago. Ordinary sessions take care of streams that were never read and of subreddits that
    cannot be read.
    """
    names: dict[str, list[str]] = {}
    for wanted in demand.demands(app):
        names.setdefault(wanted.kind, []).append(wanted.subreddit)
    due: list[WithAnnotations[Stream, NewGap]] = []
    for kind, of_kind in names.items():
        due += _due(kind, of_kind)[:STREAMS]
    due.sort(key=lambda stream: (not stream.has_new_gap, _age(stream)))
    return due[:STREAMS]


def _age(stream: Stream) -> float:
    return stream.deep_read_at.timestamp() if stream.deep_read_at else 0.0


def _due(kind: str, names: Sequence[str]) -> "QuerySet[WithAnnotations[Stream, NewGap]]":
    # A gap that a deep walk left open lies below what Reddit lists, for good.
    new_gaps = Gap.objects.filter(stream=OuterRef("pk"), closed_at=None).filter(
        Q(found_at__gt=OuterRef("deep_read_at")) | Q(stream__deep_read_at=None)
    )
    before = timezone.now() - settings.DEEP_WALK_INTERVAL * INTERVALS[kind]
    return (
        Stream.objects.readable()
        .named(names)
        .annotate(has_new_gap=Exists(new_gaps))
        .filter(kind=kind)
        .exclude(watermark=None)
        .filter(Q(deep_read_at=None) | Q(deep_read_at__lt=before) | Q(has_new_gap=True))
        .select_related("subreddit")
        .order_by(
            Case(When(has_new_gap=True, then=Value(0)), default=Value(1)),
            F("deep_read_at").asc(nulls_first=True),
            "pk",
        )
    )


def depths_of(streams: "Sequence[WithAnnotations[Stream, NewGap]]") -> list[WalkDepth]:
    """Return how far down to read each stream: a day and a half, or further down to its oldest gap.

    Gaps below the reach of the last deep walk do not count, because a listing only moves on. If the
    stream has a gap that no deep walk has met yet, all its open gaps count.
    """
    open_gaps = Gap.objects.filter(stream__in=streams, closed_at=None)
    oldest: dict[int, datetime] = {}
    by_key = {stream.pk: stream for stream in streams}
    for key, starts_at, ends_at in open_gaps.values_list("stream", "starts_at", "ends_at"):
        reach = by_key[key].deep_read_since
        if reach is None or ends_at > reach + SECOND or by_key[key].has_new_gap:
            oldest[key] = min(oldest.get(key, starts_at), starts_at)
    return [
        WalkDepth(
            stream, min(watermark - DEPTH, oldest.get(stream.pk, watermark)), stream.has_new_gap
        )
        for stream in streams
        if (watermark := stream.watermark) is not None
    ]


def within_pages(depths: Sequence[WalkDepth], pages: int) -> list[WalkDepth]:
    """Return the first depths that fit into `pages` pages, by the items stored; at least one depth."""
    chosen: list[WalkDepth] = []
    stored = _stored_above(depths)
    left = pages * PAGE_SIZE
    for depth in depths:
        # The items of a new gap are not stored, so the stream counts with a whole listing. A stream
        # without stored items counts with one page, because it is asked for by itself.
        known = stored.get(depth.stream.pk) or PAGE_SIZE
        left -= LISTING_CAP if depth.has_new_gap else known
        if chosen and left < 0:
            break
        chosen.append(depth)
    return chosen


def _stored_above(depths: Iterable[Depth]) -> dict[int, int]:
    """Return how many items of each stream are stored down to its depth, 1,000 at most."""
    counts: dict[int, int] = {}
    for kind, table in TABLES.items():
        rows = [
            (depth.stream.pk, depth.stream.subreddit_id, depth.bottom)
            for depth in depths
            if depth.stream.kind == kind
        ]
        if not rows:
            continue
        with connection.cursor() as cursor:
            cursor.execute(
                f"""
                SELECT d.stream_id, (SELECT count(*) FROM (
                    SELECT FROM {table} i
                    WHERE i.subreddit_id = d.subreddit_id AND i.created_at >= d.bottom LIMIT %s
                ) held)
                FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[])
                  AS d (stream_id, subreddit_id, bottom)
                """,  # noqa: S608  (names of our own tables, no input)
                [LISTING_CAP, *(list(column) for column in zip(*rows, strict=True))],
            )
            counts |= dict(cursor.fetchall())
    return counts
