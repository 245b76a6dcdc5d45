"""Slots: pure arithmetic, right on the odd days of the year."""

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.beat.slots import (
    MOST_CAUGHT_UP,
    Crontab,
    Interval,
    Moment,
    Rule,
    anchor_of,
    due,
    expiry,
    jitter_of,
    next_fire,
)

NEW_YORK, BERLIN = ZoneInfo("America/New_York"), ZoneInfo("Europe/Berlin")
LORD_HOWE, KATHMANDU = ZoneInfo("Australia/Lord_Howe"), ZoneInfo("Asia/Kathmandu")
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def crontab(expression, zone=UTC):
    minute, hour, day_of_month, month_of_year, day_of_week = expression.split()
    return Crontab.parse(
        minute=minute,
        hour=hour,
        day_of_month=day_of_month,
        month_of_year=month_of_year,
        day_of_week=day_of_week,
        zone=ZoneInfo("UTC") if zone is UTC else zone,
    )


def upcoming(timing, after):
    while (after := timing.next_after(after)) is not None:
        yield after


def local_times(timing, day, zone, count):
    """The first slots from a local midnight on, as people there read them."""
    midnight = datetime.fromisoformat(day).replace(tzinfo=zone)
    slots = islice(upcoming(timing, midnight - timedelta(microseconds=1)), count)
    return [f"{slot.astimezone(zone):%d %H:%M %z}" for slot in slots]


@pytest.mark.parametrize(
    ("zone", "day", "expected"),
    [
        (NEW_YORK, "2026-03-08", ["08 03:00 -0400", "09 02:30 -0400"]),
        (BERLIN, "2026-03-29", ["29 03:00 +0200", "30 02:30 +0200"]),
        (LORD_HOWE, "2026-10-04", ["04 02:30 +1100", "05 02:30 +1100"]),
        (KATHMANDU, "2026-03-29", ["29 02:30 +0545", "30 02:30 +0545"]),
    ],
)
def test_a_time_in_the_gap_of_spring_runs_once_when_it_is_over(zone, day, expected):
    assert local_times(crontab("30 2 * * *", zone), day, zone, 2) == expected


def test_all_times_in_a_gap_are_one_run():
    timing = crontab("*/10 2 * * *", NEW_YORK)
    assert local_times(timing, "2026-03-08", NEW_YORK, 2) == ["08 03:00 -0400", "09 02:00 -0400"]


@pytest.mark.parametrize(
    ("zone", "day", "time", "expected"),
    [
        (NEW_YORK, "2026-11-01", "30 1", ["01 01:30 -0400", "02 01:30 -0500"]),
        (BERLIN, "2026-10-25", "30 2", ["25 02:30 +0200", "26 02:30 +0100"]),
        (LORD_HOWE, "2026-04-05", "45 1", ["05 01:45 +1100", "06 01:45 +1030"]),
    ],
)
def test_a_time_that_autumn_brings_twice_runs_the_first_time(zone, day, time, expected):
    assert local_times(crontab(f"{time} * * *", zone), day, zone, 2) == expected


@pytest.mark.parametrize("zone", [NEW_YORK, BERLIN, LORD_HOWE, KATHMANDU])
def test_every_quarter_of_an_hour_has_no_other_gap_in_the_whole_year(zone):
    """Stock: 75 minutes in New York when the hour comes twice."""
    slots = list(islice(upcoming(crontab("*/15 * * * *", zone), NOON), 366 * 96))
    assert {after - before for before, after in pairwise(slots)} == {15 * MINUTE}


@pytest.mark.parametrize("zone", [NEW_YORK, BERLIN, LORD_HOWE, KATHMANDU])
def test_a_daily_time_runs_once_on_each_date_of_the_year(zone):
    slots = list(islice(upcoming(crontab("30 2 * * *", zone), NOON), 366))
    dates = [slot.astimezone(zone).date() for slot in slots]
    assert {after - before for before, after in pairwise(dates)} == {DAY}


@pytest.mark.parametrize("zone", [ZoneInfo("Africa/Cairo"), ZoneInfo("Asia/Beirut")])
def test_a_clock_that_changes_at_midnight_leaves_every_hour_one_run(zone):
    slots = list(islice(upcoming(crontab("30 * * * *", zone), NOON), 366 * 24))
    assert {after - before for before, after in pairwise(slots)} == {HOUR}
    for hour in (0, 23):
        slots = list(islice(upcoming(crontab(f"30 {hour} * * *", zone), NOON), 366))
        dates = [slot.astimezone(zone).date() for slot in slots]
        assert {after - before for before, after in pairwise(dates)} == {DAY}


def test_a_date_that_a_zone_left_out_runs_when_the_next_begins():
    apia = ZoneInfo("Pacific/Apia")
    assert local_times(crontab("0 12 * * *", apia), "2011-12-29", apia, 3) == [
        "29 12:00 -1000",
        "31 00:00 +1400",
        "31 12:00 +1400",
    ]


def test_a_day_must_fit_all_three_fields():
    friday_the_13th = crontab("0 9 13 * fri")
    assert friday_the_13th.next_after(datetime(2026, 3, 13, 9, tzinfo=UTC)).isoformat() == (
        "2026-11-13T09:00:00+00:00"
    )
    assert crontab("0 0 29 2 sun").next_after(datetime(2088, 3, 1, tzinfo=UTC)).year == 2128


@pytest.mark.parametrize("expression", ["0 0 31 2 *", "61 * * * *", "* * 0 * *", "x * * * *"])
def test_a_crontab_that_never_matches_is_an_error(expression):
    with pytest.raises(ValueError, match=r"."):
        crontab(expression)


EXPRESSIONS = st.builds(
    "{} {} {} {} {}".format,
    st.sampled_from(["*", "0", "30", "*/15", "5,35", "59"]),
    st.sampled_from(["*", "0", "1", "2", "1-3", "*/6", "23"]),
    st.sampled_from(["*", "1", "29", "1-7", "31"]),
    st.sampled_from(["*", "*/3", "3", "10,11"]),
    st.sampled_from(["*", "0", "mon-fri", "6"]),
)


@settings(max_examples=300, deadline=None)
@given(
    EXPRESSIONS,
    st.sampled_from([NEW_YORK, BERLIN, LORD_HOWE, KATHMANDU]),
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)),
)
def test_next_and_latest_are_two_views_of_the_same_slots(expression, zone, moment):
    try:
        timing = crontab(expression, zone)
    except ValueError:
        return
    slot = timing.next_after(moment)
    assert slot > moment
    assert timing.next_after(slot - timedelta(microseconds=1)) == slot
    assert timing.latest(moment, slot) == slot
    assert timing.latest(moment, slot - timedelta(microseconds=1)) is None
    following = timing.next_after(slot)
    assert timing.latest(moment, following - timedelta(microseconds=1)) == slot


@settings(max_examples=300, deadline=None)
@given(
    EXPRESSIONS, st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))
)
def test_without_clock_changes_it_agrees_with_celery(expression, moment):
    try:
        timing = crontab(expression)
    except ValueError:
        return
    from celery.schedules import crontab as stock

    minute, hour, day_of_month, month_of_year, day_of_week = expression.split()
    theirs = stock(minute, hour, day_of_week, day_of_month, month_of_year, nowfun=lambda: moment)
    theirs.tz = UTC
    assert timing.next_after(moment) == moment + theirs.remaining_estimate(moment)


def test_an_interval_keeps_step():
    timing = Interval(90 * MINUTE)
    assert timing.next_after(NOON) == NOON + 90 * MINUTE
    assert timing.latest(NOON, NOON + 10 * HOUR) == NOON + 9 * HOUR
    assert timing.latest(NOON, NOON + 89 * MINUTE) is None
    with pytest.raises(ValueError, match="not above zero"):
        Interval(timedelta(0))


def test_a_moment_has_one_slot():
    timing = Moment(NOON)
    assert timing.next_after(NOON - DAY) == NOON
    assert timing.next_after(NOON) is None
    assert timing.latest(NOON - DAY, NOON) == NOON
    assert timing.latest(NOON, NOON + DAY) is None


def slots_due(rule, *, missed_for, every=HOUR, jitter=timedelta(0)):
    found = due(Interval(every), NOON, NOON + missed_for, rule, jitter)
    return found and [(slot - NOON) // every for slot in found.slots]


def test_many_missed_are_one_run_the_newest():
    assert slots_due(Rule(), missed_for=5.5 * HOUR) == [5]


def test_each_missed_one_runs_when_told_so_within_bounds():
    assert slots_due(Rule(coalesce=False), missed_for=5.5 * HOUR) == [1, 2, 3, 4, 5]
    many = slots_due(Rule(coalesce=False), missed_for=10_000 * HOUR)
    assert many == list(range(10_001 - MOST_CAUGHT_UP, 10_001))


def test_what_is_later_than_its_grace_is_skipped():
    assert slots_due(Rule(misfire_grace_seconds=60), missed_for=HOUR + MINUTE) == [1]
    assert slots_due(Rule(misfire_grace_seconds=60), missed_for=HOUR + 1.1 * MINUTE) == []
    assert slots_due(Rule(misfire_grace_seconds=5400, coalesce=False), missed_for=5.2 * HOUR) == [
        4,
        5,
    ]


def test_a_grace_of_nothing_forgives_the_moment_that_a_tick_takes():
    rule = Rule(misfire_grace_seconds=0)
    assert slots_due(rule, missed_for=HOUR + timedelta(milliseconds=900)) == [1]
    assert slots_due(rule, missed_for=HOUR + timedelta(seconds=2)) == []


def test_jitter_delays_a_slot_and_is_no_lateness():
    rule = Rule(misfire_grace_seconds=1)
    assert slots_due(rule, missed_for=HOUR + 5 * MINUTE, jitter=5 * MINUTE) == [1]
    assert slots_due(rule, missed_for=HOUR + 4 * MINUTE, jitter=5 * MINUTE) is None
    assert next_fire(Interval(HOUR), NOON, 5 * MINUTE) == NOON + HOUR + 5 * MINUTE


def test_jitter_is_stable_bounded_and_spreads():
    offsets = [jitter_of(f"bot:{number}", 3600).total_seconds() for number in range(1000)]
    assert offsets == [jitter_of(f"bot:{number}", 3600).total_seconds() for number in range(1000)]
    assert 0 <= min(offsets) < 60
    assert 3540 < max(offsets) <= 3600
    tenths = [sum(offset // 360 == tenth for offset in offsets) for tenth in range(10)]
    assert min(tenths) > 60


def test_a_start_in_the_past_does_not_fire_a_crontab():
    daily = crontab("0 9 * * *")
    anchor = anchor_of(daily, last_run_at=None, start_time=NOON - 30 * DAY, known_since=NOON)
    assert daily.next_after(anchor) == NOON + 21 * HOUR


def test_a_start_in_the_future_is_the_first_slot_of_an_interval():
    start = NOON + 100 * MINUTE
    for last in (None, NOON):
        anchor = anchor_of(Interval(HOUR), last_run_at=last, start_time=start, known_since=NOON)
        assert Interval(HOUR).next_after(anchor) == start


def test_a_start_that_matches_its_crontab_is_a_slot():
    start = NOON + 21 * HOUR
    daily = crontab("0 9 * * *")
    anchor = anchor_of(daily, last_run_at=None, start_time=start, known_since=NOON)
    assert daily.next_after(anchor) == start


def test_no_run_outlives_its_interval():
    hourly, slot = Interval(HOUR), NOON
    assert expiry(hourly, slot, NOON, expire_seconds=None, expires=None) == NOON + HOUR
    assert expiry(hourly, slot, NOON, expire_seconds=60, expires=None) == NOON + MINUTE
    assert expiry(hourly, slot, NOON, expire_seconds=86_400, expires=None) == NOON + HOUR
    assert expiry(hourly, slot, NOON, expire_seconds=None, expires=NOON + MINUTE) == NOON + MINUTE
    assert expiry(Moment(NOON), NOON, NOON, expire_seconds=None, expires=None) is None
