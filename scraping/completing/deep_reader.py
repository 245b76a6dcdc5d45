"""Reading streams further down than known ground: what deep walks and backfills have in common."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import transaction
from django.utils import timezone

from bots.models import RedditApp
from scraping.budget.app_budget import Lane
from scraping.collecting import availability, silent_members
from scraping.collecting.page_store import OnProgress, PageStore, Progress
from scraping.coverage import ledger
from scraping.coverage.walk import End, Walk, walk
from scraping.models import ScrapeSession, Stream
from scraping.reddit.client import PAGE_SIZE, Page, RedditClient, pack_names
from scraping.reddit.errors import RedditError, SubredditUnavailable, Throttled, Unauthorized
from scraping.sessions import frame

Status = ScrapeSession.Status

# So many pages of one stream end every listing: Reddit shows about 1,000 items, and 1,523 were seen.
PAGES_OF_A_STREAM = 16
# Streams to be read to very different depths do not share a listing: the busy one would be read to
# its end for the quiet one's sake.
SPREAD = timedelta(days=7)


@dataclass(frozen=True)
class Depth:
    """A stream that was read once and how far down it is to be read, by Reddit's clock."""

    stream: Stream
    bottom: datetime


@dataclass(frozen=True)
class Reading:
    """What a walk found of one stream."""

    depth: Depth
    walk: Walk
    gaps_opened: int
    gaps_closed: int
    gaps_narrowed: int
    # Its listing ended, although items that are known stand below.
    ended_early: bool = False

    @property
    def cut_off(self) -> bool:
        """Whether Reddit lists no further, though there is more."""
        return self.walk.reached_cap(self.depth.stream.subreddit.name)

    @property
    def since(self) -> datetime | None:
        """How far back it was read; None when there was nothing in it."""
        return ledger.reached(self.depth.stream, self.walk)

    @property
    def is_done(self) -> bool:
        """Whether it was read as far as was asked, or to the end of all that there is."""
        if self.since is not None and self.since <= self.depth.bottom:
            return True
        ended = self.walk.end == End.LISTING_END and not self.ended_early
        return ended and not self.cut_off


class StreamOutcome(NamedTuple):
    """What came of a stream, in a few words, and the gaps that were opened beside the walk's own."""

    outcome: str
    detail: str
    gaps_opened: int = 0


class PagesSpent(Exception):
    """A reader has read as many pages as it was given; what is left is for another time."""


class DeepReader:
    """Reads streams down to given depths, as many of them in one listing as go together.

    Killed at any moment it leaves nothing untrue: pages are stored as they come, and what is proven
    of a stream is written in one transaction when its walk has ended.
    """

    def __init__(
        self,
        client: RedditClient,
        store: PageStore,
        *,
        by: str,
        pages: int | None = None,
        on_reading: Callable[[Reading], None],
        note: Callable[[Stream, StreamOutcome], None],
    ) -> None:
        """`by` is what closed gaps say; `pages` bounds what is read in all; None: no bound.

        `on_reading` is called for each stream that was read, `note` with what came of it for each
        that could not be.
        """
        self._client = client
        self._store = store
        self._by = by
        self._pages = pages
        self._on_reading = on_reading
        self.note = note

    def read(self, depths: Iterable[Depth]) -> None:
        """Read them; a stream at fault costs no other.

        Raises `Unauthorized` and `Throttled`, which concern all of them, and `PagesSpent`.
        """
        for pack in packs(depths):
            self._guarded(pack)

    def _guarded(self, pack: Sequence[Depth], *, was_shown: bool = False) -> None:
        """Read a pack, and turn what goes wrong with it into the outcomes of its streams."""
        try:
            self._read(pack)
        except (Unauthorized, Throttled):
            raise
        except SubredditUnavailable as error:
            name = pack[0].stream.subreddit.name
            gaps = availability.record(name, error, was_shown=was_shown)
            self.note(pack[0].stream, StreamOutcome(error.outcome, str(error), gaps_opened=gaps))
            self._fail(pack[1:], error)
        except RedditError as error:
            self._fail(pack, error)

    def _fail(self, pack: Sequence[Depth], error: RedditError) -> None:
        for depth in pack:
            self.note(depth.stream, StreamOutcome(error.outcome, str(error)))

    def _read(self, pack: Sequence[Depth]) -> None:
        began = timezone.now()
        result = self._walk(pack)
        doubtful = silent_members.hidden([depth.stream for depth in pack], result)
        heard: list[Depth] = []
        silent: list[Depth] = []
        unseen: list[Depth] = []
        for depth in pack:
            name = depth.stream.subreddit.name.lower()
            if result.alone:
                heard.append(depth)
            elif name not in result.by_subreddit or depth.stream.subreddit.name in doubtful:
                unseen.append(depth)
            else:
                # One that the last page does not show may have been closed since an earlier one did.
                (heard if name in result.at_the_end else silent).append(depth)
        self._record(heard, result, began)
        left = silent
        while left and (again := self._shown_again(left)):
            self._record(again, result, began)
            left = [depth for depth in left if depth not in again]
        # Quiet, or not to be read, or hidden for a part: of several, Reddit does not say which.
        for depth in [*left, *unseen]:
            name = depth.stream.subreddit.name.lower()
            self._guarded([depth], was_shown=name in result.by_subreddit)

    def _shown_again(self, silent: Sequence[Depth]) -> list[Depth]:
        """Those of members that fell silent of which a listing of them all shows something now.

        They may have been closed since an earlier page showed them, and `/api/info` would not tell:
        a gated subreddit looks open there. With each of those found the listing has room for others.
        """
        names = [depth.stream.subreddit.name for depth in silent]
        try:
            page = self._fetch(names, silent[0].stream.kind)
        except (Unauthorized, Throttled):
            raise
        except RedditError:
            return []  # Each says by itself what is wrong.
        if len(silent) == 1:
            return list(silent)
        shown = availability.subreddits_of(page)
        return [depth for depth in silent if depth.stream.subreddit.name.lower() in shown]

    def _record(self, depths: Sequence[Depth], result: Walk, began: datetime) -> None:
        """Write down and tell what a walk has proven of streams that can be read."""
        streams = [depth.stream for depth in depths]
        with transaction.atomic():
            recorded = ledger.record_walk(streams, result, fetched_at=began, by=self._by)
            availability.record_readable(stream.subreddit.name for stream in streams)
        opened = Counter(gap.stream_id for gap in recorded.gaps)
        for depth in depths:
            key = depth.stream.pk
            self._on_reading(
                Reading(
                    depth,
                    result,
                    gaps_opened=opened[key],
                    gaps_closed=recorded.closed.closed.get(key, 0),
                    gaps_narrowed=recorded.closed.narrowed.get(key, 0),
                    ended_early=key in recorded.early,
                )
            )

    def _walk(self, pack: Sequence[Depth]) -> Walk:
        names = [depth.stream.subreddit.name for depth in pack]
        kind = pack[0].stream.kind
        most = PAGES_OF_A_STREAM * len(pack)
        if self._pages is not None:
            if self._pages < 1:
                raise PagesSpent
            most = min(most, self._pages)

        return walk(
            lambda cursor: self._fetch(names, kind, after=cursor),
            self._store,
            floor=None,
            bottom=min(depth.bottom for depth in pack),
            item_limit=most * PAGE_SIZE,
            alone=len(pack) == 1,
        )

    def _fetch(self, names: Sequence[str], kind: str, *, after: str | None = None) -> Page:
        if self._pages is not None:
            self._pages -= 1
        listing = "comments" if kind == Stream.Kind.COMMENTS else "new"
        return self._client.listing(names, listing, after=after)


def packs(depths: Iterable[Depth]) -> list[list[Depth]]:
    """Put together what one merged listing can serve: of a kind, and of about the same depth."""
    groups: list[list[Depth]] = []
    for depth in sorted(depths, key=lambda depth: (depth.stream.kind, depth.bottom)):
        first = groups[-1][0] if groups else None
        if (
            first is None
            or first.stream.kind != depth.stream.kind
            or depth.bottom - first.bottom > SPREAD
        ):
            groups.append([])
        groups[-1].append(depth)
    made = []
    for group in groups:
        by_name = {depth.stream.subreddit.name: depth for depth in group}
        made += [[by_name[name] for name in names] for names in pack_names(list(by_name))]
    return made


def run(
    app: RedditApp,
    session: ScrapeSession,
    read: Callable[[DeepReader], None],
    *,
    by: str,
    name: str,
    on_reading: Callable[[Reading], StreamOutcome],
    on_page: Callable[[Progress], None],
    pages: int | None = None,
    longest_wait: float | None = None,
) -> Progress:
    """Let `read` use a reader in the lowest lane, and end the session as that ended.

    `by` and `pages` are the reader's; `name` tells operators who waits for the budget, `longest_wait`
    seconds for one request at most. `on_reading` returns what is told of a stream. What goes wrong
    with Reddit is the session's to tell and raises nothing.
    """

    def work(client: RedditClient, store: PageStore, progress: Progress) -> None:
        def note(stream: Stream, told: StreamOutcome) -> None:
            progress.outcomes[str(stream)] = {"outcome": told.outcome, "detail": told.detail}
            progress.gaps_opened += told.gaps_opened

        def after_reading(reading: Reading) -> None:
            progress.gaps_opened += reading.gaps_opened
            progress.gaps_closed += reading.gaps_closed
            note(reading.depth.stream, on_reading(reading))

        read(DeepReader(client, store, by=by, pages=pages, on_reading=after_reading, note=note))

    return in_session(app, session, work, name=name, on_page=on_page, longest_wait=longest_wait)


def in_session(
    app: RedditApp,
    session: ScrapeSession,
    work: Callable[[RedditClient, PageStore, Progress], None],
    *,
    name: str,
    on_page: Callable[[Progress], None],
    longest_wait: float | None = None,
) -> Progress:
    """Let `work` use a client and a store in the lowest lane, and end the session as that ended.

    `name` tells operators who waits for the budget, `longest_wait` seconds for one request at most.
    What goes wrong with Reddit is the session's to tell and raises nothing.
    """

    def read(client: RedditClient, progress: Progress, after_page: OnProgress) -> None:
        store = PageStore(progress, bot_id=session.bot_id, dry_run=False, after_page=after_page)
        work(client, store, progress)

    return frame.run(
        session,
        app,
        read,
        lane=Lane.BACKFILL,
        name=name,
        longest_wait=longest_wait,
        on_progress=on_page,
        status_after=_status_after,
    )


def _status_after(session: ScrapeSession, progress: Progress, fault: RedditError) -> str:
    """What was read is read; that the lowest lane has to wait is no failure."""
    return Status.PARTIAL if isinstance(fault, Throttled) else Status.FAILED
