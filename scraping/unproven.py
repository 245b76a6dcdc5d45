"""What a session's walks have left unproven, and how it is settled before the session ends.

Merged listings leave out silently what cannot be read. So what a walk says of a member is believed at
once only when its last page shows the member, and the walk nothing less of it than is known.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from scraping import hidden, ledger, probes
from scraping.models import Stream, Subreddit
from scraping.pages import PageStore
from scraping.reddit.client import PAGE_SIZE, RedditClient
from scraping.reddit.errors import RedditError, Throttled, Unauthorized
from scraping.walks import Walk

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Unproven:
    """Some members of a walk."""

    streams: list[Stream]
    result: Walk
    began: datetime


class Reader(Protocol):
    """Who reads the streams, as far as it is asked for."""

    def record(self, streams: Sequence[Stream], result: Walk, began: datetime) -> None:
        """Write down what a walk has proven of streams that can be read."""

    def read_alone(self, stream: Stream) -> None:
        """Read a stream by itself."""

    def note(self, stream: Stream, outcome: str, detail: str) -> None:
        """Tell what came of a stream."""


class Unproven:
    """Gathers what walks leave unproven, finds out what it is, and has the reader record it."""

    def __init__(
        self, reader: Reader, client: RedditClient, store: PageStore, *, dry_run: bool
    ) -> None:
        self._reader = reader
        self._client = client
        self._store = store
        self._dry_run = dry_run
        # Members of which a walk's last page showed nothing: quiet, or left out as not to be read.
        self._silent: list[_Unproven] = []
        # Those that can be read, though a walk hid something of them: nothing is known of how far.
        self._doubtful: list[_Unproven] = []
        self._shown: set[str] = set()

    def was_shown(self, name: str) -> bool:
        """Whether a walk has shown anything of this subreddit: what was claimed of it was readable."""
        return name.lower() in self._shown

    def without(self, streams: Sequence[Stream], result: Walk, began: datetime) -> list[Stream]:
        """Keep those of a walk's streams that it leaves unproven, and return the others."""
        self._shown.update(result.by_subreddit)
        if len(streams) == 1:
            # A single one that cannot be read says so itself.
            return list(streams)
        # Of several, one that the last page does not show may have been closed since an earlier one did.
        silent = [s for s in streams if s.subreddit.name.lower() not in result.at_the_end]
        heard = [s for s in streams if s not in silent]
        if silent:
            self._silent.append(_Unproven(silent, result, began))
        return self._without_doubtful(heard, result, began)

    def settle_silent(self) -> int:
        """Ask which of the members that walks left out silently can be read; only those were read.

        Once for all walks of the session: a hundred names take one request. Returns how many gaps that
        opens of what was claimed earlier.
        """
        silences, self._silent = self._silent, []
        subreddits = {
            stream.subreddit.pk or stream.subreddit.name: stream.subreddit
            for silence in silences
            for stream in silence.streams
        }
        if not subreddits:
            return 0
        states = probes.of_silent(self._client, list(subreddits.values()), dry_run=self._dry_run)
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
        """Have those read by themselves of which walks hid something, unless that is gone."""
        doubts, self._doubtful = self._doubtful, []
        self._look_up([name for d in doubts for name in hidden.evidence(d.streams, d.result)])
        for doubt in doubts:
            explained = self._without_doubtful(doubt.streams, doubt.result, doubt.began)
            self._reader.record(explained, doubt.result, doubt.began)
            probes.record_readable(stream.subreddit.name for stream in explained)
        doubtful = [stream for doubt in self._doubtful for stream in doubt.streams]
        self._doubtful = []
        for stream in doubtful[: probes.SINGLE_REQUESTS]:
            self._reader.read_alone(stream)
        for stream in doubtful[probes.SINGLE_REQUESTS :]:
            self._reader.note(
                stream, "error", "Reddit left a part of it out; it is read again next time"
            )

    def _without_doubtful(
        self, streams: list[Stream], result: Walk, began: datetime
    ) -> list[Stream]:
        if self._dry_run:
            return streams
        names = hidden.hidden(streams, result)
        doubtful = [stream for stream in streams if stream.subreddit.name in names]
        if doubtful:
            self._doubtful.append(_Unproven(doubtful, result, began))
        return [stream for stream in streams if stream.subreddit.name not in names]

    def _look_up(self, fullnames: Sequence[str]) -> None:
        """Look items up that a walk did not show, and store what has become of them.

        Most were deleted one by one. Not asked about are more than one request takes: of so many it is
        not likely.
        """
        if 0 < len(fullnames) <= PAGE_SIZE:
            try:
                self._store(self._client.info(fullnames=fullnames))
            except (Unauthorized, Throttled):
                raise
            except RedditError as error:
                logger.warning("Items that a listing did not show: %s", error)
