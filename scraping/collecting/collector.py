"""One session's work: read the due streams to known ground, store and match, and record outcomes.

The task, the command and the admin's "run now" all end here. A stream that another session has read
in time costs no request. A stream that another session is reading is left to that session.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

from django.utils import timezone

from bots.models import LISTING_CAP, BotConfig
from jobs.locks import LockSet
from scraping.collecting import availability
from scraping.collecting.guard import guarded
from scraping.collecting.outcomes import Outcomes
from scraping.collecting.page_store import OnProgress, PageStore, Progress
from scraping.collecting.silent_members import SilentMembers
from scraping.coverage import ledger
from scraping.coverage.walk import Walk, floor_below, walk
from scraping.models import Gap, Stream, Subreddit
from scraping.planning.demand import Demand
from scraping.planning.freshness import is_due, may_ride
from scraping.planning.packing import Due, compile_packs
from scraping.planning.plan import Plan
from scraping.reddit.client import RedditClient, pack_names
from scraping.reddit.errors import (
    Throttled,
    Unauthorized,
)
from scraping.subreddits import ensure_streams, find_streams, read_again, riders

__all__ = ["Collector", "Plan", "Progress"]

logger = logging.getLogger(__name__)

Status = Subreddit.Status

# At the end, the session waits for streams that other sessions are reading: at most this many seconds
# each time.
LONGEST_WAIT_FOR_OTHERS = 60.0
NAP = 0.5
# For each kind, a session takes along at most this many streams of other bots, so that it ends.
MOST_RIDERS = 1_000
# A walk of 300 pages uses up an app's budget for three minutes. Only rates that are far too low lead
# to a longer walk. Items that such a walk does not reach become a gap.
LONGEST_WALK_ITEMS = 30_000


def no_others() -> list[Demand]:
    """Return no demands: the default for `others`."""
    return []


class Collector:
    """Carries out a plan. `progress` is correct at every moment, also after an exception.

    The caller lends the client and counts its requests in `progress`.
    """

    def __init__(
        self,
        plan: Plan,
        client: RedditClient,
        *,
        on_progress: OnProgress = lambda _: None,
        dry_run: bool = False,
        progress: Progress | None = None,
        others: Callable[[], list[Demand]] = no_others,
        name: str = "streams",
    ) -> None:
        """`on_progress` is called after each page, and while the session waits for other sessions.

        A dry run claims nothing and stores nothing. A caller that passes `progress` can read it also
        after an exception. `others` returns the demands of the app's bots; it is called at most once,
        when a stream is due. `name` shows operators who holds the claims.
        """
        self.progress = progress or Progress()
        self._plan = plan
        self._client = client
        self._on_progress = on_progress
        self._dry_run = dry_run
        self._others = others
        self._demands: dict[tuple[str, str], Demand] | None = None
        self._outcomes = Outcomes(self.progress.outcomes)
        self._claims = LockSet(name)
        # The ids of the plan's streams, and the ids of its due streams.
        self._own: set[int | None] = set()
        self._due: set[int | None] = set()
        self._busy: list[Stream] = []
        self._store = PageStore(
            self.progress, bot_id=plan.bot_id, dry_run=dry_run, after_page=on_progress
        )
        self._silent_members = SilentMembers(self, client, self._store, dry_run=dry_run)

    def run(self) -> Progress:
        """Collect the plan's due streams and samples; an error of one stream does not stop the others.

        Raises `Unauthorized` and `Throttled`, which concern all streams. Streams without an outcome
        then get the error as their outcome.
        """
        plan = self._plan
        try:
            due = {kind: self._choose(kind) for kind in plan.stream_kinds}
            if plan.is_sample:
                self._sample()
            for kind, streams in due.items():
                self._collect(streams, kind)
            self._settle()
            self._await_others()
            self._settle()
            self._await_others()
        except (Unauthorized, Throttled) as error:
            self._outcomes.stopped(plan, error)
            raise
        finally:
            self._claims.close()
        return self.progress

    def _choose(self, kind: str) -> list[Stream]:
        """Return the plan's due streams of this kind; record the outcomes of the others."""
        now = timezone.now()
        due, fresh = [], []
        find = find_streams if self._dry_run else ensure_streams
        streams = find(self._plan.names(kind), kind)
        self._own.update(stream.pk for stream in streams)
        for stream in self._open(streams, kind):
            if self._dry_run or is_due(stream, self._plan.freshness, now):
                due.append(stream)
            else:
                fresh.append(stream)
        self._due.update(stream.pk for stream in due)
        self._outcomes.fresh(fresh)
        return due

    def _open(self, streams: Sequence[Stream], kind: str) -> list[Stream]:
        """Return the streams whose subreddits can be read; record the state of the others."""
        closed = availability.still_closed(
            self._client, [stream.subreddit for stream in streams], dry_run=self._dry_run
        )
        for name, state in closed.items():
            self._outcomes.tell(name, kind, state.outcome, state.detail)
        return [stream for stream in streams if stream.subreddit.name not in closed]

    def _is_closed(self, stream: Stream) -> bool:
        """Whether the stream's subreddit was found closed meanwhile; if so, record that."""
        subreddit = stream.subreddit
        if not subreddit.is_readable and stream.pk in self._own:
            self._outcomes.note(stream, subreddit.status, availability.standing(subreddit))
        return not subreddit.is_readable

    def _collect(self, due: Sequence[Stream], kind: str) -> None:
        """Read the due streams of one kind, with streams of other bots that ride along."""
        if not due:
            return
        now = timezone.now()
        for pack in compile_packs([*map(Due, due), *self._riders(kind, due, now)], now):
            self._read([due.stream for due in pack])

    def _riders(self, kind: str, due: Collection[Stream], now: datetime) -> list[Due]:
        """Return streams of the app's bots that are due or fall due soon; the latter are riders."""
        plan = self._plan
        if self._dry_run or plan.limited:
            return []
        if self._demands is None:
            self._demands = {demand.key: demand for demand in self._others()}
        own = {stream.subreddit.name.lower() for stream in due}
        wanted = {
            name: demand
            for (name, of_kind), demand in self._demands.items()
            if of_kind == kind and name not in own
        }
        found = []
        for stream in riders(wanted, kind):
            freshness = wanted[stream.subreddit.name.lower()].freshness
            # Somebody waits for a session that insists: other streams join it only as riders.
            overdue = plan.freshness is not None and is_due(stream, freshness, now)
            if overdue or may_ride(stream, freshness, now):
                found.append(Due(stream, rider=not overdue))
        return found[:MOST_RIDERS]

    def _read(self, streams: Sequence[Stream]) -> None:
        """Claim the streams of a pack and walk those that no other session has read meanwhile."""
        if self._dry_run:
            with self._guarded(streams):
                self._walk(streams)
            return
        taken = self._claims.try_acquire(map(claim_key, streams))
        try:
            self._busy += [
                stream
                for stream in streams
                if claim_key(stream) not in taken and stream.pk in self._due
            ]
            claimed = [stream for stream in streams if claim_key(stream) in taken]
            present = read_again(claimed)
            unread: list[Stream] = []
            read: list[Stream] = []
            for stream in claimed:
                row = present.get(stream.pk)
                # The subreddit may have been deleted, or found closed when its other kind was read.
                if row is not None and not self._is_closed(row):
                    same = row.last_fetch_at == stream.last_fetch_at
                    (unread if same else read).append(row)
            self._outcomes.fresh([stream for stream in read if stream.pk in self._own])
            if unread:
                with self._guarded(unread):
                    self._walk(unread)
        finally:
            self._claims.release()

    def _await_others(self) -> None:
        """Wait for streams that other sessions claimed, and read those that are still unread."""
        deadline = time.monotonic() + LONGEST_WAIT_FOR_OTHERS
        while self._busy and time.monotonic() < deadline:
            waiting, self._busy = self._busy, []
            now = timezone.now()
            for kind in self._plan.kinds:
                of_kind = [stream for stream in waiting if stream.kind == kind]
                for pack in compile_packs(map(Due, of_kind), now):
                    self._read([due.stream for due in pack])
            if self._busy:
                self._on_progress(self.progress)
                time.sleep(NAP)
        for stream in self._busy:
            self._outcomes.note(
                stream,
                "busy",
                f"another session has been reading it for more than {LONGEST_WAIT_FOR_OTHERS:.0f} s",
            )

    def _walk(self, streams: Sequence[Stream]) -> None:
        kind = streams[0].kind
        names = [stream.subreddit.name for stream in streams]
        began = timezone.now()
        result = walk(
            lambda cursor: self._client.listing(names, _listing(kind), after=cursor),
            self._store,
            floor=floor_below([stream.watermark for stream in streams]),
            item_limit=min(sum(map(self._item_limit, streams)), LONGEST_WALK_ITEMS),
        )
        heard = self._silent_members.without(streams, result, began)
        self.record(heard, result, began)
        if not self._dry_run:
            availability.record_readable(stream.subreddit.name for stream in heard)

    def _empty_of_known(self, streams: Sequence[Stream], result: Walk) -> set[int | None]:
        """Report an error for every known stream whose listing came back empty; return their ids."""
        if result.total.items or self._dry_run:
            return set()
        known = ledger.well_known(streams)
        for stream in known:
            self.note(stream, "error", "Reddit listed nothing at all, though items of it are known")
        return {stream.pk for stream in known}

    def record(self, streams: Sequence[Stream], result: Walk, began: datetime) -> None:
        """Record what a walk proved about streams that can be read, and their outcomes."""
        wrong = self._empty_of_known(streams, result)
        streams = [stream for stream in streams if stream.pk not in wrong]
        gaps: dict[int, Gap] = {}
        if not self._dry_run:
            recorded = ledger.record_walk(streams, result, fetched_at=began)
            gaps = {gap.stream_id: gap for gap in recorded.gaps}
            self.progress.gaps_opened += len(recorded.gaps)
            self.progress.gaps_closed += recorded.closed.total_closed
        for stream in streams:
            if stream.pk in self._own:
                self._outcomes.walked(stream, result, gaps.get(stream.pk))

    def read_alone(self, stream: Stream) -> None:
        """Read a stream by itself. If another session is reading it, it is read after that session."""
        self._read([stream])

    def note(self, stream: Stream, outcome: str, detail: str) -> None:
        """Record the outcome of a stream, if the stream is in the plan."""
        if stream.pk in self._own:
            self._outcomes.note(stream, outcome, detail)

    def _settle(self) -> None:
        """Find out why walks did not show some members, and read the members that they hid."""
        self.progress.gaps_opened += self._silent_members.settle_silent()
        self._silent_members.settle_doubtful()

    def _item_limit(self, stream: Stream) -> int:
        """Return the largest limit of the bots that want the stream; a limited plan has only its own."""
        own = self._plan.item_limit if stream.pk in self._own else 0
        if self._plan.limited or not self._demands:
            return own or LISTING_CAP
        demand = self._demands.get((stream.subreddit.name.lower(), stream.kind))
        return max(own, demand.item_limit if demand else 0) or LISTING_CAP

    def _sample(self) -> None:
        """Read samples: the listings hot, top, rising and search, which promise no completeness."""
        plan = self._plan
        params = {}
        if plan.listing == BotConfig.Listing.SEARCH:
            params = {"q": plan.search_query, "restrict_sr": "1", "sort": "new", "t": "all"}
        find = find_streams if self._dry_run else ensure_streams
        for names in pack_names(plan.names(Stream.Kind.POSTS)):
            streams = self._open(find(names, Stream.Kind.POSTS), Stream.Kind.POSTS)
            self._due.update(stream.pk for stream in streams)
            if streams:
                with self._guarded(streams):
                    self._sample_pack(streams, params)

    def _sample_pack(self, streams: Sequence[Stream], params: Mapping[str, str]) -> None:
        names = [stream.subreddit.name for stream in streams]
        listing = self._plan.listing
        result = walk(
            lambda cursor: self._client.listing(names, listing, after=cursor, params=params),
            self._store,
            floor=None,
            item_limit=self._plan.item_limit,
        )
        subreddits = [stream.subreddit for stream in streams]
        suspects = [subreddit for subreddit in subreddits if _is_suspect(subreddit, result)]
        states = {}
        if suspects and len(streams) > 1:
            states = availability.of_silent(self._client, suspects, dry_run=self._dry_run)
        if not self._dry_run:
            availability.record_readable(
                name for name in names if name.lower() in result.by_subreddit or len(names) == 1
            )
        for stream in streams:
            name = stream.subreddit.name
            if name in states:
                self._outcomes.note(stream, states[name].outcome, states[name].detail)
            else:
                self._outcomes.sampled(stream, result)

    @contextmanager
    def _guarded(self, streams: Sequence[Stream]) -> Iterator[None]:
        """Turn the errors of reading these streams into outcomes, and report progress at the end."""
        # A stream of the plan that was fresh and only rode along keeps its outcome.
        due = [stream for stream in streams if stream.pk in self._due]
        try:
            with guarded(
                streams,
                self._outcomes,
                self.progress,
                concerned=due,
                was_shown=self._silent_members.was_shown,
                dry_run=self._dry_run,
            ):
                yield
        finally:
            self._on_progress(self.progress)


def claim_key(stream: Stream) -> str:
    """Return the key of a stream's claim: the lock that a session holds while it reads the stream."""
    return f"stream:{stream.pk}"


def _is_suspect(subreddit: Subreddit, result: Walk) -> bool:
    """Whether a sample showed nothing of a subreddit that may not be readable."""
    return subreddit.name.lower() not in result.by_subreddit and (
        subreddit.status != Status.OK or subreddit.probe_is_due
    )


def _listing(kind: str) -> str:
    return "comments" if kind == Stream.Kind.COMMENTS else "new"
