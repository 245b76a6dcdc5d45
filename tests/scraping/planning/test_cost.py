"""What a bot will cost is told before it is saved, from what is known of its streams."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.contrib.staticfiles import finders
from django.urls import reverse
from django.utils import timezone

from bots.models import BotConfig
from scraping.models import Stream
from scraping.planning.cost import estimate
from scraping.sessions import services
from scraping.subreddits import ensure_streams
from tests.factories import BotFactory, RedditAppFactory, SuperuserFactory, UserFactory

pytestmark = pytest.mark.django_db

COST = reverse("admin:scraping_botitem_cost")
PREVIEW = reverse("admin:scraping_botitem_preview")


@pytest.fixture
def app():
    return RedditAppFactory(name="The app")


def bot(app, *names, **fields):
    """A bot that is not saved."""
    return BotConfig(owner=app.owner, reddit_app=app, name="New", subreddits=list(names), **fields)


def know(per_hour, *names, kind="posts"):
    for stream in ensure_streams(names, kind):
        Stream.objects.filter(pk=stream.pk).update(
            arrivals_per_hour=per_hour, arrivals_by_hour=[per_hour] * 24, learned_hours=72
        )


class TestEstimates:
    def test_a_quiet_subreddit_costs_one_page_each_time(self, app):
        know(1, "python")

        cost = estimate(bot(app, "python", every=5))

        assert cost.adds == cost.total == pytest.approx(0.2)
        assert cost.unknown == 0

    def test_a_hundred_of_them_cost_the_same(self, app):
        names = [f"sub{number}" for number in range(100)]
        know(0.1, *names)

        assert estimate(bot(app, *names, every=5)).adds == pytest.approx(0.2)

    def test_another_bot_on_the_same_subreddits_adds_nothing(self, app):
        know(50, "python", "berlin")
        BotFactory(owner=app.owner, reddit_app=app, subreddits=["Python", "berlin"], every=5)

        assert estimate(bot(app, "python", "berlin", every=5)).adds == 0
        assert estimate(bot(app, "python", "berlin", every=1, period="hours")).adds == 0
        assert estimate(bot(app, "python", "berlin", every=1)).adds > 0

    def test_a_busy_stream_costs_by_its_items_however_seldom_it_is_wanted(self, app):
        know(6_000, "busy", kind="comments")

        daily = estimate(bot(app, "busy", comments="stream", listing="hot", item_limit=1, every=1,
                             period="days"))  # fmt: skip

        # A hundred items a minute are a page a minute and what each walk wastes.
        assert 1 < daily.adds < 2.5

    def test_what_is_not_known_is_assumed(self, app):
        cost = estimate(bot(app, "python", "berlin", comments="stream"))

        assert cost.unknown == 4
        assert cost.adds > 0

    def test_samples_cost_their_pages_each_time(self, app):
        assert estimate(bot(app, "python", listing="hot", item_limit=250, every=1)).adds == 3

    def test_a_bot_that_is_saved_is_not_counted_twice(self, app):
        know(1, "python")
        saved = BotFactory(owner=app.owner, reddit_app=app, subreddits=["python"], every=5)

        assert estimate(saved).total == pytest.approx(0.2)

    def test_bots_of_other_apps_and_paused_ones_do_not_count(self, app):
        know(1, "python", "berlin")
        BotFactory(subreddits=["python"])
        BotFactory(owner=app.owner, reddit_app=app, auto_scrape_enabled=False)

        assert estimate(bot(app, "berlin", every=5)).total == pytest.approx(0.2)

    def test_four_fifths_of_the_budget_are_high(self, app):
        names = [f"sub{number}" for number in range(30)]
        know(400, *names, kind="comments")
        eager = bot(app, *names, comments="stream", every=1)
        needed = estimate(eager).total

        app.requests_per_minute = needed / 0.79
        assert not estimate(eager).is_high
        app.requests_per_minute = needed / 0.81
        assert estimate(eager).is_high

    @pytest.mark.slow
    @pytest.mark.django_db(transaction=True)
    def test_it_is_near_what_the_sessions_then_cost(self, reddit):
        """Of a world that stands still but for its clock: twelve sessions of five minutes each."""
        reddit.control("clock", {"advance": 0})
        subject = BotFactory(subreddits=["python", "berlin", "france"], comments="stream", every=5)
        services.scrape_bot(subject.pk, trigger="schedule")
        spent = 0
        for _ in range(12):
            reddit.control("clock", {"advance": 300})
            Stream.objects.update(last_fetch_at=timezone.now() - timedelta(minutes=5))
            spent += services.scrape_bot(subject.pk, trigger="schedule").requests

        assert estimate(subject).total * 60 == pytest.approx(spent, rel=0.25)


def typed(app, **changes):
    return {
        "name": "",
        "reddit_app": app.pk,
        "subreddits": "python",
        "listing": "new",
        "comments": "none",
        "item_limit": "1000",
        "match_in": ["title"],
        "schedule": "interval",
        "every": "5",
        "period": "minutes",
        "crontab": "",
        "timezone": "UTC",
    } | changes


def text_of(answer):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


class TestForm:
    @pytest.fixture
    def editor(self, client, app):
        client.force_login(SuperuserFactory())
        return client

    def test_it_says_what_the_bot_adds(self, editor, app):
        know(1, "python")

        said = text_of(editor.post(COST, typed(app)))

        assert (
            "Adds about 0.2 requests/min. All scheduled bots of The app then use 0.2 of 100" in said
        )
        assert not BotConfig.objects.exists()

    def test_it_warns_above_four_fifths(self, editor, app):
        app.requests_per_minute = 1
        app.save()

        said = text_of(editor.post(COST, typed(app, every="1")))

        assert "more than 80 % of the app's budget" in said
        assert (
            "1 stream of this bot was never read. The estimate assumes 4 posts or 20 comments"
            in said
        )

    def test_what_is_missing_is_named(self, editor, app):
        assert "Subreddits : This field is required" in text_of(
            editor.post(COST, typed(app, subreddits=""))
        )
        assert "Crontab" in text_of(editor.post(COST, typed(app, schedule="crontab")))

    def test_the_preview_tells_it_too(self, editor, app):
        assert "Adds about" in text_of(editor.post(PREVIEW, typed(app)))
        assert "This field is required" in text_of(editor.post(PREVIEW, typed(app, reddit_app="")))

    def test_a_saved_bot_is_not_counted_twice(self, editor, app):
        know(1, "python")
        saved = BotFactory(owner=app.owner, reddit_app=app, subreddits=["python"], every=5)

        assert "Adds about 0.2" in text_of(editor.post(f"{COST}?bot={saved.pk}", typed(app)))
        assert "Adds about 0.0" in text_of(editor.post(COST, typed(app)))
        assert editor.post(f"{COST}?bot={'9' * 30}", typed(app)).status_code == 200

    def test_nothing_of_the_bot_is_saved(self, editor, app):
        saved = BotFactory(owner=app.owner, reddit_app=app, every=60)

        editor.post(f"{COST}?bot={saved.pk}", typed(app))

        saved.refresh_from_db()
        assert saved.every == 60

    def test_others_apps_are_not_told_of(self, client, app):
        person = UserFactory()
        person.user_permissions.add(Permission.objects.get(codename="add_botconfig"))
        client.force_login(person)

        said = text_of(client.post(COST, typed(app)))

        assert "The app" not in said
        assert "not one of the available choices" in said

    def test_it_is_for_those_who_may_edit_bots(self, client, app):
        client.force_login(UserFactory())
        assert client.post(COST, typed(app)).status_code == 403

    def test_the_forms_ask_for_it(self, editor, app):
        saved = BotFactory(owner=app.owner, reddit_app=app)
        add = editor.get(reverse("admin:bots_botconfig_add")).content.decode()
        change = editor.get(reverse("admin:bots_botconfig_change", args=[saved.pk]))

        assert f'data-url="{COST}"' in add
        assert "lurker/bot_cost.js" in add
        assert finders.find("lurker/bot_cost.js")
        assert f'data-url="{COST}?bot={saved.pk}"' in change.content.decode()
