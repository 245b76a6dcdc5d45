"""Rates are learned from what arrived between two watermarks, whatever the hour and the pace of reading."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraping.coverage.rates import DEFAULT_PER_HOUR, HALF_HORIZON, HOURS, Rates, poll_by

NOON = datetime(2026, 1, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)

UNKNOWN = Rates.unknown("posts")


def evenly(start, end, per_hour):
    """Moments of items that come one after the other, the last at the end."""
    count = round((end - start) / HOUR * per_hour)
    return [end - number * (end - start) / max(1, count) for number in range(count)]


def flat(per_hour, learned_hours=72.0):
    return Rates(per_hour, (per_hour,) * HOURS, learned_hours)


def test_a_stream_that_was_never_read_has_the_default():
    assert UNKNOWN.at(3) == DEFAULT_PER_HOUR["posts"]
    assert UNKNOWN.expected(NOON, NOON + 2 * HOUR) == pytest.approx(2 * DEFAULT_PER_HOUR["posts"])


def test_a_first_big_read_tells_the_rate_and_no_burst():
    """A thousand items of the last ten days are a hundred a day, not a thousand since yesterday."""
    start = NOON - timedelta(days=10)

    rates = UNKNOWN.learn(evenly(start, NOON, 1000 / 240), start, NOON)

    assert rates.overall == pytest.approx(1000 / 240, rel=0.05)
    assert rates.expected(NOON, NOON + timedelta(days=1)) == pytest.approx(100, rel=0.05)


def test_what_was_years_ago_does_not_count():
    years_ago = NOON - timedelta(days=900)
    moments = [
        *evenly(NOON - timedelta(days=7), NOON, 2),
        *evenly(years_ago, years_ago + HOUR, 800),
    ]

    assert UNKNOWN.learn(moments, years_ago, NOON).overall == pytest.approx(2, rel=0.05)


def test_one_short_read_is_mostly_chance():
    rates = UNKNOWN.learn(evenly(NOON, NOON + MINUTE, 600), NOON, NOON + MINUTE)

    assert DEFAULT_PER_HOUR["posts"] < rates.overall < 100


@pytest.mark.parametrize("step", [MINUTE, 7 * MINUTE, HOUR, 5 * HOUR])
def test_the_pace_of_reading_does_not_matter(step):
    rates, moment = UNKNOWN, NOON
    end = NOON + timedelta(days=2)
    arrivals = evenly(NOON, end, 30)
    while moment < end:
        following = min(moment + step, end)
        seen = [arrival for arrival in arrivals if moment < arrival <= following]
        rates, moment = rates.learn(seen, moment, following), following

    assert rates.overall == pytest.approx(30, rel=0.1)
    assert rates.expected(NOON, NOON + 3 * HOUR) == pytest.approx(90, rel=0.1)


def test_what_lies_outside_the_span_is_not_counted_again():
    """A walk reads on below the watermark."""
    below = evenly(NOON - 3 * HOUR, NOON, 100)

    rates = flat(10).learn([*evenly(NOON, NOON + HOUR, 10), *below], NOON, NOON + HOUR)

    assert rates.overall == pytest.approx(10)


def test_days_and_nights_are_told_apart():
    rates = UNKNOWN
    start = NOON - timedelta(days=14)
    for hour in range(14 * 24):
        began = start + hour * HOUR
        busy = 8 <= began.hour < 20
        rates = rates.learn(evenly(began, began + HOUR, 100 if busy else 4), began, began + HOUR)

    assert rates.at(12) > 4 * rates.at(2)
    # The overall rate is of the last hours and has its part in what is expected of each.
    assert rates.by_hour[12] == pytest.approx(100, rel=0.05)
    assert rates.by_hour[2] == pytest.approx(4, rel=0.1)


def test_a_walk_over_several_hours_teaches_each_of_them():
    """Noon to three: a hundred in the first hour, none in the second, ten in the third."""
    moments = [*evenly(NOON, NOON + HOUR, 100), *evenly(NOON + 2 * HOUR, NOON + 3 * HOUR, 10)]
    moments = [moment - timedelta(seconds=1) for moment in moments]

    rates = flat(50).learn(moments, NOON, NOON + 3 * HOUR)

    assert rates.by_hour[12] > 50 > rates.by_hour[14] > rates.by_hour[13]
    assert rates.by_hour[15] == 50


def test_no_time_teaches_nothing():
    assert flat(5).learn([NOON], NOON, NOON) == flat(5)


@pytest.mark.parametrize("per_hour", [3, 50, 6_000])
def test_it_is_read_before_half_of_the_horizon_has_gone_by(per_hour):
    at = poll_by(flat(per_hour), NOON)

    assert at == pytest.approx(NOON + HOUR * (HALF_HORIZON / per_hour), abs=timedelta(seconds=1))


def test_a_stream_that_sleeps_at_night_lasts_longer():
    by_day = tuple(100.0 if 8 <= hour < 20 else 0.0 for hour in range(HOURS))
    rates = Rates(50.0, by_day, 72.0)

    in_the_morning = poll_by(rates, NOON.replace(hour=8)) - NOON.replace(hour=8)
    in_the_evening = poll_by(rates, NOON.replace(hour=20)) - NOON.replace(hour=20)

    assert in_the_evening > in_the_morning + 4 * HOUR


def test_a_quiet_stream_has_no_such_time():
    assert poll_by(flat(0.1), NOON) is None
    assert poll_by(flat(0.0), NOON) is None


@given(
    st.lists(st.floats(0, 5_000), min_size=24, max_size=24),
    st.floats(0, 72),
    st.floats(0.5, 2_000),
    st.integers(0, 86_399),
)
def test_when_a_number_is_reached_is_when_so_many_are_expected(by_hour, learned, items, second):
    rates = Rates(sum(by_hour) / HOURS, tuple(by_hour), learned)
    start = NOON + timedelta(seconds=second)

    at = rates.reaches(items, start)

    if at is None:
        assert rates.expected(start, start + timedelta(days=32)) < items * 1.1
    else:
        assert at >= start
        assert rates.expected(start, at) == pytest.approx(items, rel=0.01, abs=0.01)
