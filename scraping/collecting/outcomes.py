"""The outcome of each stream in a session: its name and, in a few words, the reason."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.utils import timezone

from scraping.coverage import ledger
from scraping.coverage.walk import Walk
from scraping.models import Gap, Stream
from scraping.planning.plan import Plan
from scraping.reddit.errors import RedditError


class Outcomes:
    """Writes outcomes into a session's progress, by the label of each stream."""

    def __init__(self, told: dict[str, dict[str, Any]]) -> None:
        """`told` is the dictionary into which the outcomes are written."""
        self._told = told

    def tell(self, name: str, kind: str, outcome: str, detail: str) -> None:
        """Record the outcome of a subreddit's posts or comments."""
        self._told[_label(name, kind)] = {"outcome": outcome, "detail": detail}

    def note(self, stream: Stream, outcome: str, detail: str) -> None:
        """Record the outcome of a stream."""
        self.tell(stream.subreddit.name, stream.kind, outcome, detail)

    def failed(self, streams: Iterable[Stream], error: RedditError) -> None:
        """Record one error as the outcome of all these streams."""
        for stream in streams:
            self.note(stream, error.outcome, str(error))

    def walked(self, stream: Stream, walk: Walk, gap: Gap | None) -> None:
        """Record that a walk read a stream, and the gap that it left, if any."""
        if gap:
            self.note(stream, "gap", _gap_detail(gap))
        else:
            seen = walk.by_subreddit.get(stream.subreddit.name.lower())
            self.note(stream, "ok" if seen else "empty", f"{seen.items if seen else 0} seen")

    def sampled(self, stream: Stream, walk: Walk) -> None:
        """Record how many items of a subreddit a sample showed."""
        seen = walk.by_subreddit.get(stream.subreddit.name.lower())
        self.note(stream, "ok" if seen else "empty", f"{seen.items if seen else 0} sampled")

    def fresh(self, streams: Sequence[Stream]) -> None:
        """Record that these streams are fresh: when they were last read, and the gap of that read."""
        gaps = ledger.gaps_of_last_read(streams)
        for stream in streams:
            read = f"read at {timezone.localtime(stream.last_fetch_at):%H:%M:%S}"
            gap = gaps.get(stream.pk)
            if gap:
                self.note(stream, "gap", f"{read}; {_gap_detail(gap)}")
            else:
                self.note(stream, "ok" if stream.watermark else "empty", read)

    def stopped(self, plan: Plan, error: RedditError) -> None:
        """Record the error that ended the session for each stream of the plan without an outcome."""
        told = {label.lower() for label in self._told}
        for kind in plan.kinds:
            for name in plan.names(kind):
                if _label(name, kind).lower() not in told:
                    self.tell(name, kind, error.outcome, str(error))


def _label(name: str, kind: str) -> str:
    return f"r/{name} {kind}"


def _gap_detail(gap: Gap) -> str:
    return f"{gap.get_reason_display()}: {gap.starts_at:%Y-%m-%d %H:%M} to {gap.ends_at:%H:%M}"
