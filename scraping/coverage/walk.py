"""Reading a listing page by page until it reaches known ground, or saying why it did not.

A walk is proven to overlap with what is stored when it has met three known items older than the
watermark less a grace: what is approved late appears below the top, at the time it was written. The
cursor `before` proves nothing (it gives an empty list when its anchor is gone) and is never used.
All times are Reddit's own (`created_utc`): no clock of ours takes part.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from bots.models import LISTING_CAP
from scraping.intake import Taken
from scraping.reddit.client import PAGE_SIZE, Page
from scraping.reddit.parse import ParsedItem

KNOWN_ITEMS = 3
# So far below the watermark a walk goes on: the order of a listing is not strict, and its servers
# differ by seconds. What moderators let through later than that appears further down; a walk that
# waited for it would read a poll of five minutes three times over, each time.
GRACE = timedelta(seconds=30)
# Of the about 1,000 items that Reddit lists of a subreddit, some were removed meanwhile.
CAP_SLACK = 50
# In strictly moderated subreddits many were. A listing that ended with so many items may have been
# cut off; only a shorter one is taken to be all that there is.
SURELY_WHOLE = LISTING_CAP // 2


class End(StrEnum):
    """Why a walk ended."""

    OVERLAP = "overlap"
    LISTING_END = "listing_end"
    BOTTOM = "bottom"
    ITEM_LIMIT = "item_limit"
    BROKEN_LISTING = "broken_listing"


@dataclass
class Seen:
    """What a walk saw of one subreddit."""

    items: int = 0
    oldest: datetime | None = None
    newest: datetime | None = None
    # The times of all of them, in the order of the listing.
    moments: list[datetime] = field(default_factory=list)

    def add(self, created_at: datetime) -> None:
        """Count one item."""
        self.items += 1
        self.moments.append(created_at)
        self.oldest = min(self.oldest or created_at, created_at)
        self.newest = max(self.newest or created_at, created_at)


@dataclass(frozen=True)
class Span:
    """What one page showed: from when to when, and of whom, in lower case."""

    oldest: datetime
    newest: datetime
    names: frozenset[str]


@dataclass
class Walk:
    """A walk as it goes: what it saw by lower-case name of subreddit, in all, and how it ended.

    It is `alone` when its listing was of one subreddit, which would have said so if it could not be
    read. Of several, Reddit leaves such ones out silently.
    """

    floor: datetime | None
    end: End | None = None
    alone: bool = False
    total: Seen = field(default_factory=Seen)
    by_subreddit: dict[str, Seen] = field(default_factory=dict)
    known_below_floor: int = 0
    # Names, in lower case, of those that its last page showed: they could be read to the end.
    at_the_end: set[str] = field(default_factory=set)
    pages: list[Span] = field(default_factory=list)
    # Pages may bring an item again: as the listing moves down, or pinned and in its place.
    fullnames: set[str] = field(default_factory=set)

    def add(self, item: ParsedItem, *, known: bool) -> None:
        """Take note of one item of a page."""
        if item.stickied or item.subreddit is None:
            return  # Pinned or an ad: stands there however old it is.
        if item.fullname in self.fullnames:
            return
        self.fullnames.add(item.fullname)
        self.total.add(item.created_at)
        self.by_subreddit.setdefault(item.subreddit.lower(), Seen()).add(item.created_at)
        if known and self.floor is not None and item.created_at < self.floor:
            self.known_below_floor += 1

    def turn_page(self, items: list[ParsedItem]) -> None:
        """Take note of a page's span, and of whom it showed."""
        self.at_the_end = {item.subreddit.lower() for item in items if item.subreddit}
        if times := _times(items):
            self.pages.append(Span(min(times), max(times), frozenset(self.at_the_end)))

    @property
    def overlaps(self) -> bool:
        """Whether it has met known ground."""
        return self.known_below_floor >= KNOWN_ITEMS

    def reached_cap(self, subreddit: str) -> bool:
        """Whether Reddit may have cut this subreddit's part of the listing off."""
        seen = self.by_subreddit.get(subreddit.lower())
        by_itself = self.end not in (End.ITEM_LIMIT, End.BROKEN_LISTING)
        enough = SURELY_WHOLE if by_itself else LISTING_CAP - CAP_SLACK
        return seen is not None and seen.items >= enough


def floor_below(watermarks: list[datetime | None]) -> datetime | None:
    """Where a walk over streams with these watermarks may end, or None: only with the listing."""
    known = [watermark for watermark in watermarks if watermark is not None]
    return min(known) - GRACE if len(known) == len(watermarks) and known else None


def walk(
    fetch: Callable[[str | None], Page],
    store: Callable[[Page], tuple[list[ParsedItem], Taken]],
    *,
    floor: datetime | None,
    item_limit: int,
    bottom: datetime | None = None,
    alone: bool = False,
) -> Walk:
    """Fetch and store page after page until the walk's end, which is always reached.

    With a `bottom` the walk looks for no known ground, so give no floor: it goes on until a whole page
    is older.

    `fetch` takes a cursor; `store` returns a page's items and what became of them. Pages are stored
    as they come, so a walk that is cut short loses nothing: its watermark is not moved.
    """
    state = Walk(floor, alone=alone)
    for page in _pages(fetch, state, item_limit):
        items, result = store(page)
        state.turn_page(items)
        for item in items:
            state.add(item, known=item.fullname not in result.new)
        if state.overlaps:
            state.end = End.OVERLAP
            break
        if bottom is not None and _lies_below(bottom, items):
            state.end = End.BOTTOM
            break
    return state


def _lies_below(bottom: datetime, items: list[ParsedItem]) -> bool:
    times = _times(items)
    return bool(times) and max(times) < bottom


def _times(items: list[ParsedItem]) -> list[datetime]:
    """When those were written that stand where their time puts them."""
    return [item.created_at for item in items if not item.stickied and item.subreddit is not None]


def _pages(fetch: Callable[[str | None], Page], state: Walk, item_limit: int) -> Iterator[Page]:
    cursor: str | None = None
    cursors: set[str] = set()
    for _ in range(-(-item_limit // PAGE_SIZE)):
        page = fetch(cursor)
        yield page
        cursor = page.after
        if not page.things or cursor is None:
            state.end = End.LISTING_END
            return
        if cursor in cursors:
            state.end = End.BROKEN_LISTING
            return
        cursors.add(cursor)
    state.end = End.ITEM_LIMIT
