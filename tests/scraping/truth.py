"""The equation that collection is held to: what existed is stored, or lies in a recorded gap.

And the other way round: what is stored has existed, as the simulator has it. Times are seconds since
the epoch on the simulator's clock.

    reckon(simulator, ["python", "berlin"], since=START).check()
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.db.models.functions import Lower

from scraping.models import (
    CommentThread,
    Gap,
    RedditComment,
    RedditPost,
    Stream,
)
from scraping.simulator.server import SimulatorServer

# A generated post is held back for at most so long before it is approved.
HELD_BACK_SECONDS = 3 * 3600

KINDS = {Stream.Kind.POSTS: ("t3", RedditPost), Stream.Kind.COMMENTS: ("t1", RedditComment)}
# Items that a message names of each stream.
NAMED = 5


@dataclass
class StreamReckoning:
    """One stream's part of the equation, by fullname."""

    label: str
    exist: dict[str, dict[str, Any]] = field(default_factory=dict)
    stored: set[str] = field(default_factory=set)
    # Only there: what is stored may lie in a gap, too.
    in_gaps: set[str] = field(default_factory=set)
    # Neither stored nor in a gap.
    missing: set[str] = field(default_factory=set)
    # Stored and never existed, or not as it is stored.
    invented: dict[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Raise an AssertionError that names the items, unless it balances."""
        Reckoning([self]).check()

    @property
    def balances(self) -> bool:
        """Whether the equation holds, in both directions."""
        return not self.missing and not self.invented

    def __str__(self) -> str:
        counts = (
            f"{self.label}: {len(self.exist)} exist = {len(self.stored)} stored + "
            f"{len(self.in_gaps)} only in gaps + {len(self.missing)} missing"
        )
        parts = [counts]
        for name in sorted(self.missing, key=lambda name: self.exist[name]["created_utc"])[:NAMED]:
            parts.append(f"  missing: {_described(self.exist[name])}")
        for name in sorted(self.invented)[:NAMED]:
            parts.append(f"  stored, but {self.invented[name]}")
        for faults in (self.missing, self.invented):
            if len(faults) > NAMED:
                parts.append(f"  ... and {len(faults) - NAMED} more")
        return "\n".join(parts)


@dataclass
class Reckoning:
    """All streams that were reckoned up."""

    streams: list[StreamReckoning]

    def __iter__(self) -> Iterator[StreamReckoning]:
        return iter(self.streams)

    @property
    def exist(self) -> int:
        """How many items there were to collect."""
        return sum(len(stream.exist) for stream in self.streams)

    @property
    def missing(self) -> list[dict[str, Any]]:
        """What is neither stored nor in a gap, as the simulator describes it."""
        return [stream.exist[name] for stream in self.streams for name in stream.missing]

    @property
    def invented(self) -> list[str]:
        """What is stored and never existed, or not so."""
        return [fault for stream in self.streams for fault in stream.invented.values()]

    def check(self) -> None:
        """Raise an AssertionError that names the streams that do not balance, and the items."""
        faults = [str(stream) for stream in self.streams if not stream.balances]
        if faults:
            raise AssertionError(
                "What exists is not what is stored or in a gap:\n" + "\n".join(faults)
            )


def reckon(
    simulator: SimulatorServer,
    subreddits: Iterable[str],
    *,
    since: float,
    until: float | None = None,
    stood_for: float | None = None,
    approved_within: float | None = None,
    kinds: Sequence[str] = tuple(KINDS),
) -> Reckoning:
    """Compare what appeared in `[since, until]` with the database.

    An item appears when it is written or, if it was held back, when it is approved. Without
    `stood_for`, what stands at this moment must have been collected; with it, also what is gone
    meanwhile, and only what could be read for so many seconds up to `until`: the freshness promised.
    What was held back for longer than `approved_within` is left to the deep walks. Open gaps excuse
    what was created within them, as the closed ones say that they do not.
    """
    streams = []
    for name in subreddits:
        for kind in kinds:
            streams.append(
                _reckon(
                    simulator,
                    name,
                    kind,
                    since=since,
                    until=until,
                    stood_for=stood_for,
                    approved_within=approved_within,
                )
            )
    return Reckoning(streams)


def shown_in_tree(simulator: SimulatorServer, post: str) -> dict[str, dict[str, Any]]:
    """Every comment that the tree of a post shows: what stands, and what it hangs below."""
    world = simulator.simulator.world
    name = world.item(post, world.now()).sub.name
    of_subreddit = simulator.control(f"truth?kind=t1&subreddit={name}")["items"]
    comments = {item["fullname"]: item for item in of_subreddit if item["link_id"] == post}
    shown: dict[str, dict[str, Any]] = {}
    for fullname, item in comments.items():
        if item["state"] == "live":
            above = fullname
            while above in comments and above not in shown:
                shown[above] = comments[above]
                above = comments[above]["parent_id"]
    return shown


def reckon_tree(simulator: SimulatorServer, post: str) -> StreamReckoning:
    """Compare a post's comment tree with the database.

    What is not stored is excused where the next walk will come to it: it is still to be asked for, or
    hangs below what is; and a tree of which nothing was read is due.
    """
    result = StreamReckoning(f"tree of {post}", exist=shown_in_tree(simulator, post))
    rows = {row.fullname: row for row in RedditComment.objects.filter(link_fullname=post)}
    result.stored = result.exist.keys() & rows.keys()
    thread = CommentThread.objects.filter(pk=post).first()
    for fullname in result.exist.keys() - rows.keys():
        owed = thread is not None and _is_owed(thread, fullname, result.exist)
        (result.in_gaps if owed else result.missing).add(fullname)
    for fullname, row in rows.items():
        fault = _fault(row, result.exist.get(fullname))
        if fault:
            result.invented[fullname] = f"{fullname} {fault}"
    return result


def _is_owed(thread: CommentThread, fullname: str, tree: dict[str, dict[str, Any]]) -> bool:
    if thread.look_at is None:
        return False
    if thread.walk_began_at is None:
        return thread.read_at is None
    branches = set(thread.branches.values_list("name", "below"))
    if (fullname[3:], False) in branches:
        return True
    above = tree[fullname]["parent_id"]
    while above in tree:
        if branches & {(above[3:], False), (above[3:], True)}:
            return True
        above = tree[above]["parent_id"]
    return False


def appeared(item: dict[str, Any]) -> float:
    """When an item could first be read."""
    return max(item["created_utc"], item["visible_from"])


def _held_back(item: dict[str, Any]) -> float:
    return appeared(item) - item["created_utc"]


def _reckon(
    simulator: SimulatorServer,
    name: str,
    kind: str,
    *,
    since: float,
    until: float | None,
    stood_for: float | None,
    approved_within: float | None,
) -> StreamReckoning:
    prefix, model = KINDS[kind]
    start = since - HELD_BACK_SECONDS
    answer = simulator.control(f"truth?subreddit={name}&kind={prefix}&since={start}")
    until = min(answer["now"], until or answer["now"])
    truth = {item["fullname"]: item for item in answer["items"] if appeared(item) <= answer["now"]}
    result = StreamReckoning(f"r/{name} {kind}")
    result.exist = {
        fullname: item
        for fullname, item in truth.items()
        if since <= appeared(item) <= until
        and _is_due(item, until, stood_for)
        and (approved_within is None or _held_back(item) <= approved_within)
    }
    rows = {
        row.fullname: row
        for row in model.objects.annotate(lower=Lower("subreddit__name"))
        .filter(lower=name.lower(), created_at__gte=_moment(start))
        .defer("extra")
    }
    gaps = _gaps(name, kind)
    # Those of other times may be stored too: what counts is where the due ones are.
    due = result.exist.keys()
    result.stored = due & rows.keys()
    unstored = due - rows.keys()
    for fullname in unstored:
        created = result.exist[fullname]["created_utc"]
        excused = any(starts <= created <= ends for starts, ends in gaps)
        (result.in_gaps if excused else result.missing).add(fullname)
    for fullname, row in rows.items():
        fault = _fault(row, truth.get(fullname))
        if fault:
            result.invented[fullname] = f"{fullname} {fault}"
    return result


def _is_due(item: dict[str, Any], until: float, stood_for: float | None) -> bool:
    ends = [item[name] for name in ("deleted_at", "removed_at") if item[name] is not None]
    gone_at = min(ends, default=None)
    if stood_for is None:
        return gone_at is None
    return min(until, gone_at or until) - appeared(item) >= stood_for


def _gaps(name: str, kind: str) -> list[tuple[float, float]]:
    open_gaps = Gap.objects.annotate(lower=Lower("stream__subreddit__name")).filter(
        lower=name.lower(), stream__kind=kind, closed_at=None
    )
    return [
        (starts.timestamp(), ends.timestamp())
        for starts, ends in open_gaps.values_list("starts_at", "ends_at")
    ]


def _fault(row: Any, item: dict[str, Any] | None) -> str:
    """What is wrong with a stored row, or nothing."""
    if item is None:
        return "never existed"
    stored: dict[str, Any] = {"created_utc": row.created_at.timestamp()}
    if isinstance(row, RedditComment):
        stored |= {"link_id": row.link_fullname, "parent_id": row.parent_fullname}
    wrong = {name: value for name, value in stored.items() if value != item[name]}
    return ", ".join(f"has {name} {value}, not {item[name]}" for name, value in wrong.items())


def _described(item: dict[str, Any]) -> str:
    parts = {"written": item["created_utc"]}
    if item["visible_from"] > item["created_utc"]:
        parts["approved"] = item["visible_from"]
    for name in ("deleted", "removed"):
        if item[f"{name}_at"] is not None:
            parts[name] = item[f"{name}_at"]
    times = ", ".join(f"{name} {_moment(value):%H:%M:%S}" for name, value in parts.items())
    return f"{item['fullname']} ({times})"


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
