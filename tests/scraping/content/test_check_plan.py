"""Each item has a time of its next check: young ones soon, old ones seldom, none beyond the promise."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraping.content import check_plan
from scraping.models import ItemCheck
from scraping.verifying import recheck
from tests.factories import PostData, RedditAppFactory
from tests.scraping.world import HOUR

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


class TestTheSchedule:
    CREATED = datetime(2026, 1, 1, tzinfo=UTC)

    def times(self, checked=timedelta(0), count=8):
        """Ages in hours at which an item is checked, each with whether it is a refresh."""
        found = []
        for _ in range(count):
            due, is_refresh = check_plan.next_check(self.CREATED, self.CREATED + checked)
            checked = due - self.CREATED
            found.append((checked / HOUR, is_refresh))
        return found

    def test_refreshes_at_an_hour_and_a_day_and_a_half_serve_both(self):
        assert self.times() == [
            (1, True), (4, False), (8, False), (16, False), (36, True), (72, False), (114, False),
            (156, False),
        ]  # fmt: skip

    def test_an_item_seen_just_before_such_an_age_is_not_asked_about_twice(self):
        assert self.times(timedelta(minutes=57), 1) == [(3.95, False)]

    def test_ages_are_the_operators(self, settings):
        settings.REFRESH_AGES_HOURS = [2, 24 * 7]
        first, last = (age for age, is_refresh in self.times(count=12) if is_refresh)
        assert first == 2
        assert 24 * 7 * 0.9 <= last <= 24 * 7
        settings.REFRESH_AGES_HOURS = []
        assert not any(is_refresh for _, is_refresh in self.times())

    @given(
        age=st.timedeltas(min_value=timedelta(minutes=-5), max_value=timedelta(days=4000)),
        ages=st.lists(st.floats(0.1, 2160), max_size=4),
        within=st.integers(6, 2160),
    )
    def test_no_item_is_planned_beyond_the_promise(self, age, ages, within):
        from django.test import override_settings

        with override_settings(REFRESH_AGES_HOURS=sorted(set(ages)), VERIFY_WITHIN_HOURS=within):
            checked = self.CREATED + age
            due, _ = check_plan.next_check(self.CREATED, checked)
        assert checked < due <= checked + timedelta(hours=within)


class TestThePromise:
    """Thousands of items of all ages, their own clock, and the real client."""

    ITEMS = 3_000

    @pytest.fixture
    def answers(self, monkeypatch):
        """Every item stands. (That real answers are understood is shown elsewhere.)"""
        asked = []

        class Everything:
            requests, waited = 0, 0.0

            def begin(self, permits):
                pass

            def info(self, *, fullnames):
                asked.append(list(fullnames))
                from scraping.reddit.client import Page

                make = lambda name: PostData(id=name[3:], name=name, number=1)  # noqa: E731
                return Page([{"kind": "t3", "data": make(name)} for name in fullnames], None)

        from contextlib import contextmanager

        @contextmanager
        def client_for(app, *, permits):
            yield Everything()

        monkeypatch.setattr(recheck, "client_for", client_for)
        RedditAppFactory()
        return asked

    def fill(self, now):
        """Half of them of the last three days, the others of years, verified over the last days."""
        half = self.ITEMS // 2
        ages = {f"t3_{n:06d}": timedelta(hours=72 * n / half) for n in range(half)}
        created = {name: now - age for name, age in ages.items()}
        check_plan.enrol([(name, None, at, now) for name, at in created.items()])
        for hours in range(40):
            created = {
                f"t3_{n:06d}": now - timedelta(days=3 + n)
                for n in range(half, self.ITEMS)
                if n % 40 == hours
            }
            told = now - hours * HOUR
            check_plan.enrol([(name, None, at, told) for name, at in created.items()])

    def run(self, answers, *, days, per_run, every=timedelta(minutes=30)):
        """Let the sweep run on schedule; return the largest age of a verification after two days."""
        now = start = datetime(2026, 1, 20, 12, tzinfo=UTC)
        self.fill(now)
        worst = timedelta(0)
        while now < start + timedelta(days=days):
            now += every
            recheck.check_items(clock=lambda moment=now: moment, requests=per_run)
            oldest = ItemCheck.objects.order_by("checked_at").values_list("checked_at", flat=True)
            worst = max(worst, now - oldest[0])
        return worst

    @pytest.fixture(autouse=True)
    def light(self, monkeypatch):
        """What is stored is not the matter here, and would take its time."""
        monkeypatch.setattr(recheck.Recheck, "_store", self.store)

    @staticmethod
    def store(sweep, batch, answer, missing, now):
        assert not missing
        check_plan.record_checked(batch, now=now)

    def test_every_item_is_verified_within_48_hours(self, answers):
        assert self.run(answers, days=6, per_run=300) <= timedelta(hours=48)
        # Old ones seldom: an item of years is asked about each 42 hours.
        times = [batch for batch in answers for name in batch if name == "t3_002999"]
        assert len(times) <= 4

    def test_also_with_little_more_than_what_that_takes(self, answers):
        # 3,000 items, each within 42 hours, are 18 requests a day; young ones need some more.
        assert self.run(answers, days=5, per_run=1, every=timedelta(minutes=45)) <= 48 * HOUR

    def test_with_too_little_the_longest_overdue_come_first_and_the_gauge_tells(self, answers):
        worst = self.run(answers, days=5, per_run=1, every=timedelta(hours=2))
        assert worst > 48 * HOUR
        # A queue: none is passed over for ever. 12 requests a day bring each item its turn.
        assert worst < timedelta(days=self.ITEMS / 100 / 12 * 2 + 1)
