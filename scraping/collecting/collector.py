"""One session's work: read what is due to known ground, store, match, and say what came of it.

The task, the command and the admin's "run now" all end here. A stream that another session has read
in time costs nothing; one that another session reads right now is left to it.
"""

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import partial

from django.utils import timezone

from bots.models import LISTING_CAP, BotConfig
from jobs.locks import LockSet
from scraping.collecting import availability
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
    RedditError,
    SubredditUnavailable,
    Throttled,
    Unauthorized,
)
from scraping.subreddits import ensure_streams, find_streams, read_again, riders

__all__ = ["Collector", "Plan", "Progress"]

logger = logging.getLogger(__name__)

Status = Subreddit.Status

# What others read right now is waited for, once all else is done, so many seconds at most.
LONGEST_WAIT_FOR_OTHERS = 60.0
NAP = 0.5
# Streams of others that one session takes along at most: a session is to end.
MOST_RIDERS = 1_000
# A walk of 300 pages takes three minutes of an app's whole budget. Only rates that are wrong by far
# lead to a longer one; what it leaves is a gap.
LONGEST_WALK_ITEMS = 30_000


def no_others() -> list[Demand]:
    """Nobody else wants anything."""
    return []


class Collector:
    """Carries a plan out. `progress` is true at every moment, also after an exception.

    The requests in it are counted by whoever lends the client.
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
        """`on_progress` is called after each page, and while others are waited for.

        A dry run claims nothing and stores nothing. The caller who gives `progress` has it also when
        the collector raises. `others` tells what else the app's bots want, once something is read;
        `name` tells operators whose claims its locks are.
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
        # Ids of the plan's streams, and of those among them that are to be read.
        self._own: set[int | None] = set()
        self._due: set[int | None] = set()
        self._busy: list[Stream] = []
        self._store = PageStore(
            self.progress, bot_id=plan.bot_id, dry_run=dry_run, after_page=on_progress
        )
        self._silent_members = SilentMembers(self, client, self._store, dry_run=dry_run)

    def run(self) -> Progress:
        """Collect everything that the plan names and is due; a stream at fault costs no other.

        Raises `Unauthorized` and `Throttled`, which concern all streams: those that were not read
        have the error as their outcome.
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
        """Which of the plan's streams of this kind are to be read; the others have their outcome."""
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
        """Those of subreddits that can be read; the others have their state as their outcome."""
        closed = availability.still_closed(
            self._client, [stream.subreddit for stream in streams], dry_run=self._dry_run
        )
        for name, state in closed.items():
            self._outcomes.tell(name, kind, state.outcome, state.detail)
        return [stream for stream in streams if stream.subreddit.name not in closed]

    def _is_closed(self, stream: Stream) -> bool:
        """Whether its subreddit was found closed meanwhile; it has that as its outcome."""
        subreddit = stream.subreddit
        if not subreddit.is_readable and stream.pk in self._own:
            self._outcomes.note(stream, subreddit.status, availability.standing(subreddit))
        return not subreddit.is_readable

    def _collect(self, due: Sequence[Stream], kind: str) -> None:
        """Read streams of which every item is wanted, and what may ride along."""
        if not due:
            return
        now = timezone.now()
        for pack in compile_packs([*map(Due, due), *self._riders(kind, due, now)], now):
            self._read([due.stream for due in pack])

    def _riders(self, kind: str, due: Collection[Stream], now: datetime) -> list[Due]:
        """Streams of the app's other bots that fall due soon. What is overdue may cost a request."""
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
            # Who insists waits for an answer: what others need goes with it only for free.
            overdue = plan.freshness is not None and is_due(stream, freshness, now)
            if overdue or may_ride(stream, freshness, now):
                found.append(Due(stream, rider=not overdue))
        return found[:MOST_RIDERS]

    def _read(self, streams: Sequence[Stream]) -> None:
        """Claim the streams of a pack and walk those that nobody has read meanwhile."""
        if self._dry_run:
            self._guarded(streams, partial(self._walk, streams))
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
                # Its subreddit may have been deleted, or been found closed for its other kind.
                if row is not None and not self._is_closed(row):
                    same = row.last_fetch_at == stream.last_fetch_at
                    (unread if same else read).append(row)
            self._outcomes.fresh([stream for stream in read if stream.pk in self._own])
            if unread:
                self._guarded(unread, partial(self._walk, unread))
        finally:
            self._claims.release()

    def _await_others(self) -> None:
        """Read what others had claimed, unless they have read it, which takes no request."""
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
        """Say of streams of which items are known that a listing without any is an error.

        Returns the ids of those.
        """
        if result.total.items or self._dry_run:
            return set()
        known = ledger.well_known(streams)
        for stream in known:
            self.note(stream, "error", "Reddit listed nothing at all, though items of it are known")
        return {stream.pk for stream in known}

    def record(self, streams: Sequence[Stream], result: Walk, began: datetime) -> None:
        """Write down and tell what a walk has proven of streams that can be read."""
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
        """Read a stream by itself, unless another session reads it: then after it."""
        self._read([stream])

    def note(self, stream: Stream, outcome: str, detail: str) -> None:
        """Tell what came of a stream, if it is one of the plan's."""
        if stream.pk in self._own:
            self._outcomes.note(stream, outcome, detail)

    def _settle(self) -> None:
        """Find out what walks did not show of their members, and read what they hid."""
        self.progress.gaps_opened += self._silent_members.settle_silent()
        self._silent_members.settle_doubtful()

    def _item_limit(self, stream: Stream) -> int:
        """As many items as the most thorough of its bots wants: what one leaves out, all lack."""
        own = self._plan.item_limit if stream.pk in self._own else 0
        if self._plan.limited or not self._demands:
            return own or LISTING_CAP
        demand = self._demands.get((stream.subreddit.name.lower(), stream.kind))
        return max(own, demand.item_limit if demand else 0) or LISTING_CAP

    def _sample(self) -> None:
        """Read listings that promise no completeness: hot, top, rising, search."""
        plan = self._plan
        params = {}
        if plan.listing == BotConfig.Listing.SEARCH:
            params = {"q": plan.search_query, "restrict_sr": "1", "sort": "new", "t": "all"}
        find = find_streams if self._dry_run else ensure_streams
        for names in pack_names(plan.names(Stream.Kind.POSTS)):
            streams = self._open(find(names, Stream.Kind.POSTS), Stream.Kind.POSTS)
            self._due.update(stream.pk for stream in streams)
            if streams:
                self._guarded(streams, partial(self._sample_pack, streams, params))

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

    def _guarded(self, streams: Sequence[Stream], read: Callable[[], None]) -> None:
        """Turn what goes wrong with some streams into their outcomes."""
        kind = streams[0].kind
        try:
            read()
        except (Unauthorized, Throttled):
            raise
        except SubredditUnavailable as error:
            if not self._dry_run:
                name = streams[0].subreddit.name
                was_shown = self._silent_members.was_shown(name)
                self.progress.gaps_opened += availability.record(name, error, was_shown=was_shown)
            self._failed(streams[:1], error)
        except RedditError as error:
            names = "+".join(stream.subreddit.name for stream in streams)
            logger.warning("r/%s %s: %s", names, kind, error)
            self._failed(streams, error)
        finally:
            self._on_progress(self.progress)

    def _failed(self, streams: Sequence[Stream], error: RedditError) -> None:
        # One of its own that was fresh enough and only rode along is as fresh as before.
        self._outcomes.failed([s for s in streams if s.pk in self._due], error)


def claim_key(stream: Stream) -> str:
    """The key of the lock that whoever reads the stream holds while doing so."""
    return f"stream:{stream.pk}"


def _is_suspect(subreddit: Subreddit, result: Walk) -> bool:
    """Whether a member of which nothing was seen may be one that cannot be read."""
    return subreddit.name.lower() not in result.by_subreddit and (
        subreddit.status != Status.OK or subreddit.probe_is_due
    )


def _listing(kind: str) -> str:
    return "comments" if kind == Stream.Kind.COMMENTS else "new"
