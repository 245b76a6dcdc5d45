"""Sessions of one app share its budget and what is known of its credentials, and the admin shows both."""

import pytest

from bots import refusals
from bots.models import BotConfig, RedditApp
from scraping.budget.app_budget import BudgetSpent
from scraping.models import RequestBudget, ScrapeSession
from scraping.sessions import services
from tests.factories import BotFactory, RedditAppFactory
from tests.scraping.budgets import WINDOW, budget_of, later, take

pytestmark = pytest.mark.usefixtures("short_window")


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

    @pytest.mark.slow
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
            with pytest.raises(services.SessionSkipped, match="Correct the credentials") as skip:
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
