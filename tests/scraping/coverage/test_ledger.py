"""What a walk did not reach is written down; what it proved moves the watermark, forward only."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from scraping.coverage import ledger
from scraping.coverage.gaps import SECOND
from scraping.coverage.walk import End, Seen, Walk
from scraping.models import Gap, Stream
from scraping.subreddits import ensure_streams
from tests.database import sessions_waiting_for_locks
from tests.processes import wait_until

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def streams(*names, watermark=None, complete_since=None):
    made = ensure_streams(names, "posts")
    Stream.objects.update(watermark=watermark, complete_since=complete_since)
    return ensure_streams([stream.subreddit.name for stream in made], "posts")


def walked(end, **seen):
    """A walk that saw, by subreddit, a number of items from one hour ago to another."""
    walk = Walk(floor=None, end=end)
    for name, (items, oldest, newest) in seen.items():
        part = Seen(items=items, oldest=NOW - oldest * HOUR, newest=NOW - newest * HOUR)
        walk.by_subreddit[name] = part
        walk.total.items += items
        for moment in (part.oldest, part.newest):
            walk.total.oldest = min(walk.total.oldest or moment, moment)
            walk.total.newest = max(walk.total.newest or moment, moment)
    return walk


def gaps():
    return [
        (gap.stream.subreddit.name, (NOW - gap.starts_at) / HOUR, (NOW - gap.ends_at) / HOUR,
         gap.reason)
        for gap in Gap.objects.select_related("stream__subreddit").order_by("stream__subreddit__name")
    ]  # fmt: skip


def watermark(name="a1"):
    return Stream.objects.get(subreddit__name=name).watermark


class TestGaps:
    def test_an_overlap_leaves_none(self):
        ledger.record_walk(streams("a1", watermark=NOW - HOUR), walked(End.OVERLAP, a1=(9, 2, 0)))

        assert gaps() == []
        assert watermark() == NOW

    @pytest.mark.parametrize(
        ("end", "reason"),
        [(End.ITEM_LIMIT, "item_limit"), (End.BROKEN_LISTING, "broken_listing")],
    )
    def test_a_walk_cut_short_leaves_what_it_did_not_reach(self, end, reason):
        ledger.record_walk(streams("a1", watermark=NOW - 9 * HOUR), walked(end, a1=(100, 2, 0)))

        assert gaps() == [("a1", 9, 2, reason)]
        assert watermark() == NOW

    def test_reddits_cap_leaves_what_lies_beyond(self):
        found = ledger.record_walk(
            streams("a1", watermark=NOW - 9 * HOUR), walked(End.LISTING_END, a1=(1_000, 2, 0))
        )

        assert gaps() == [("a1", 9, 2, "listing_cap")]
        assert len(found.gaps) == 1

    def test_a_listing_that_removals_have_thinned_may_have_been_cut_off(self):
        """Reddit lists 1,000 items and leaves those out that are gone."""
        ledger.record_walk(
            streams("a1", watermark=NOW - 9 * HOUR), walked(End.LISTING_END, a1=(700, 2, 0))
        )

        assert gaps() == [("a1", 9, 2, "listing_cap")]

    def test_a_limit_is_no_cap(self):
        ledger.record_walk(
            streams("a1", watermark=NOW - 9 * HOUR), walked(End.ITEM_LIMIT, a1=(700, 2, 0))
        )

        assert gaps() == [("a1", 9, 2, "item_limit")]

    def test_a_gap_tells_how_long_the_stream_had_not_been_read(self):
        rows = streams("a1", watermark=NOW - 9 * HOUR)
        Stream.objects.update(last_fetch_at=NOW - 8 * HOUR)
        rows[0].refresh_from_db()

        (gap,) = ledger.record_walk(rows, walked(End.LISTING_END, a1=(1_000, 2, 0))).gaps

        assert gap.unread_since == NOW - 8 * HOUR
        assert gap.explanation == "Reddit lists no further back; unread since 2026-01-20 04:00"

    def test_a_later_walk_closes_what_it_has_read(self):
        rows = streams("a1", watermark=NOW - 9 * HOUR)
        ledger.record_walk(rows, walked(End.ITEM_LIMIT, a1=(100, 5, 3)))
        rows[0].refresh_from_db()

        ledger.record_walk(rows, walked(End.OVERLAP, a1=(500, 7, 0)))

        opened = Gap.objects.get(closed_at=None)
        assert (opened.starts_at, opened.ends_at) == (NOW - 9 * HOUR, NOW - 7 * HOUR + SECOND)
        assert Gap.objects.exclude(closed_at=None).get().closed_by == "a later walk"

    @pytest.mark.parametrize(
        ("end", "deep"),
        [
            (End.LISTING_END, True),
            (End.BOTTOM, True),
            (End.OVERLAP, False),
            (End.ITEM_LIMIT, False),
        ],
    )
    def test_a_walk_to_the_end_is_a_deep_one(self, end, deep):
        walk = walked(end, a1=(100, 20, 3))
        ledger.record_walk(streams("a1", watermark=NOW - 9 * HOUR), walk)

        stream = Stream.objects.get()
        assert (stream.deep_read_at is not None) == deep
        assert stream.deep_read_since == (NOW - 20 * HOUR if deep else None)

    @pytest.mark.parametrize("items", [0, 1, 400])
    def test_a_whole_listing_leaves_none(self, items):
        seen = {"a1": (items, 2, 0)} if items else {}
        ledger.record_walk(streams("a1", watermark=NOW - 9 * HOUR), walked(End.LISTING_END, **seen))

        assert gaps() == []

    def test_a_walk_that_reached_the_watermark_leaves_none(self):
        ledger.record_walk(
            streams("a1", watermark=NOW - HOUR), walked(End.ITEM_LIMIT, a1=(100, 2, 0))
        )

        assert gaps() == []

    def test_the_first_walk_leaves_none_and_says_since_when_it_is_complete(self):
        ledger.record_walk(streams("a1"), walked(End.ITEM_LIMIT, a1=(100, 2, 0)))

        assert gaps() == []
        assert Stream.objects.get().complete_since == NOW - 2 * HOUR

    def test_a_gap_has_length(self):
        (stream,) = streams("a1")

        with pytest.raises(IntegrityError), transaction.atomic():
            Gap.objects.create(stream=stream, starts_at=NOW, ends_at=NOW, reason="item_limit")


class TestMergedListings:
    """Reddit cuts each member's part off by itself."""

    def test_the_one_that_was_cut_off_has_the_gap(self):
        ledger.record_walk(
            streams("a1", "b2", watermark=NOW - 9 * HOUR),
            walked(End.LISTING_END, a1=(1_000, 3, 0), b2=(20, 40, 1)),
        )

        assert gaps() == [("a1", 9, 3, "listing_cap")]

    def test_it_has_the_gap_also_when_the_other_reached_known_ground(self):
        """The quiet one's old items prove nothing of the busy one, which ended hours above them."""
        ledger.record_walk(
            streams("a1", "b2", watermark=NOW - 9 * HOUR),
            walked(End.OVERLAP, a1=(1_000, 3, 0), b2=(20, 40, 1)),
        )

        assert gaps() == [("a1", 9, 3, "listing_cap")]

    def test_a_busy_one_that_reached_its_watermark_has_none(self):
        ledger.record_walk(
            streams("a1", "b2", watermark=NOW - 9 * HOUR),
            walked(End.OVERLAP, a1=(990, 10, 0), b2=(20, 40, 1)),
        )

        assert gaps() == []

    def test_a_limit_leaves_a_gap_in_each(self):
        ledger.record_walk(
            streams("a1", "b2", watermark=NOW - 9 * HOUR),
            walked(End.ITEM_LIMIT, a1=(10, 2, 0), b2=(5, 2, 1)),
        )

        assert gaps() == [("a1", 9, 2, "item_limit"), ("b2", 9, 2, "item_limit")]

    def test_the_first_walk_is_complete_only_as_far_as_its_member_was_listed(self):
        ledger.record_walk(
            streams("a1", "b2"),
            walked(End.ITEM_LIMIT, a1=(1_000, 3, 0), b2=(20, 40, 1)),
        )

        since = dict(Stream.objects.values_list("subreddit__name", "complete_since"))
        assert since == {"a1": NOW - 3 * HOUR, "b2": NOW - 40 * HOUR}


class TestWatermarks:
    def test_they_only_move_forward(self):
        """A slower walk of another bot ends later and saw less."""
        rows = streams("a1", watermark=NOW - 9 * HOUR)
        ledger.record_walk(rows, walked(End.OVERLAP, a1=(9, 10, 0)))
        ledger.record_walk(rows, walked(End.OVERLAP, a1=(9, 10, 5)))

        assert watermark() == NOW

    def test_a_quiet_member_has_been_read_as_far_as_the_others(self):
        ledger.record_walk(
            streams("a1", "b2", watermark=NOW - 9 * HOUR), walked(End.OVERLAP, a1=(9, 10, 0))
        )

        assert watermark("b2") == NOW

    def test_an_empty_listing_moves_none(self):
        ledger.record_walk(streams("a1", watermark=NOW), walked(End.LISTING_END))

        stream = Stream.objects.get()
        assert stream.watermark == NOW
        assert stream.last_fetch_at is not None

    def test_complete_since_is_told_once(self):
        rows = streams("a1", watermark=NOW - 9 * HOUR, complete_since=NOW - 30 * HOUR)
        ledger.record_walk(rows, walked(End.OVERLAP, a1=(9, 10, 0)))

        assert Stream.objects.get().complete_since == NOW - 30 * HOUR


class TestReads:
    def test_a_hundred_streams_take_no_more_statements_than_one(self, django_assert_num_queries):
        names = [f"sub{number}" for number in range(100)]
        rows = streams(*names, watermark=NOW - HOUR)
        walk = walked(End.OVERLAP, **dict.fromkeys(names, (3, 2, 0)))

        with django_assert_num_queries(5):  # two of them are the savepoint's
            ledger.record_walk(rows, walk)

        assert Stream.objects.filter(watermark=NOW).count() == 100

    def test_the_last_two_reads_are_remembered(self):
        rows = streams("a1", watermark=NOW - HOUR)
        for hours in (3, 2, 1, 2):
            ledger.record_walk(rows, walked(End.OVERLAP), fetched_at=NOW - hours * HOUR)

        stream = Stream.objects.get()
        assert (stream.previous_fetch_at, stream.last_fetch_at) == (NOW - 2 * HOUR, NOW - HOUR)

    def test_rates_come_from_what_lies_above_the_watermark(self):
        (stream,) = streams("a1", watermark=NOW - 2 * HOUR)
        walk = Walk(floor=None, end=End.OVERLAP)
        above = [NOW - number * HOUR / 30 for number in range(60)]
        below = [NOW - (2 + number / 1_000) * HOUR for number in range(1, 400)]
        seen = Seen()
        for moment in [*above, *below]:
            seen.add(moment)
            walk.total.add(moment)
        walk.by_subreddit["a1"] = seen

        ledger.record_walk([stream], walk, fetched_at=NOW)

        stream = Stream.objects.get()
        assert 20 < stream.arrivals_per_hour <= 30
        assert sum(rate is not None for rate in stream.arrivals_by_hour) == 2
        assert NOW + 10 * HOUR < stream.poll_by < NOW + 30 * HOUR

    def test_a_walk_that_did_not_come_so_far_counts_only_the_time_that_it_saw(self):
        """Of ten hours it read the last one."""
        (stream,) = streams("a1", watermark=NOW - 10 * HOUR)
        walk = Walk(floor=None, end=End.ITEM_LIMIT)
        seen = Seen()
        for number in range(100):
            seen.add(NOW - number * HOUR / 100)
            walk.total.add(NOW - number * HOUR / 100)
        walk.by_subreddit["a1"] = seen

        ledger.record_walk([stream], walk)

        assert Stream.objects.get().arrivals_per_hour > 70

    def test_an_empty_first_read_teaches_nothing_and_is_a_read(self):
        ledger.record_walk(streams("a1"), walked(End.LISTING_END))

        stream = Stream.objects.get()
        assert (stream.arrivals_per_hour, stream.poll_by) == (None, None)
        assert stream.last_fetch_at is not None


@pytest.mark.django_db(transaction=True)
def test_two_walks_over_the_same_streams_take_them_in_one_order():
    """Bots name the same subreddits in different orders: had each walk the row that the other one
    wants next, PostgreSQL would kill one."""
    first, second = sorted(streams("a1", "b2", watermark=NOW), key=lambda stream: stream.pk)

    def record():
        try:
            ledger.record_walk([second, first], walked(End.OVERLAP, a1=(9, 10, 0)))
        finally:
            connection.close()

    other = threading.Thread(target=record)
    with transaction.atomic():
        Stream.objects.select_for_update().get(pk=first.pk)
        other.start()
        wait_until(lambda: sessions_waiting_for_locks() == 1, what="the other waits")
        Stream.objects.select_for_update(nowait=True).get(pk=second.pk)
    other.join(60)

    assert not other.is_alive()
