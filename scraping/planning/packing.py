"""The request compiler: due streams of one kind packed into the fewest pages of merged listings.

Every walk reads down to the oldest watermark of its members, through what all of them have above
it, and half a page more than it needs on the average. So what a stream costs depends on its
company: streams that were read together stay together, and one that lags behind does not drag a
busy one down with it. First-fit-decreasing by expected items, but each into the pack where it costs
least, and into one of its own where that costs less.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from scraping.coverage.rates import HALF_HORIZON, Rates
from scraping.coverage.walk import GRACE, KNOWN_ITEMS
from scraping.models import Stream
from scraping.reddit.client import MAX_MERGED_CHARACTERS, MAX_MERGED_NAMES, PAGE_SIZE

HOUR = timedelta(hours=1)
# Read to its listing's end, as nothing is known of it: what that may be, and how many such streams
# share a walk. A walk that is cut short moves no watermark, so it must not be long.
FIRST_READ_ITEMS = 2 * HALF_HORIZON
FIRST_READ_LOAD = 10 * FIRST_READ_ITEMS


@dataclass(frozen=True)
class Due:
    """A stream to be read. A rider is read only where it costs less than by itself."""

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
    # How far below the present its walk goes, in hours.
    depth: float
    # Items that it is expected to have above its watermark, less the grace.
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
    """Divide due streams of one kind among merged requests; every one but riders stands in one.

    `now` is the present by our clock. No pack breaks the caps on names and characters, nor the one
    on expected items unless a stream alone does.
    """
    dues = list(dues)
    known = [due for due in dues if due.stream.watermark is not None]
    first = [due for due in dues if due.stream.watermark is None]
    clock = _reddits_clock([due.stream for due in known], now)
    return [
        # Apart: they are read to the listing's end, and would drag the others down with them.
        *_pack([_weigh(due, now, clock) for due in known], room=HALF_HORIZON),
        *_pack([_weigh_first(due) for due in first], room=FIRST_READ_LOAD),
    ]


def pages(load: float) -> float:
    """How many pages a walk of so many expected items takes on the average."""
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
    # Nothing lay between the watermark and the last read; what is new came after it.
    read_at = stream.last_fetch_at or now
    rates = Rates.of(stream)
    rate = rates.at(now.hour)
    since = (now - read_at) / HOUR
    if since > 1:
        rate = rates.expected(read_at, now) / since
    return _Weighed(due, rate, depth, rate * depth)


def _weigh_first(due: Due) -> _Weighed:
    # One that was read and found empty has no watermark either, but nothing to read.
    items = FIRST_READ_ITEMS if due.stream.last_fetch_at is None else 1.0
    return _Weighed(due, items, 1.0, items)


def _reddits_clock(streams: Sequence[Stream], now: datetime) -> datetime | None:
    """The present by Reddit's clock, or a little before it.

    A stream's watermark was not later than Reddit's present when it was read.
    """
    return max(
        (
            watermark + (now - read_at)
            for stream in streams
            if (read_at := stream.last_fetch_at) and (watermark := stream.watermark)
        ),
        default=max((stream.watermark for stream in streams if stream.watermark), default=None),
    )
