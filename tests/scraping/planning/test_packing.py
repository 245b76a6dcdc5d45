"""Due streams share as few walks as the caps allow, and none drags another one down."""

from datetime import UTC, datetime, timedelta
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraping.coverage.rates import HALF_HORIZON, HOURS
from scraping.coverage.walk import GRACE
from scraping.models import Stream, Subreddit
from scraping.planning.packing import Due, compile_packs, pages
from scraping.reddit.client import MAX_MERGED_CHARACTERS, MAX_MERGED_NAMES

NOW = datetime(2026, 1, 20, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def stream(name, *, per_hour=1.0, read=5 * MINUTE, watermark=None):
    """A stream that was read so long ago; its newest item was as old as its watermark says."""
    watermark = watermark or read
    return Stream(
        subreddit=Subreddit(name=name),
        kind="posts",
        watermark=NOW - watermark,
        last_fetch_at=NOW - read,
        arrivals_per_hour=per_hour,
        arrivals_by_hour=[per_hour] * HOURS,
        learned_hours=72,
    )


def packs(*streams, riders=()):
    dues = [*map(Due, streams), *(Due(rider, rider=True) for rider in riders)]
    return [{due.name for due in pack} for pack in compile_packs(dues, NOW)]


def test_quiet_streams_share_one_walk():
    assert packs(*(stream(f"quiet{number}") for number in range(100))) == [
        {f"quiet{number}" for number in range(100)}
    ]


def test_a_walk_stays_within_half_the_horizon():
    streams = [stream(f"busy{number}", per_hour=2_400) for number in range(5)]

    # 2,400 an hour are 240 in six minutes, of which two fit.
    assert sorted(map(len, packs(*streams))) == [1, 2, 2]


def test_a_stream_that_is_too_busy_for_any_walk_has_one_of_its_own():
    found = packs(stream("flood", per_hour=60_000), stream("quiet"))

    assert {frozenset(pack) for pack in found} == {frozenset({"flood"}), frozenset({"quiet"})}


def test_one_that_lags_behind_does_not_drag_a_busy_one_down():
    busy = [stream(f"busy{number}", per_hour=600) for number in range(3)]
    found = packs(*busy, stream("late", per_hour=60, read=3 * HOUR))

    assert {"late"} in found
    assert {"busy0", "busy1", "busy2"} in found


def test_but_among_quiet_ones_it_does_no_harm():
    quiet = [stream(f"quiet{number}", per_hour=0.5) for number in range(9)]

    assert len(packs(*quiet, stream("late", per_hour=0.5, read=3 * HOUR))) == 1


def test_streams_without_a_watermark_stay_apart_and_few():
    known = [stream("a1"), stream("b2")]
    new = [Stream(subreddit=Subreddit(name=f"new{number}"), kind="posts") for number in range(25)]

    found = packs(*known, *new)

    assert found[0] == {"a1", "b2"}
    assert sorted(map(len, found[1:])) == [5, 10, 10]


def test_those_that_were_found_empty_share_a_walk():
    empty = [
        Stream(subreddit=Subreddit(name=f"e{number}"), kind="posts", last_fetch_at=NOW - HOUR)
        for number in range(100)
    ]

    assert len(packs(*empty)) == 1


def test_riders_never_open_a_walk():
    assert packs(stream("a1"), riders=[stream("b2")]) == [{"a1", "b2"}]
    assert packs(stream("a1", per_hour=4_900), riders=[stream("b2", per_hour=4_900)]) == [{"a1"}]
    assert packs(riders=[stream("b2")]) == []


def test_a_rider_that_would_cost_more_than_by_itself_stays():
    busy = stream("busy", per_hour=1_000)

    assert packs(busy, riders=[stream("late", read=4 * HOUR)]) == [{"busy"}]


def test_a_stream_that_has_been_quiet_for_long_is_told_by_its_watermark():
    """It was read with others lately, but a walk over it must find its old items."""
    quiet = stream("quiet", per_hour=0.1, watermark=9 * HOUR)

    assert len(packs(stream("busy", per_hour=1_000), quiet)) == 2


def test_pages_are_never_less_than_one():
    assert pages(0) == pages(40) == 1
    assert pages(250) == pytest.approx(3.03)


NAMES = st.text(st.sampled_from("abcdefghij_"), min_size=2, max_size=21)


@given(
    st.lists(
        st.tuples(NAMES, st.floats(0, 20_000), st.integers(1, 600), st.booleans()),
        max_size=250,
        unique_by=lambda drawn: drawn[0],
    )
)
def test_every_due_stream_stands_in_one_pack_and_caps_are_kept(drawn):
    dues = [
        Due(stream(name, per_hour=rate, read=minutes * MINUTE), rider=rider)
        for name, rate, minutes, rider in drawn
    ]

    found = compile_packs(dues, NOW)

    named = [due.name for pack in found for due in pack]
    assert len(named) == len(set(named))
    assert {due.name for due in dues if not due.rider} <= set(named)
    for pack in found:
        assert len(pack) <= MAX_MERGED_NAMES
        assert len("+".join(due.name for due in pack)) <= MAX_MERGED_CHARACTERS
        assert not all(due.rider for due in pack)
        depth = max(NOW - due.stream.watermark for due in pack) + GRACE
        load = sum(due.stream.arrivals_per_hour for due in pack) * depth / HOUR
        assert len(pack) == 1 or load <= HALF_HORIZON * 1.01


@given(st.lists(st.tuples(NAMES, st.floats(0, 20_000)), max_size=250, unique_by=lambda one: one[0]))
def test_streams_that_were_read_together_need_few_packs(drawn):
    """Any two packs could not be one: by names, characters or items together they are over a cap."""
    dues = [Due(stream(name, per_hour=rate)) for name, rate in drawn]

    found = compile_packs(dues, NOW)

    items = [rate * (5 * MINUTE + GRACE) / HOUR for _, rate in drawn]
    use = (
        len(drawn) / MAX_MERGED_NAMES
        + sum(len(name) + 1 for name, _ in drawn) / MAX_MERGED_CHARACTERS
        + sum(items) / HALF_HORIZON
    )
    assert len(found) <= ceil(2 * use) + 1
