"""One budget for each app, whoever spends it: never exceeded, used up when there is work."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction

from bots.models import RedditApp
from scraping.budget import app_budget
from scraping.budget.app_budget import BudgetSpent, Lane
from scraping.models import RequestBudget
from scraping.reddit.transport import Answer, RateLimit
from tests.database import recorded_statements, writes
from tests.factories import RedditAppFactory
from tests.scraping.budgets import WINDOW, budget_of, later, take

pytestmark = pytest.mark.usefixtures("short_window")


def answer(*, used=1.0, remaining=19.0, reset=60.0, status=200, seconds=0.0, retry_after=None):
    rate = None if status == 429 else RateLimit(remaining, used, reset, time.monotonic() + reset)
    return Answer(status, seconds, rate, retry_after)


class TestPermits:
    def test_as_many_as_the_window_holds(self, app):
        taken, wait = take(app, 25)

        assert taken == 20
        assert 55 < wait <= WINDOW
        assert app.budget.usage.startswith("20 of 20 used")

    def test_a_new_window_holds_as_many_again(self, app):
        taken = take(app, 25)
        later(app, WINDOW)

        assert taken[0] == 19 + 1
        # Those that never came back may be counted in this window: over-count is safe.
        assert take(app, 25)[0] == 0
        later(app, WINDOW)
        assert take(app, 25)[0] == 20

    def test_answered_requests_are_not_carried_over(self, app):
        permits = budget_of(app)
        for number in range(20):
            permits.answered(
                permits.take(), answer(used=number + 1.0, remaining=19.0 - number, reset=60)
            )
        later(app, WINDOW + 1)

        assert take(app, 25)[0] == 20

    def test_each_app_has_its_own(self, app):
        take(app, 25)

        assert take(RedditAppFactory(requests_per_minute=3), 5)[0] == 3

    def test_a_permit_is_one_statement_and_takes_no_lock_along(self, app):
        permits = budget_of(app)
        permits.take()

        with recorded_statements() as statements:
            permits.answered(permits.take(), answer())

        assert len(statements) == 2
        assert len(writes(statement.replace("WITH", "UPDATE", 1) for statement in statements)) == 2

    @pytest.mark.django_db(transaction=True)
    def test_none_is_given_inside_a_transaction(self):
        permits = budget_of(RedditAppFactory())

        with pytest.raises(RuntimeError, match="inside a transaction"), transaction.atomic():
            permits.take()

    def test_a_change_of_the_limit_holds_at_once(self, app):
        take(app, 20)
        RedditApp.objects.filter(pk=app.pk).update(requests_per_minute=22)

        assert take(app, 5)[0] == 2

    def test_a_deleted_app_has_none(self, app):
        permits = budget_of(app)
        RedditApp.objects.all().delete()

        with pytest.raises(BudgetSpent, match="deleted"):
            permits.take()

    @pytest.mark.django_db(transaction=True)
    def test_many_at_once_never_get_more(self):
        app = RedditAppFactory(requests_per_minute=20)
        start = threading.Barrier(8)

        def worker(_):
            try:
                start.wait(20)
                return take(app, 10)[0]
            finally:
                connection.close()

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(worker, range(8))) == 20


class TestLanes:
    def test_each_lane_leaves_something_for_those_above(self, app):
        taken = {}
        for lane in reversed(Lane):
            taken[lane], _ = take(app, 25, lane)

        assert list(taken.values()) == [8, 4, 3, 3, 2]

    def test_a_higher_lane_needs_nothing_of_the_lower(self, app):
        assert take(app, 25)[0] == 20
        assert take(app, 25, Lane.BACKFILL)[0] == 0

    def test_what_is_held_back_is_released_as_the_window_runs_out(self, app):
        assert take(app, 25, Lane.BACKFILL)[0] == 8
        later(app, WINDOW / 2)
        half, wait = take(app, 25, Lane.BACKFILL)
        later(app, wait + 0.01)
        assert take(app, 25, Lane.BACKFILL)[0] == 1, "the wait says when the next one is free"
        later(app, WINDOW * 0.46 - wait)
        rest = take(app, 25, Lane.BACKFILL)[0]

        assert half in (6, 7)
        assert 8 + half + 1 + rest == 20


class TestAnswers:
    def first(self, app, **values):
        permits = budget_of(app)
        permits.answered(permits.take(), answer(**values))
        return RequestBudget.objects.get(pk=app.pk)

    def test_others_use_of_the_client_id_counts(self, app):
        self.first(app, used=15.0, remaining=5.0)

        assert take(app, 25)[0] == 5

    def test_a_lower_limit_of_reddits_holds(self, app):
        self.first(app, used=1.0, remaining=9.0)

        assert take(app, 25)[0] == 9

    def test_a_higher_limit_of_reddits_is_not_ours(self, app):
        self.first(app, used=1.0, remaining=99.0)

        assert take(app, 25)[0] == 19

    def test_the_windows_end_is_reddits(self, app):
        take(app, 19)
        self.first(app, used=20.0, remaining=0.0, reset=7.0)

        _, wait = take(app, 1)
        assert 6 < wait <= 7

    def test_answers_narrow_the_end_down_and_never_move_it_back(self, app):
        self.first(app, reset=30.0)
        row = self.first(app, reset=28.0, used=2.0)
        again = self.first(app, reset=30.0, used=3.0)

        assert row.ends_at == again.ends_at
        assert row.window_number == again.window_number

    def test_reddits_next_window_begins_ours(self, app):
        """Ours ends up to a second late: what was sent meanwhile counts in the next one."""
        permits = budget_of(app)
        permits.answered(permits.take(), answer(reset=1.0))
        late = [permits.take() for _ in range(4)]
        permits.answered(late[0], answer(used=1.0, remaining=19.0, reset=60.0))

        row = RequestBudget.objects.get(pk=app.pk)
        assert row.window_number == late[0].window + 1
        assert row.used == 1 + 3, "the three that are under way count in it"
        assert take(app, 25)[0] == 16

    def test_an_answer_of_an_earlier_window_changes_nothing(self, app):
        permits = budget_of(app)
        old = permits.take()
        later(app, WINDOW)
        permits.answered(permits.take(), answer(reset=50.0))
        before = RequestBudget.objects.values().get()
        permits.answered(old, answer(used=20.0, remaining=0.0, reset=1.0))

        assert RequestBudget.objects.values().get() == before

    @pytest.mark.parametrize(
        ("values", "seconds"),
        [({"retry_after": 25.0}, 25), ({}, 10), ({"retry_after": 1e12}, 3600)],
    )
    def test_retry_after_stops_the_whole_app(self, app, values, seconds):
        self.first(app, status=429, **values)

        taken, wait = take(app, 1)
        assert taken == 0
        assert seconds - 2 < wait <= seconds
        assert "paused" in RequestBudget.objects.get(pk=app.pk).pause
        later(app, seconds)
        assert take(app, 1)[0] == 1

    def test_no_header_can_break_the_row(self, app):
        self.first(app, used=1e15, remaining=-0.0, reset=1e9)

        assert take(app, 1)[0] == 0

    def test_a_worker_that_dies_has_wasted_a_permit_and_no_more(self, app):
        budget_of(app).take()

        assert take(app, 25)[0] == 19


class TestWaits:
    def test_a_short_wait_is_waited(self, app):
        naps = []

        def sleep(seconds):
            naps.append(seconds)
            later(app, WINDOW)

        take(app, 20)
        assert budget_of(app, longest_wait=WINDOW + 5, sleep=sleep).take()
        assert set(naps) == {app_budget.LONGEST_NAP}

    def test_who_waits_is_told_and_forgotten(self, app):
        take(app, 20)
        for name in ("My bot", "Other bot"):
            with pytest.raises(BudgetSpent, match="Run the bot less often"):
                budget_of(app, Lane.BACKFILL, name=name).take()

        waiters = RequestBudget.objects.get().waiters
        # In the order in which their waits end, which are all but the same.
        assert {waiter.rpartition(" until ")[0] for waiter in waiters} == {
            "My bot (backfill)",
            "Other bot (backfill)",
        }
        later(app, WINDOW)
        later(app, WINDOW)
        budget_of(app, name="My bot", longest_wait=0)._ask()
        assert set(RequestBudget.objects.get().waiting) == {"My bot", "Other bot"}
        later(app, WINDOW)
        budget_of(app, name="My bot").take()
        assert list(RequestBudget.objects.get().waiting) == ["Other bot"]
