"""One budget for each app, whoever spends it: never exceeded, used up when there is work."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction

from bots import refusals
from bots.models import BotConfig, RedditApp
from scraping import budget, clients, services
from scraping.budget import AppBudget, BudgetSpent, Lane
from scraping.models import RequestBudget, ScrapeSession
from scraping.reddit.transport import Answer, RateLimit
from scraping.simulator.server import SimulatorServer
from tests.database import recorded_statements, writes
from tests.factories import BotFactory, RedditAppFactory

WINDOW = 60


@pytest.fixture(autouse=True)
def short_window(settings):
    """60 s, so that an app's requests per minute are those of a window."""
    settings.REDDIT_BUDGET_WINDOW_SECONDS = WINDOW


@pytest.fixture
def app(db):
    return RedditAppFactory(requests_per_minute=20)


def budget_of(app, lane=Lane.FRESH, *, longest_wait=0, name="a bot", **options):
    return AppBudget(app, lane=lane, name=name, longest_wait=longest_wait, **options)


def take(app, count, lane=Lane.FRESH):
    """How many of so many permits are granted without a wait, and the wait for the next one."""
    permits = budget_of(app, lane)
    for taken in range(count):
        try:
            permits.take()
        except BudgetSpent as spent:
            return taken, spent.retry_after
    return count, 0


def answer(*, used=1.0, remaining=19.0, reset=60.0, status=200, seconds=0.0, retry_after=None):
    rate = None if status == 429 else RateLimit(remaining, used, reset, time.monotonic() + reset)
    return Answer(status, seconds, rate, retry_after)


def later(app, seconds):
    """Let time pass, by moving the row's moments back."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE scraping_requestbudget SET starts_at = starts_at - make_interval(secs => %s), "
            "ends_at = ends_at - make_interval(secs => %s), "
            "paused_until = paused_until - make_interval(secs => %s) WHERE app_id = %s",
            [seconds, seconds, seconds, app.pk],
        )


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
        assert set(naps) == {budget.LONGEST_NAP}

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


@pytest.fixture
def simulator():
    with SimulatorServer(
        control=True,
        budget=20,
        window=float(WINDOW),
        subreddits=4,
        history_hours=2.0,
        clients=("known:right",),
    ) as server:
        yield server


@pytest.fixture
def bot(db, simulator, settings):
    settings.SIMULATOR_URL = simulator.url
    settings.REDDIT_BUDGET_WAIT_SECONDS = 0
    return BotFactory(
        reddit_app=RedditAppFactory(
            client_id="known", client_secret="right", requests_per_minute=20
        ),
        subreddits=["python"],
    )


def requests_seen(simulator):
    """Counts of the requests that the simulator saw, by kind and status."""
    clients_seen = simulator.control("requests")["clients"].get("known", {})
    return {
        (kind, status): number
        for kind, statuses in clients_seen.items()
        for status, number in statuses.items()
    }


def run(bot, trigger="manual", **options):
    """By hand, so that what was read a moment ago is read again."""
    return services.scrape_bot(bot.pk, trigger=trigger, **options)


class TestSessions:
    def test_each_request_takes_a_permit_and_a_token_none(self, bot, simulator):
        session = run(bot)

        seen = requests_seen(simulator)
        row = RequestBudget.objects.get()
        tokens = sum(number for (kind, _), number in seen.items() if "token" in kind)
        assert tokens == 1
        assert row.used == row.answered == sum(seen.values()) - tokens
        assert session.requests == sum(seen.values())

    def test_a_token_serves_the_sessions_that_follow(self, bot, simulator):
        first, second = run(bot), run(bot)

        tokens = [n for (kind, _), n in requests_seen(simulator).items() if "token" in kind]
        assert tokens == [1]
        assert second.requests < first.requests

    def test_a_changed_secret_is_another_client(self, bot):
        run(bot)
        app = bot.reddit_app
        app.client_secret = "wrong"
        app.save()

        assert run(bot).status == ScrapeSession.Status.FAILED

    def test_without_budget_a_session_ends_truthfully_and_is_followed_by_another(self, bot):
        take(bot.reddit_app, 20)

        session = run(bot)
        other = run(bot)

        assert session.status == ScrapeSession.Status.FAILED
        assert {o["outcome"] for o in session.outcomes.values()} == {"throttled"}
        assert session.requests <= 1
        assert 0 < (session.continues_at - session.ended_at).total_seconds() <= WINDOW
        assert other.continues_at is None, "one follower is enough"

    def test_the_follower_is_a_run_of_its_own(self, bot, monkeypatch):
        from scraping import tasks

        asked = []
        monkeypatch.setattr(
            tasks.scrape_bot, "apply_async", lambda **options: asked.append(options)
        )
        take(bot.reddit_app, 20)

        tasks.scrape_bot(bot.pk)

        session = ScrapeSession.objects.get()
        assert asked == [
            {"kwargs": {"bot_id": bot.pk, "trigger": "schedule"}, "eta": session.continues_at}
        ]

    def test_waits_are_accounted_to_the_session(self, bot, settings):
        settings.REDDIT_BUDGET_WAIT_SECONDS = 30
        take(bot.reddit_app, 20)
        RequestBudget.objects.update(answered=20)
        later(bot.reddit_app, WINDOW - 2)

        session = run(bot, trigger="schedule")
        session.refresh_from_db()

        assert 0.1 < session.wait_seconds < 20
        assert session.status == ScrapeSession.Status.COMPLETED

    def test_a_request_without_an_answer_is_not_under_way_for_ever(self, bot, simulator):
        simulator.control("faults", {"kind": "reset", "path": "/r/", "times": 1})

        run(bot)

        row = RequestBudget.objects.get()
        assert row.granted == row.answered > 1

    def test_a_429_pauses_and_the_request_is_made_again(self, bot, simulator, settings):
        settings.REDDIT_BUDGET_WAIT_SECONDS = 30
        simulator.control(
            "faults",
            {"kind": "status", "status": 429, "times": 1, "path": "/r/", "retry_after": 1},
        )

        session = run(bot)

        assert session.status == ScrapeSession.Status.COMPLETED
        assert session.wait_seconds > 0.5
        assert sum(n for (_, status), n in requests_seen(simulator).items() if status == "429") == 1


class TestRefusedCredentials:
    @pytest.fixture
    def refused(self, bot):
        bot.reddit_app.client_secret = "wrong"
        bot.reddit_app.save()
        return bot

    def test_one_message_and_no_storm(self, refused, simulator, caplog):
        bots = [refused, *BotFactory.create_batch(3, reddit_app=refused.reddit_app)]
        first = run(refused)
        before = sum(requests_seen(simulator).values())
        skipped = []
        for bot in bots:
            with pytest.raises(services.SessionSkipped, match="Correct its credentials") as skip:
                run(bot)
            skipped.append(skip)

        assert first.status == ScrapeSession.Status.FAILED
        assert sum(requests_seen(simulator).values()) == before
        assert len([r for r in caplog.records if "refuses the app" in r.message]) == 1
        assert ScrapeSession.objects.count() == 1

    @pytest.mark.parametrize("door", ["credentials", "action", "time"])
    def test_the_bots_run_again(self, refused, simulator, door):
        run(refused)
        app = RedditApp.objects.get(pk=refused.reddit_app.pk)
        simulator.simulator.tokens._clients["known"] = "wrong"
        if door == "credentials":
            simulator.simulator.tokens._clients["known"] = "right"
            app.client_secret = "right"
            app.save()
        elif door == "action":
            assert refusals.accept(RedditApp.objects.all()) == 1
        else:
            RedditApp.objects.update(next_try_at="2020-01-01T00:00Z")

        assert run(refused).status == ScrapeSession.Status.COMPLETED
        app.refresh_from_db()
        assert app.refused_at is None
        assert not app.is_refused

    def test_one_of_many_gets_the_turn_to_try(self, refused):
        refusals.refuse(refused.reddit_app, "no")
        app = RedditApp.objects.get()
        RedditApp.objects.update(next_try_at="2020-01-01T00:00Z")

        assert [refusals.may_try(app) for _ in range(3)] == [True, False, False]

    def test_a_change_that_is_not_of_the_credentials_changes_nothing(self, refused):
        refusals.refuse(refused.reddit_app, "no")
        app = RedditApp.objects.get()
        app.name = "Another name"
        app.save()

        assert app.is_refused


class TestClients:
    def test_few_are_kept(self, db, simulator, settings):
        settings.SIMULATOR_URL = simulator.url
        for app in RedditAppFactory.create_batch(clients.KEPT + 3):
            with clients.client_for(app, permits=None):
                pass

        assert len(clients._kept.clients) == clients.KEPT

    def test_one_that_is_lent_is_not_lent_again(self, app):
        with (
            clients.client_for(app, permits=None) as one,
            clients.client_for(app, permits=None) as other,
        ):
            assert one is not other
        with clients.client_for(app, permits=None) as again:
            assert again is one
        assert len(clients._kept.clients) == 1


@pytest.mark.django_db
class TestAdmin:
    def test_usage_refusal_and_waiters_are_shown(self, client, bot):
        app = bot.reddit_app
        app.owner.is_superuser = True
        app.owner.save()
        client.force_login(app.owner)
        take(app, 20)
        with pytest.raises(BudgetSpent):
            budget_of(app, name="Hungry").take()
        refusals.refuse(app, "HTTP 401: no token.")

        page = client.get(f"/admin/bots/redditapp/{app.pk}/change/").content.decode()
        listed = client.get("/admin/bots/redditapp/").content.decode()

        assert "20 of 20 used" in page
        assert "Hungry (fresh) until" in page
        assert "HTTP 401: no token." in page
        assert "Refused" in listed
        assert "20 of 20 used" in listed

        client.post("/admin/bots/redditapp/", {"action": "try_again", "_selected_action": [app.pk]})
        app.refresh_from_db()
        assert not app.is_refused

    def test_the_form_for_a_new_app_opens(self, admin_client):
        assert admin_client.get("/admin/bots/redditapp/add/").status_code == 200


def test_a_bot_of_an_app_without_a_row_shows_no_usage(db):
    app = BotConfig.objects.get(pk=BotFactory().pk).reddit_app

    assert not hasattr(app, "budget")
