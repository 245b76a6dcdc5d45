"""A walk goes back to known ground, and says truthfully whether it got there."""

from datetime import UTC, datetime, timedelta

import pytest

from scraping.content.upsert import IngestResult
from scraping.coverage.walk import GRACE, End, floor_below, walk
from scraping.reddit.client import Page
from scraping.reddit.parse import parse_post
from tests.factories import PostData

NOW = datetime(2026, 1, 20, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def item(fullname, minutes_ago, **changes):
    created = (NOW - minutes_ago * MINUTE).timestamp()
    data = PostData(name=f"t3_{fullname}", created_utc=created, **changes)
    return parse_post({key: value for key, value in data.items() if value is not ...})


class Listing:
    """Pages of items, linked by cursors; what was stored is known the next time."""

    def __init__(self, *pages, known=(), cursors=None):
        self.pages = pages
        self.known = {f"t3_{name}" for name in known}
        self.cursors = cursors or [*range(1, len(pages)), None]
        self.fetched = []

    def fetch(self, cursor):
        index = int(cursor or 0) % len(self.pages)
        self.fetched.append(cursor)
        after = self.cursors[index]
        return Page(list(self.pages[index]), None if after is None else str(after))

    def store(self, page):
        items = page.things
        new = {item.fullname for item in items} - self.known
        self.known |= new
        return items, IngestResult(new=new)

    def walk(self, *, watermark=None, item_limit=1_000, bottom=None):
        floor = None if watermark is None else NOW - watermark * MINUTE - GRACE
        bottom = None if bottom is None else NOW - bottom * MINUTE
        return walk(self.fetch, self.store, floor=floor, item_limit=item_limit, bottom=bottom)


def test_it_ends_when_three_known_items_lie_below_the_floor():
    listing = Listing(
        [item("a", 1), item("b", 2)],
        [item("c", 30), item("d", 31), item("e", 32)],
        [item("f", 99)],
        known="cde",
    )

    result = listing.walk(watermark=5)

    assert result.end == End.OVERLAP
    assert len(listing.fetched) == 2
    assert result.total.items == 5


@pytest.mark.parametrize("known", ["", "c", "cd"])
def test_fewer_known_items_prove_nothing(known):
    listing = Listing([item("a", 1)], [item("c", 30), item("d", 31), item("e", 32)], known=known)

    assert listing.walk(watermark=5).end == End.LISTING_END


def test_known_items_above_the_floor_prove_nothing():
    """They may be the newest part of a span whose middle is missing: an approved post, say."""
    listing = Listing([item("a", 1), item("b", 2), item("c", 3), item("d", 19)], known="abcd")

    assert listing.walk(watermark=5).end == End.LISTING_END


def test_one_known_item_that_comes_again_and_again_is_one():
    old = item("x", 500)
    listing = Listing([old, item("a", 1)], [old, item("b", 2)], [old, item("c", 3)], known="x")

    assert listing.walk(watermark=5).end == End.LISTING_END


def test_stickied_items_prove_nothing_and_count_for_nothing():
    pinned = [item(name, 9_000, stickied=True) for name in "xyz"]
    listing = Listing([*pinned, item("a", 1)], [item("b", 2)], known="xyz")

    result = listing.walk(watermark=5)

    assert result.end == End.LISTING_END
    assert result.total.oldest == NOW - 2 * MINUTE


def test_ads_prove_nothing_and_count_for_nothing():
    ads = [item(name, 9_000, subreddit=...) for name in "xyz"] + [item("w", -60, subreddit=...)]
    listing = Listing([*ads, item("a", 1)], [item("b", 2)], known="xyz")

    result = listing.walk(watermark=5)

    assert result.end == End.LISTING_END
    assert (result.total.oldest, result.total.newest) == (NOW - 2 * MINUTE, NOW - MINUTE)


def test_a_late_approved_post_in_the_middle_is_stored():
    known = [item(name, 10 + n) for n, name in enumerate("bcdefghijk")]
    listing = Listing([item("a", 1), *known[:4], item("late", 14), *known[4:]], known="bcdefghijk")

    listing.walk(watermark=2)

    assert "t3_late" in listing.known


@pytest.mark.parametrize(
    ("pages", "fetches"),
    [
        ([[]], 1),
        ([[item("a", 1)]], 1),
        ([[item("a", 1)], [], [item("b", 2)]], 2),
    ],
    ids=["empty", "no cursor", "empty page with a cursor"],
)
def test_it_ends_with_the_listing(pages, fetches):
    listing = Listing(*pages)

    assert listing.walk(watermark=5).end == End.LISTING_END
    assert len(listing.fetched) == fetches


@pytest.mark.parametrize("cursors", [[1, 0, 1], [1, 1, 1], [1, 2, 1]])
def test_a_listing_that_leads_back_to_itself_ends_it(cursors):
    listing = Listing([item("a", 1)], [item("b", 2)], [item("c", 3)], cursors=cursors)

    assert listing.walk(watermark=5).end == End.BROKEN_LISTING
    assert len(listing.fetched) <= 4


@pytest.mark.parametrize(("limit", "fetches"), [(1, 1), (100, 1), (101, 2), (250, 3)])
def test_the_limit_of_items_ends_it_with_the_page(limit, fetches):
    listing = Listing(*[[item(f"a{page}", page)] for page in range(1, 9)])

    assert listing.walk(watermark=0, item_limit=limit).end == End.ITEM_LIMIT
    assert len(listing.fetched) == fetches


def test_without_a_floor_only_the_listing_or_the_limit_ends_it():
    listing = Listing([item(name, 500) for name in "abcd"], known="abcd")

    assert listing.walk().end == End.LISTING_END


def test_what_was_seen_is_told_by_subreddit_in_any_case():
    listing = Listing(
        [item("a", 1, subreddit="One"), item("b", 7, subreddit="Two")],
        [item("c", 3, subreddit="oNE")],
    )

    result = listing.walk()

    assert {name: seen.items for name, seen in result.by_subreddit.items()} == {"one": 2, "two": 1}
    assert result.by_subreddit["one"].oldest == NOW - 3 * MINUTE
    assert result.by_subreddit["one"].newest == NOW - MINUTE
    assert result.total.oldest == NOW - 7 * MINUTE


def test_pages_are_stored_as_they_come():
    """What was read before a fault is kept."""
    listing = Listing([item("a", 1)], [item("b", 2)])
    fetch = listing.fetch

    def broken(cursor):
        if cursor is not None:
            raise ConnectionError
        return fetch(cursor)

    with pytest.raises(ConnectionError):
        walk(broken, listing.store, floor=None, item_limit=1_000)

    assert listing.known == {"t3_a"}


def test_the_floor_lies_a_grace_below_the_oldest_watermark():
    assert floor_below([NOW, NOW - MINUTE]) == NOW - MINUTE - GRACE
    assert floor_below([NOW, None]) is None
    assert floor_below([]) is None


def test_a_walk_to_the_bottom_goes_on_until_a_whole_page_is_older():
    """One old item proves nothing of the others; known ones and pinned ones do not count."""
    listing = Listing(
        [item("p", 900, stickied=True), item("a", 1)],
        [item("b", 70), item("c", 50)],
        [item("d", 80), item("e", 90)],
        [item("f", 99)],
        known="abcdef",
    )

    result = listing.walk(bottom=60)

    assert result.end == End.BOTTOM
    assert len(listing.fetched) == 3


def test_a_page_of_pinned_items_alone_is_not_the_bottom():
    listing = Listing([item("p", 900, stickied=True)], [item("a", 1)])

    assert listing.walk(bottom=60).end == End.LISTING_END
