"""A gap ends when what it holds was read after all, and not before; its bounds stay true."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from scraping.coverage import gaps
from scraping.coverage.gaps import BEGINNING, SECOND, Cover
from scraping.coverage.walk import End, Seen, Walk
from scraping.models import Gap, Stream
from scraping.subreddits import ensure_streams
from tests.database import sessions_waiting_for_locks
from tests.processes import wait_until

NOW = datetime(2026, 1, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def stream_of(name="python", **fields):
    (stream,) = ensure_streams([name], "posts")
    Stream.objects.filter(pk=stream.pk).update(**fields)
    return ensure_streams([name], "posts")[0]


def at(hours_ago):
    return NOW - hours_ago * HOUR


def gap(stream, begins, ends, **fields):
    """An open gap from one hour ago to another."""
    return Gap.objects.create(
        stream=stream, starts_at=at(begins), ends_at=at(ends), reason="listing_cap", **fields
    )


def cover(stream, begins, ends):
    return Cover(stream.pk, at(begins), at(ends))


def spans(*, closed=False):
    return [
        ((NOW - gap.starts_at) / HOUR, (NOW - gap.ends_at) / HOUR)
        for gap in Gap.objects.filter(closed_at__isnull=not closed).order_by("starts_at")
    ]


@pytest.mark.django_db
class TestClosing:
    def test_a_gap_that_was_read_is_closed_and_says_by_what(self):
        stream = stream_of()
        row = gap(stream, 9, 5)

        result = gaps.close([cover(stream, 10, 4)], by="a deep walk")

        row.refresh_from_db()
        assert row.closed_at is not None
        assert row.closed_by == "a deep walk"
        assert (result.total_closed, result.total_narrowed) == (1, 0)
        assert spans() == []

    @pytest.mark.parametrize(
        ("begins", "ends", "left", "done"),
        [
            (7, 0, [(9, 7)], [(7, 5)]),
            (12, 6, [(6, 5)], [(9, 6)]),
            (8, 6, [(9, 8), (6, 5)], [(8, 6)]),
            (9, 5, [], [(9, 5)]),
            (5, 0, [(9, 5)], []),
            (12, 9, [(9, 5)], []),
        ],
    )
    def test_of_one_that_was_read_in_part_the_rest_stays(self, begins, ends, left, done):
        stream = stream_of()
        row = gap(stream, 9, 5, unread_since=at(9))

        gaps.close([cover(stream, begins, ends)], by="a deep walk")

        assert spans() == left
        assert spans(closed=True) == done
        for piece in Gap.objects.all():
            assert (piece.reason, piece.unread_since, piece.found_at) == (
                row.reason, row.unread_since, row.found_at
            )  # fmt: skip
            assert piece.closed_by == ("a deep walk" if piece.closed_at else "")

    def test_several_covers_close_what_they_hold_together(self):
        stream = stream_of()
        gap(stream, 9, 5)

        result = gaps.close([cover(stream, 10, 7), cover(stream, 7, 4)], by="both")

        assert result.total_closed == 1
        assert spans() == []

    def test_others_and_closed_ones_are_left_alone(self):
        stream, other = stream_of(), stream_of("django")
        gap(other, 9, 5)
        gap(stream, 9, 5, closed_at=NOW, closed_by="an import")

        result = gaps.close([cover(stream, 10, 4)], by="a deep walk")

        assert (result.total_closed, result.total_narrowed) == (0, 0)
        assert spans() == [(9, 5)]
        assert Gap.objects.get(stream=stream).closed_by == "an import"

    def test_it_takes_the_same_statements_for_any_number(self, django_assert_num_queries):
        streams = [stream_of(f"sub{number}") for number in range(20)]
        for stream in streams:
            gap(stream, 9, 5)
            gap(stream, 20, 15)

        with django_assert_num_queries(6):  # four, and a savepoint
            result = gaps.close([cover(stream, 18, 0) for stream in streams], by="a deep walk")

        assert (result.total_closed, result.total_narrowed) == (20, 20)

    def test_nothing_is_locked_where_nothing_is_open(self, django_assert_num_queries):
        stream = stream_of()

        with django_assert_num_queries(1):
            gaps.close([cover(stream, 18, 0)], by="a walk")


@pytest.mark.django_db
class TestCompleteSince:
    @pytest.mark.parametrize(
        ("begins", "ends", "since"),
        [(20, 0, 20), (20, 9, 20), (20, 10, 20), (20, 11, 10), (8, 0, 10)],
    )
    def test_it_moves_back_only_where_the_cover_joins_it(self, begins, ends, since):
        stream = stream_of(complete_since=at(10), watermark=NOW)

        gaps.close([cover(stream, begins, ends)], by="a backfill")

        stream.refresh_from_db()
        assert stream.complete_since == at(since)

    def test_a_stream_that_was_never_read_has_none(self):
        stream = stream_of()
        gaps.close([cover(stream, 20, 0)], by="an import")

        assert stream_of().complete_since is None

    def test_that_there_is_nothing_older_does_not_move_it(self):
        stream = stream_of(complete_since=at(10), watermark=NOW)
        gaps.close([Cover(stream.pk, BEGINNING, NOW)], by="a walk")

        assert stream_of().complete_since == at(10)


class TestAgainstMinutes(TestCase):
    """Whatever gaps and covers there are: a minute is open after it if it was and is not covered."""

    spans = st.lists(
        st.tuples(st.integers(0, 40), st.integers(1, 15)).map(lambda pair: (pair[0], sum(pair))),
        max_size=5,
    )

    @pytest.mark.slow
    @given(gaps_of=spans, covers=st.lists(spans, max_size=3))
    def test_minutes(self, gaps_of, covers):
        stream = stream_of()
        Gap.objects.all().delete()
        start = NOW - 2 * HOUR

        def moment(minute):
            return start + timedelta(minutes=minute)

        for begins, ends in gaps_of:
            Gap.objects.create(
                stream=stream, starts_at=moment(begins), ends_at=moment(ends), reason="item_limit"
            )
        for batch in covers:
            gaps.close(
                [Cover(stream.pk, moment(begins), moment(ends)) for begins, ends in batch], by="x"
            )

        def minutes(rows):
            return sorted(
                minute
                for begins, ends in rows
                for minute in range(
                    round((begins - start) / timedelta(minutes=1)),
                    round((ends - start) / timedelta(minutes=1)),
                )
            )

        covered = {m for batch in covers for begins, ends in batch for m in range(begins, ends)}
        expected = [m for begins, ends in gaps_of for m in range(begins, ends)]
        rows = Gap.objects.values_list("starts_at", "ends_at")
        assert minutes(rows.filter(closed_at=None)) == sorted(
            m for m in expected if m not in covered
        )
        assert minutes(rows.exclude(closed_at=None)) == sorted(m for m in expected if m in covered)


@pytest.mark.django_db(transaction=True)
def test_two_who_close_at_once_see_what_the_other_has_left():
    """The second waits, and then meets a gap that was split meanwhile."""
    stream = stream_of()
    gap(stream, 9, 1)

    def second():
        try:
            gaps.close([cover(stream, 4, 0)], by="the second")
        finally:
            connection.close()

    other = threading.Thread(target=second)
    with transaction.atomic():
        gaps.close([cover(stream, 7, 5)], by="the first")
        other.start()
        wait_until(lambda: sessions_waiting_for_locks() == 1, what="the second waits")
    other.join(60)

    assert not other.is_alive()
    assert spans() == [(9, 7), (5, 4)]
    by = dict(Gap.objects.exclude(closed_at=None).values_list("closed_by", "starts_at"))
    assert by == {"the first": at(7), "the second": at(4)}


@pytest.mark.django_db
class TestOwing:
    def test_what_was_asked_for_and_not_reached_is_a_gap(self):
        stream = stream_of(complete_since=at(10), watermark=NOW)

        gaps.record_unread(stream, at(30), reason="listing_cap")

        assert spans() == [(30, 10)]
        assert stream_of().complete_since == at(30)

    @pytest.mark.parametrize("since", [at(10), at(5)])
    def test_what_is_accounted_for_is_not_owed_again(self, since):
        stream = stream_of(complete_since=at(10), watermark=NOW)

        assert gaps.record_unread(stream, since, reason="listing_cap") is None
        assert spans() == []
        assert stream_of().complete_since == at(10)


def seen(items, oldest, newest):
    return Seen(items=items, oldest=at(oldest), newest=at(newest))


def walked(end, *, alone=False, **by_subreddit):
    walk = Walk(floor=None, end=end, alone=alone, by_subreddit=by_subreddit)
    if by_subreddit:
        walk.total.oldest = min(part.oldest for part in by_subreddit.values())
        walk.total.newest = max(part.newest for part in by_subreddit.values())
    return walk


@pytest.mark.django_db
class TestWhatAWalkCovers:
    def covers(self, walk, *names, watermark=None):
        streams = [stream_of(name, watermark=watermark) for name in names]
        return [(c.stream_id, c.starts_at, c.ends_at) for c in gaps.covers_of(streams, walk)]

    def test_as_far_as_it_went_but_for_its_last_second(self):
        walk = walked(End.OVERLAP, python=seen(20, 9, 1), django=seen(3, 5, 2))

        python, django = self.covers(walk, "python", "django")

        assert python[1:] == django[1:] == (at(9) + SECOND, at(1))

    def test_one_that_reddit_cut_off_only_as_far_as_it_was_listed(self):
        walk = walked(End.OVERLAP, python=seen(20, 9, 1), django=seen(1_000, 5, 2))

        python, django = self.covers(walk, "python", "django")

        assert django[1] == at(5) + SECOND
        assert python[1] == at(9) + SECOND

    def test_nothing_of_one_that_was_not_seen(self):
        """It may be private: several subreddits leave such a one out silently."""
        walk = walked(End.LISTING_END, python=seen(20, 9, 1))

        assert len(self.covers(walk, "python", "django", watermark=at(1))) == 1

    def test_alone_a_listings_end_is_the_beginning(self):
        walk = walked(End.LISTING_END, alone=True, python=seen(20, 9, 1))

        covers = self.covers(walk, "python")

        assert [c[1:] for c in covers] == [(BEGINNING, at(9)), (at(9), at(1))]

    def test_an_empty_listing_covers_up_to_the_watermark(self):
        covers = self.covers(walked(End.LISTING_END, alone=True), "python", watermark=at(3))

        assert [c[1:] for c in covers] == [(BEGINNING, at(3))]

    def test_a_full_listing_ends_where_reddit_cut_it_off(self):
        walk = walked(End.LISTING_END, alone=True, python=seen(1_000, 9, 1))

        assert [c[1:] for c in self.covers(walk, "python")] == [(at(9) + SECOND, at(1))]

    def test_one_that_led_back_to_itself_proves_nothing(self):
        assert self.covers(walked(End.BROKEN_LISTING, python=seen(20, 9, 1)), "python") == []

    def test_up_to_the_watermark_where_the_newest_item_is_gone(self):
        walk = walked(End.OVERLAP, python=seen(20, 9, 3))

        assert [c[1:] for c in self.covers(walk, "python", watermark=at(2))] == [
            (at(9) + SECOND, at(2))
        ]
