"""Walks: read a listing page by page until known ground, or say why a walk did not reach it.

A walk has reached known ground when it has met three stored items older than the watermark less the
grace. One known item is not enough, because an item that was approved late appears below the top, at
the time at which it was written. The cursor `before` proves nothing and is never used: its list is
empty when the item that it names is gone. All times are Reddit's (`created_utc`), never our clock's.
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
# A walk goes on this far below the watermark, because the order of a listing is not strict and Reddit's
# servers differ by seconds. Items that moderators let through later appear further down. A grace for
# them, too, would triple the cost of a stream that is read every five minutes.
GRACE = timedelta(seconds=30)
# Reddit lists about 1,000 items of a subreddit, less some that were removed meanwhile.
CAP_SLACK = 50
# In strictly moderated subreddits many items were removed. So a listing that ended with this many items
# may have been cut off, and only a shorter listing is taken to be complete.
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
    # The times of all items, in the order of the listing.
    moments: list[datetime] = field(default_factory=list)

    def add(self, created_at: datetime) -> None:
        """Count one item."""
        self.items += 1
        self.moments.append(created_at)
        self.oldest = min(self.oldest or created_at, created_at)
        self.newest = max(self.newest or created_at, created_at)


@dataclass(frozen=True)
class Span:
    """What one page showed: its oldest and newest time, and its subreddits in lower case."""

    oldest: datetime
    newest: datetime
    names: frozenset[str]


@dataclass
class Walk:
    """The state of a walk: what it saw in all and by subreddit (lower case), and how it ended.

    A walk is `alone` when its listing is of one subreddit. Such a listing fails when the subreddit
    cannot be read; a merged listing leaves the subreddit out silently.
    """

    floor: datetime | None
    end: End | None = None
    alone: bool = False
    total: Seen = field(default_factory=Seen)
    by_subreddit: dict[str, Seen] = field(default_factory=dict)
    known_below_floor: int = 0
    # The subreddits, in lower case, that the last page showed: they could be read to the end.
    at_the_end: set[str] = field(default_factory=set)
    pages: list[Span] = field(default_factory=list)
    # Pages may show an item again: the listing moves down, and a pinned item also stands in its place.
    fullnames: set[str] = field(default_factory=set)

    def add(self, item: ParsedItem, *, known: bool) -> None:
        """Count one item of a page."""
        if item.stickied or item.subreddit is None:
            return  # Pinned or an ad: its place says nothing about its age.
        if item.fullname in self.fullnames:
            return
        self.fullnames.add(item.fullname)
        self.total.add(item.created_at)
        self.by_subreddit.setdefault(item.subreddit.lower(), Seen()).add(item.created_at)
        if known and self.floor is not None and item.created_at < self.floor:
            self.known_below_floor += 1

    def turn_page(self, items: list[ParsedItem]) -> None:
        """Record which span and which subreddits a page showed."""
        self.at_the_end = {item.subreddit.lower() for item in items if item.subreddit}
        if times := _times(items):
            self.pages.append(Span(min(times), max(times), frozenset(self.at_the_end)))

    @property
    def overlaps(self) -> bool:
        """Whether the walk has reached known ground."""
        return self.known_below_floor >= KNOWN_ITEMS

    def reached_cap(self, subreddit: str) -> bool:
        """Whether Reddit may have cut off this subreddit's part of the listing."""
        seen = self.by_subreddit.get(subreddit.lower())
        by_itself = self.end not in (End.ITEM_LIMIT, End.BROKEN_LISTING)
        enough = SURELY_WHOLE if by_itself else LISTING_CAP - CAP_SLACK
        return seen is not None and seen.items >= enough


def floor_below(watermarks: list[datetime | None]) -> datetime | None:
    """Return the floor of a walk over streams with these watermarks.

    None means that the walk finds no known ground and ends with the listing, because a stream was
    never read or there is none.
    """
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
    """Fetch and store page after page until the walk ends, which it always does.

    With a `bottom`, the walk goes on until a whole page is older. It does not look for known ground,
    so the caller passes None as `floor`.

    `fetch` takes a cursor; `store` returns a page's items and what became of them. Pages are stored
    as they come. A walk that is cut short loses nothing, because only its end moves the watermark.
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
    """Return when the items were written, without pinned items and ads, which stand out of order."""
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
