"""Silent and doubtful members of merged listings, and how a session settles them.

A merged listing silently leaves out members that cannot be read. So a walk proves something about a
member only if its last page shows the member, and the walk shows no less of it than is known. A member
may also close, or close and open again, during the walk. Reddit does not report that, so `hidden`
compares the walk with what it should have shown: stored items, and for a busy subreddit at least one
item on every whole page.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from django.db import connection

from scraping.collecting import availability
from scraping.collecting.page_store import PageStore
from scraping.coverage import ledger
from scraping.coverage.rates import Rates
from scraping.coverage.walk import Walk
from scraping.models import Stream, Subreddit, item_model
from scraping.reddit.client import PAGE_SIZE, RedditClient
from scraping.reddit.errors import RedditError, Throttled, Unauthorized

logger = logging.getLogger(__name__)

# If a page shows no item of a subreddit although its rates promise this many, that is not chance.
EXPECTED = 20


@dataclass(frozen=True)
class _Doubt:
    """Members of a walk for which the walk proves nothing yet."""

    streams: list[Stream]
    result: Walk
    began: datetime


class Reader(Protocol):
    """The part of the collector that is called from here."""

    def record(self, streams: Sequence[Stream], result: Walk, began: datetime) -> None:
        """Record what a walk proved about streams that can be read."""

    def read_alone(self, stream: Stream) -> None:
        """Read a stream by itself."""

    def note(self, stream: Stream, outcome: str, detail: str) -> None:
        """Record the outcome of a stream."""


class SilentMembers:
    """Gathers the silent and doubtful members of walks, settles them, and has the reader record them."""

    def __init__(
        self, reader: Reader, client: RedditClient, store: PageStore, *, dry_run: bool
    ) -> None:
        self._reader = reader
        self._client = client
        self._store = store
        self._dry_run = dry_run
        # Silent members: a walk's last page showed nothing of them. They are quiet or cannot be read.
        self._silent: list[_Doubt] = []
        # Doubtful members: they can be read, but a walk hid something of them.
        self._doubtful: list[_Doubt] = []
        self._shown: set[str] = set()

    def was_shown(self, name: str) -> bool:
        """Whether a walk of this session showed the subreddit, which proves that it could be read."""
        return name.lower() in self._shown

    def without(self, streams: Sequence[Stream], result: Walk, began: datetime) -> list[Stream]:
        """Return the streams that a walk proved; keep its silent and doubtful members for later."""
        self._shown.update(result.by_subreddit)
        if len(streams) == 1:
            # A listing of a single subreddit says itself that the subreddit cannot be read.
            return list(streams)
        # A member that the last page does not show may have closed after an earlier page showed it.
        silent = [s for s in streams if s.subreddit.name.lower() not in result.at_the_end]
        heard = [s for s in streams if s not in silent]
        if silent:
            self._silent.append(_Doubt(silent, result, began))
        return self._without_doubtful(heard, result, began)

    def settle_silent(self) -> int:
        """Ask Reddit which silent members can be read, and record what walks proved about them.

        All walks of the session are settled together, because a hundred names take one request. A
        gated member puts in doubt what was recorded earlier; returns how many gaps that opens.
        """
        silences, self._silent = self._silent, []
        subreddits = {
            stream.subreddit.pk or stream.subreddit.name: stream.subreddit
            for silence in silences
            for stream in silence.streams
        }
        if not subreddits:
            return 0
        states = availability.of_silent(
            self._client, list(subreddits.values()), dry_run=self._dry_run
        )
        for silence in silences:
            readable = []
            for stream in silence.streams:
                state = states.get(stream.subreddit.name)
                if state is None:
                    readable.append(stream)
                else:
                    self._reader.note(stream, state.outcome, state.detail)
            proven = self._without_doubtful(readable, silence.result, silence.began)
            self._reader.record(proven, silence.result, silence.began)
        if self._dry_run:
            return 0
        return ledger.record_doubt(
            subreddit.pk
            for subreddit in subreddits.values()
            if subreddit.name in states
            and states[subreddit.name].outcome == Subreddit.Status.GATED
            and not self.was_shown(subreddit.name)
        )

    def settle_doubtful(self) -> None:
        """Look up what walks hid of doubtful members, and read those alone that stay doubtful."""
        doubts, self._doubtful = self._doubtful, []
        self._look_up([name for d in doubts for name in evidence(d.streams, d.result)])
        for doubt in doubts:
            explained = self._without_doubtful(doubt.streams, doubt.result, doubt.began)
            self._reader.record(explained, doubt.result, doubt.began)
            availability.record_readable(stream.subreddit.name for stream in explained)
        doubtful = [stream for doubt in self._doubtful for stream in doubt.streams]
        self._doubtful = []
        for stream in doubtful[: availability.SINGLE_REQUESTS]:
            self._reader.read_alone(stream)
        for stream in doubtful[availability.SINGLE_REQUESTS :]:
            self._reader.note(
                stream, "error", "Reddit left a part of it out; it is read again next time"
            )

    def _without_doubtful(
        self, streams: list[Stream], result: Walk, began: datetime
    ) -> list[Stream]:
        if self._dry_run:
            return streams
        names = hidden(streams, result)
        doubtful = [stream for stream in streams if stream.subreddit.name in names]
        if doubtful:
            self._doubtful.append(_Doubt(doubtful, result, began))
        return [stream for stream in streams if stream.subreddit.name not in names]

    def _look_up(self, fullnames: Sequence[str]) -> None:
        """Look up items that a walk did not show, and store what has become of them.

        Most of them were deleted one by one. Nothing is looked up if there are more items than one
        request takes, because then that explanation is unlikely.
        """
        if 0 < len(fullnames) <= PAGE_SIZE:
            try:
                self._store(self._client.info(fullnames=fullnames))
            except (Unauthorized, Throttled):
                raise
            except RedditError as error:
                logger.warning("Items that a listing did not show: %s", error)


def hidden(streams: Sequence[Stream], result: Walk) -> set[str]:
    """Return the names of members of which a merged walk hid something, as far as we can detect it.

    Items may also have been deleted one by one. Only a walk of the stream alone tells the difference.
    """
    if result.alone or result.total.oldest is None:
        return set()
    return unshown(streams, result) | absent(streams, result)


def unshown(streams: Sequence[Stream], result: Walk) -> set[str]:
    """Return the names of members with stored items that the walk should have shown and did not.

    These items lie in the walk's span, below the oldest item that the walk showed of the member.
    """
    names = {stream.subreddit.pk: stream.subreddit.name for stream in streams}
    return {names[subreddit] for _, subreddit in _missed(streams, result)}


def evidence(streams: Sequence[Stream], result: Walk) -> list[str]:
    """Return the fullnames of the items that make members `unshown`: look up whether they are gone."""
    return [fullname for fullname, _ in _missed(streams, result)]


def _missed(streams: Sequence[Stream], result: Walk) -> list[tuple[str, int]]:
    if result.total.oldest is None or not streams:
        return []
    lowest: dict[int, datetime | None] = {}
    for stream in streams:
        name = stream.subreddit.name
        # Below a member's cap, Reddit lists nothing of it.
        if not result.reached_cap(name):
            seen = result.by_subreddit.get(name.lower())
            lowest[stream.subreddit.pk] = seen.oldest if seen else None
    table = item_model(streams[0].kind)._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT i.fullname, i.subreddit_id
            FROM unnest(%s::bigint[], %s::timestamptz[]) AS s (id, shown_to)
            JOIN {table} i ON i.subreddit_id = s.id
            WHERE i.created_at > %s AND i.created_at < COALESCE(s.shown_to, 'infinity')
              AND i.removal = '' AND i.stickied IS NOT TRUE
            """,  # noqa: S608  (names of our own tables, no input)
            [list(lowest), list(lowest.values()), result.total.oldest],
        )
        missed: list[tuple[str, int]] = cursor.fetchall()
    return missed


def absent(streams: Iterable[Stream], result: Walk) -> set[str]:
    """Return the names of busy members of which a whole page showed nothing.

    If a member reached its cap, only pages above its oldest shown item count.
    """
    return {
        stream.subreddit.name
        for stream in streams
        if stream.learned_hours and _is_absent(stream, result)
    }


def _is_absent(stream: Stream, result: Walk) -> bool:
    name, rates = stream.subreddit.name, Rates.of(stream)
    seen = result.by_subreddit.get(name.lower())
    ends = seen.oldest if seen and result.reached_cap(name) else None
    return any(
        rates.expected(page.oldest, page.newest) >= EXPECTED
        for page in result.pages
        if name.lower() not in page.names and (ends is None or page.newest > ends)
    )
