"""Pack due streams of one kind into the fewest pages of merged listings.

Every walk reads down to the oldest watermark of its members, through the items of all members, and on
the average half a page further. So the cost of a stream depends on the other members of its pack.
Streams that were read together stay together, and a stream that lags behind does not drag a busy
stream down with it. The streams are sorted by expected items, the most first. Each joins the pack
where it costs least, or a new pack if that costs no more.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from scraping.coverage.rates import HALF_HORIZON, Rates
from scraping.coverage.walk import GRACE, KNOWN_ITEMS
from scraping.models import Stream
from scraping.reddit.client import MAX_MERGED_CHARACTERS, MAX_MERGED_NAMES, PAGE_SIZE

HOUR = timedelta(hours=1)
# A stream without a watermark is read to its listing's end, which is at most this many items away. At
# most ten new streams share a walk, because a walk that is cut short moves no watermark.
FIRST_READ_ITEMS = 2 * HALF_HORIZON
FIRST_READ_LOAD = 10 * FIRST_READ_ITEMS


@dataclass(frozen=True)
class Due:
    """A stream to read. A rider is read only if it costs less in a pack than alone."""

    stream: Stream
    rider: bool = False

    @property
    def name(self) -> str:
        """The subreddit's name."""
        return self.stream.subreddit.name


@dataclass(frozen=True)
class _Weighed:
    due: Due
    # Items an hour at present.
    rate: float
    # How far back from now its walk must go, in hours.
    depth: float
    # The expected items of this depth: above the watermark less the grace.
    load: float


@dataclass
class _Pack:
    room: float
    members: list[Due] = field(default_factory=list)
    characters: int = -1
    rate: float = 0.0
    depth: float = 0.0

    @property
    def load(self) -> float:
        return self.rate * self.depth

    def load_with(self, weighed: _Weighed) -> float:
        return (self.rate + weighed.rate) * max(self.depth, weighed.depth)

    def fits(self, weighed: _Weighed) -> bool:
        return (
            len(self.members) < MAX_MERGED_NAMES
            and self.characters + 1 + len(weighed.due.name) <= MAX_MERGED_CHARACTERS
            and self.load_with(weighed) <= self.room
        )

    def add(self, weighed: _Weighed) -> None:
        self.members.append(weighed.due)
        self.characters += 1 + len(weighed.due.name)
        self.rate += weighed.rate
        self.depth = max(self.depth, weighed.depth)


def compile_packs(dues: Iterable[Due], now: datetime) -> list[list[Due]]:
    """Divide due streams of one kind among packs. Each stream is in one pack; riders may be left out.

    `now` is the present by our clock. No pack exceeds the caps on names and characters. A pack exceeds
    the cap on expected items only if a single stream does.
    """
    dues = list(dues)
    known = [due for due in dues if due.stream.watermark is not None]
    first = [due for due in dues if due.stream.watermark is None]
    clock = _reddits_clock([due.stream for due in known], now)
    return [
        # First reads are packed apart: they go to the listing's end and would drag the others down.
        *_pack([_weigh(due, now, clock) for due in known], room=HALF_HORIZON),
        *_pack([_weigh_first(due) for due in first], room=FIRST_READ_LOAD),
    ]


def pages(load: float) -> float:
    """Return how many pages a walk of `load` expected items takes on the average."""
    return max(1.0, (load + KNOWN_ITEMS) / PAGE_SIZE + 0.5)


def _pack(weighed: Sequence[_Weighed], *, room: float) -> list[list[Due]]:
    packs: list[_Pack] = []
    for one in sorted(weighed, key=lambda one: (one.due.rider, -one.load, one.due.name.lower())):
        alone = pages(one.load)
        fitting = [
            (_marginal(pack, one), number) for number, pack in enumerate(packs) if pack.fits(one)
        ]
        cost, number = min(fitting, default=(alone, -1))
        if number >= 0 and cost < alone:
            packs[number].add(one)
        elif not one.due.rider:
            packs.append(_Pack(room))
            packs[-1].add(one)
    return [pack.members for pack in packs]


def _marginal(pack: _Pack, weighed: _Weighed) -> float:
    return pages(pack.load_with(weighed)) - pages(pack.load)


def _weigh(due: Due, now: datetime, clock: datetime | None) -> _Weighed:
    stream, depth = due.stream, 0.0
    if clock is not None and (watermark := stream.watermark) is not None:
        depth = (max(clock - watermark, timedelta(0)) + GRACE) / HOUR
    # The last read found nothing above the watermark, so all new items came after that read.
    read_at = stream.last_fetch_at or now
    rates = Rates.of(stream)
    rate = rates.at(now.hour)
    since = (now - read_at) / HOUR
    if since > 1:
        rate = rates.expected(read_at, now) / since
    return _Weighed(due, rate, depth, rate * depth)


def _weigh_first(due: Due) -> _Weighed:
    # A stream that was read and found empty has no watermark either, but has next to no items.
    items = FIRST_READ_ITEMS if due.stream.last_fetch_at is None else 1.0
    return _Weighed(due, items, 1.0, items)


def _reddits_clock(streams: Sequence[Stream], now: datetime) -> datetime | None:
    """Return the present by Reddit's clock, or a little before it; None if no stream has a watermark.

    When a stream was read, its watermark was not later than the present by Reddit's clock.
    """
    return max(
        (
            watermark + (now - read_at)
            for stream in streams
            if (read_at := stream.last_fetch_at) and (watermark := stream.watermark)
        ),
        default=max((stream.watermark for stream in streams if stream.watermark), default=None),
    )
