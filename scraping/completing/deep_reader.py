"""Read streams further down than known ground: the common part of deep walks and backfills."""

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
from scraping.collecting.guard import guarded
from scraping.collecting.outcomes import Outcomes
from scraping.collecting.page_store import OnProgress, PageStore, Progress
from scraping.coverage import ledger
from scraping.coverage.walk import End, Walk, walk
from scraping.models import ScrapeSession, Stream
from scraping.reddit.client import PAGE_SIZE, Page, RedditClient, pack_names
from scraping.reddit.errors import RedditError, Throttled, Unauthorized
from scraping.sessions import frame

Status = ScrapeSession.Status

# No stream's listing has more pages: Reddit shows about 1,000 items, and the most ever seen is 1,523.
PAGES_OF_A_STREAM = 16
# Streams whose depths differ by more than this do not share a listing. Otherwise a busy stream would
# be read to its end only because a quiet stream goes deep.
SPREAD = timedelta(days=7)


@dataclass(frozen=True)
class Depth:
    """A stream, and how far down to read it, by Reddit's clock."""

    stream: Stream
    bottom: datetime


@dataclass(frozen=True)
class Reading:
    """The result of a walk for one stream."""

    depth: Depth
    walk: Walk
    gaps_opened: int
    gaps_closed: int
    gaps_narrowed: int
    # Whether the listing ended above known items.
    ended_early: bool = False

    @property
    def cut_off(self) -> bool:
        """Whether Reddit may have cut off the stream's listing, so that older items exist."""
        return self.walk.reached_cap(self.depth.stream.subreddit.name)

    @property
    def since(self) -> datetime | None:
        """How far back the stream was read; None if the walk saw no item."""
        return ledger.reached(self.depth.stream, self.walk)

    @property
    def is_done(self) -> bool:
        """Whether the stream was read down to its depth, or to the end of all that Reddit shows."""
        if self.since is not None and self.since <= self.depth.bottom:
            return True
        ended = self.walk.end == End.LISTING_END and not self.ended_early
        return ended and not self.cut_off


class StreamOutcome(NamedTuple):
    """The outcome of a stream with its reason, and the number of gaps opened besides the walk's own."""

    outcome: str
    detail: str
    gaps_opened: int = 0


class PagesSpent(Exception):
    """The reader has read as many pages as it was given. Another run reads the remaining streams."""


class DeepReader:
    """Reads streams down to given depths, and packs streams of similar depth into one listing.

    A reader that is killed leaves no wrong record. It stores pages as they come, and records what a
    walk proves in one transaction when the walk has ended.
    """

    def __init__(
        self,
        client: RedditClient,
        store: PageStore,
        *,
        by: str,
        pages: int | None = None,
        on_reading: Callable[[Reading], None],
        outcomes: Outcomes,
        progress: Progress,
    ) -> None:
        """`by` is recorded in closed gaps. `pages` limits the pages of all walks; None means no limit.

        `on_reading` is called for each stream that was read. `outcomes` gets the outcome of each stream
        that could not be read, and `progress` the number of gaps that this opens.
        """
        self._client = client
        self._store = store
        self._by = by
        self._pages = pages
        self._on_reading = on_reading
        self.outcomes = outcomes
        self._progress = progress

    def read(self, depths: Iterable[Depth]) -> None:
        """Read the streams; an error of one stream does not stop the others.

        Raises `Unauthorized` and `Throttled`, which concern all streams, and `PagesSpent`.
        """
        for pack in packs(depths):
            self._read_guarded(pack)

    def _read_guarded(self, pack: Sequence[Depth], *, before: Walk | None = None) -> None:
        """Read a pack, and turn its errors into outcomes; `before` is the walk that showed it last."""

        def was_shown(name: str) -> bool:
            return before is not None and name.lower() in before.by_subreddit

        streams = [depth.stream for depth in pack]
        with guarded(streams, self.outcomes, self._progress, was_shown=was_shown):
            self._read(pack)

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
                # A member that the last page does not show may have closed after an earlier page
                # showed it.
                (heard if name in result.at_the_end else silent).append(depth)
        self._record(heard, result, began)
        left = silent
        while left and (again := self._shown_again(left)):
            self._record(again, result, began)
            left = [depth for depth in left if depth not in again]
        # These members are quiet, closed or partly hidden. A merged listing does not tell which, so
        # each is read alone.
        for depth in [*left, *unseen]:
            self._read_guarded([depth], before=result)

    def _shown_again(self, silent: Sequence[Depth]) -> list[Depth]:
        """Return the silent members that one merged listing of them all shows now.

        Members may have closed after an earlier page showed them. `/api/info` does not tell, because a
        gated subreddit looks open there. The caller asks again without the members that were found, so
        that the listing has room for others.
        """
        names = [depth.stream.subreddit.name for depth in silent]
        try:
            page = self._fetch(names, silent[0].stream.kind)
        except (Unauthorized, Throttled):
            raise
        except RedditError:
            return []  # Each member is then read alone and reports its own error.
        if len(silent) == 1:
            return list(silent)
        shown = availability.subreddits_of(page)
        return [depth for depth in silent if depth.stream.subreddit.name.lower() in shown]

    def _record(self, depths: Sequence[Depth], result: Walk, began: datetime) -> None:
        """Record what a walk proved about streams that can be read, and report each reading."""
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
    """Group the streams that one merged listing can serve: streams of one kind and similar depth."""
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
    """Call `read` with a reader in the lowest lane, end the session accordingly, return its progress.

    `by` and `pages` are passed to the reader. `name` shows operators who waits for the budget;
    `longest_wait` limits the wait for one request, in seconds. `on_reading` returns the outcome of a
    stream. An error of Reddit's is recorded in the session and not raised.
    """

    def work(client: RedditClient, store: PageStore, progress: Progress) -> None:
        outcomes = Outcomes(progress.outcomes)

        def after_reading(reading: Reading) -> None:
            came_of_it = on_reading(reading)
            progress.gaps_opened += reading.gaps_opened + came_of_it.gaps_opened
            progress.gaps_closed += reading.gaps_closed
            outcomes.note(reading.depth.stream, came_of_it.outcome, came_of_it.detail)

        read(
            DeepReader(
                client,
                store,
                by=by,
                pages=pages,
                on_reading=after_reading,
                outcomes=outcomes,
                progress=progress,
            )
        )

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
    """Call `work` with a client and a store in the lowest lane, and end the session accordingly.

    `name` shows operators who waits for the budget; `longest_wait` limits the wait for one request, in
    seconds. An error of Reddit's is recorded in the session and not raised. Returns the progress.
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
    """Return the status after an error: a wait of the lowest lane is no failure."""
    return Status.PARTIAL if isinstance(fault, Throttled) else Status.FAILED
