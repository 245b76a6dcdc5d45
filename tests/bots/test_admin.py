"""The admin is where bots live: it shows what an operator needs, and each his own."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.contrib.messages import get_messages
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from django_celery_results.models import TaskResult

from bots.models import BotConfig
from scraping.models import BotItem, ScrapeSession
from tests.database import recorded_statements
from tests.factories import BotFactory, RedditAppFactory, SuperuserFactory, UserFactory

pytestmark = pytest.mark.django_db

BOTS = reverse("admin:bots_botconfig_changelist")
ADD = reverse("admin:bots_botconfig_add")


def page_of(bot):
    return reverse("admin:bots_botconfig_change", args=[bot.pk])


def typed(app, **changes):
    """What the form for a bot sends."""
    return {
        "name": "Cats",
        "reddit_app": app.pk,
        "is_active": "on",
        "subreddits": "r/cats, CatsStandingUp",
        "listing": "new",
        "search_query": "",
        "comments": "none",
        "item_limit": "1000",
        "include_terms": "kitten\nre:cats?",
        "exclude_terms": "",
        "match_in": ["title", "body"],
        "whole_words": "on",
        "auto_scrape_enabled": "on",
        "schedule": "interval",
        "every": "5",
        "period": "minutes",
        "crontab": "",
        "timezone": "UTC",
    } | changes


def text_of(answer):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


def told(answer):
    return [str(message) for message in get_messages(answer.wsgi_request)]


def run_action(client, name, bots):
    return client.post(BOTS, {"action": name, "_selected_action": [bot.pk for bot in bots]})


@pytest.fixture
def admin(client):
    client.user = SuperuserFactory()
    client.force_login(client.user)
    return client


@pytest.fixture
def app(admin):
    return RedditAppFactory(owner=admin.user)


@pytest.fixture
def staff():
    """Log a person in who has every permission on bots and apps, and none on others' ones."""

    def staff(client):
        client.user = UserFactory()
        client.user.user_permissions.set(
            Permission.objects.filter(content_type__app_label__in=["bots", "scraping"])
        )
        client.force_login(client.user)
        return client

    return staff


class TestForm:
    def test_adding_a_bot_stores_it_with_its_schedule(self, admin, app):
        answer = admin.post(ADD, typed(app))

        assert answer.status_code == 302, text_of(answer)
        bot = BotConfig.objects.get()
        assert bot.owner == admin.user
        assert bot.subreddits == ["cats", "CatsStandingUp"]
        assert bot.include_terms == ["kitten", "re:cats?"]
        assert PeriodicTask.objects.get(name=f"scrape-bot-{bot.pk}").enabled

    def test_changing_it_changes_both(self, admin, app):
        bot = BotFactory(owner=admin.user, reddit_app=app)
        PeriodicTask.objects.filter(name=f"scrape-bot-{bot.pk}").update(last_run_at=bot.created_at)

        answer = admin.post(
            page_of(bot),
            typed(
                app, name="Dogs", schedule="crontab", crontab="30 9 * * *", timezone="Asia/Tokyo"
            ),
        )

        assert answer.status_code == 302, text_of(answer)
        schedule = PeriodicTask.objects.get(name=f"scrape-bot-{bot.pk}")
        assert (schedule.crontab.hour, str(schedule.crontab.timezone)) == ("9", "Asia/Tokyo")
        assert "Dogs" in schedule.description

    def test_the_page_shows_lists_one_a_line(self, admin):
        bot = BotFactory(subreddits=["cats", "dogs"], include_terms=["a phrase", "re:x"])

        html = admin.get(page_of(bot)).content.decode()

        assert "cats\ndogs</textarea>" in html
        assert "a phrase\nre:x</textarea>" in html

    def test_saving_what_was_shown_changes_nothing(self, admin, app):
        admin.post(ADD, typed(app))
        bot = BotConfig.objects.get()

        admin.post(page_of(bot), typed(app, subreddits="cats\r\nCatsStandingUp"))

        assert LogEntry.objects.latest("pk").get_change_message() == "No fields changed."

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"subreddits": "py-thon"}, "“py-thon” is not a subreddit's name. Enter 2 to 21 letters"),
            ({"subreddits": "cats r/CATS"}, "“r/CATS” is listed twice. Remove it once."),
            ({"subreddits": "all"}, "“all” is a view over other subreddits"),
            ({"subreddits": ""}, "This field is required"),
            ({"include_terms": "re:("}, "“re:(” does not compile"),
            ({"exclude_terms": "re:a(?=b)"}, "“re:a(?=b)” does not compile"),
            ({"every": "1", "period": "seconds"}, "The interval “every second” is out of range"),
            ({"every": "", "period": "seconds"}, "This field is required"),
            ({"every": "99999999999999"}, "less than or equal to"),
            ({"schedule": "crontab"}, "Enter a crontab"),
            ({"schedule": "crontab", "crontab": "61 * * * *"}, "“61 * * * *” is not a crontab"),
            ({"timezone": "Mars/Olympus"}, "Select a valid choice"),
            ({"listing": "search"}, "The listing “Search” needs a query."),
            ({"match_in": []}, "This field is required"),
            ({"item_limit": "1001"}, "less than or equal to 1000"),
            ({"name": ""}, "This field is required"),
            ({"include_terms": "x" * 501}, "at most 500 characters"),
        ],
    )  # fmt: skip
    def test_what_is_wrong_is_said_on_the_page(self, admin, app, changes, message):
        answer = admin.post(ADD, typed(app, **changes))

        assert answer.status_code == 200
        shown = text_of(answer).replace("&#x27;", "'")
        assert message in shown
        assert not BotConfig.objects.exists()

    def test_what_was_typed_comes_back_with_the_fault(self, admin, app):
        answer = admin.post(ADD, typed(app, subreddits="cats\npy-thon"))

        assert "cats\npy-thon</textarea>" in answer.content.decode()

    def test_a_name_that_is_taken_is_refused(self, admin, app):
        BotFactory(owner=admin.user, reddit_app=app, name="Cats")

        answer = admin.post(ADD, typed(app))

        assert "A bot of this owner already has this name." in text_of(answer)

    def test_deleting_removes_the_schedule(self, admin):
        bot = BotFactory()

        admin.post(reverse("admin:bots_botconfig_delete", args=[bot.pk]), {"post": "yes"})

        assert not PeriodicTask.objects.filter(name=f"scrape-bot-{bot.pk}").exists()


class TestList:
    def test_it_tells_what_an_operator_needs(self, admin):
        bot = BotFactory(name="Cats", subreddits=["cats", "a2", "a3", "a4", "a5", "a6"])
        BotConfig.objects.filter(pk=bot.pk).update(
            last_session_at=timezone.now() - timedelta(hours=2),
            last_session_status="partial",
            last_session_summary="7 posts, 3 new; r/a2 posts: private",
        )
        PeriodicTask.objects.filter(name=f"scrape-bot-{bot.pk}").update(
            last_run_at=timezone.now() - timedelta(minutes=1, seconds=30)
        )

        shown = text_of(admin.get(BOTS)).replace("\xa0", " ")

        assert "Cats" in shown
        assert "r/cats, r/a2, r/a3, r/a4 and 2 more" in shown
        assert "On schedule" in shown
        assert "every 5 minutes" in shown
        assert "partial, 2 hours ago" in shown
        assert "7 posts, 3 new; r/a2 posts: private" in shown
        assert re.search(r"\d+:\d\d:\d\d, in 3 minutes", shown)

    @pytest.mark.parametrize(
        ("values", "state"),
        [
            ({}, "On schedule"),
            ({"auto_scrape_enabled": False}, "Paused"),
            ({"is_active": False}, "Inactive"),
        ],
    )
    def test_it_tells_the_state(self, admin, values, state):
        BotFactory(**values)

        row = text_of(admin.get(BOTS)).split("Bot ")[-1]
        assert state in row

    def test_a_crontab_far_away_shows_its_date(self, admin):
        there = (datetime.now(UTC) + timedelta(days=10)).day
        BotFactory(schedule="crontab", crontab=f"30 9 {there} * *")

        assert re.search(r"in 1 week|in 9 days|in 1\xa0week", admin.get(BOTS).content.decode())

    def test_a_bot_without_its_schedule_is_shown_with_the_remedy(self, admin):
        BotFactory()
        PeriodicTask.objects.filter(name__startswith="scrape-bot-").delete()

        assert "No schedule. Run ./manage.py reconcile_schedules." in text_of(admin.get(BOTS))

    def test_what_is_typed_in_the_search_is_found(self, admin):
        BotFactory(name="Cats", subreddits=["kittens"])
        BotFactory(name="Dogs", subreddits=["puppies"])

        assert "Dogs" not in text_of(admin.get(BOTS, {"q": "kitt"}))
        assert "Cats" in text_of(admin.get(BOTS, {"q": "KITT"}))
        assert "Cats" in text_of(admin.get(BOTS, {"q": "cats"}))

    def test_fifty_bots_take_as_many_queries_as_five(self, admin):
        def queries(number):
            BotFactory.create_batch(number - BotConfig.objects.count())
            admin.get(BOTS)
            with recorded_statements() as statements:
                shown = text_of(admin.get(BOTS))
            assert shown.count("On schedule") >= number
            return len(statements)

        assert queries(5) == queries(50)


class TestActions:
    def test_run_now_records_a_run_and_a_session(self, admin):
        bots = BotFactory.create_batch(2)

        answer = run_action(admin, "run_now", bots)

        assert told(answer) == ["2 sessions requested."]
        assert TaskResult.objects.filter(task_name="scraping.scrape_bot").count() == 2
        sessions = ScrapeSession.objects.all()
        assert {(s.bot, s.status, s.trigger) for s in sessions} == {
            (bot, "queued", "manual") for bot in bots
        }
        assert {s.task_id for s in sessions} == {r.task_id for r in TaskResult.objects.all()}

    def test_run_now_refuses_an_inactive_bot_and_runs_the_others(self, admin):
        off, on = BotFactory(is_active=False, name="Asleep"), BotFactory()

        answer = run_action(admin, "run_now", [off, on])

        assert sorted(told(answer)) == [
            "1 session requested.",
            "The bot “Asleep” is inactive. Activate the bot before you run it.",
        ]
        assert [session.bot for session in ScrapeSession.objects.all()] == [on]

    def test_run_now_stands_on_the_bots_page_too(self, admin):
        bot = BotFactory()
        assert "Save and run now" in admin.get(page_of(bot)).content.decode()

        admin.post(
            page_of(bot), typed(bot.reddit_app, name="As saved", bots_botconfig_save_and_run="1")
        )

        session = ScrapeSession.objects.get()
        assert (session.bot, session.bot_name) == (bot, "As saved")

    def test_pause_and_resume(self, admin):
        bots = BotFactory.create_batch(3)

        def enabled():
            rows = PeriodicTask.objects.filter(name__startswith="scrape-bot-").order_by("pk")
            return [row.enabled for row in rows]

        assert told(run_action(admin, "pause", bots[:2])) == ["2 bots paused."]
        assert enabled() == [False, False, True]
        assert told(run_action(admin, "resume", bots))[-1] == "2 bots resumed."
        assert enabled() == [True, True, True]

    def test_deleting_many_removes_their_schedules(self, admin):
        bots = BotFactory.create_batch(3)

        admin.post(
            BOTS,
            {
                "action": "delete_selected",
                "_selected_action": [bot.pk for bot in bots],
                "post": "yes",
            },
        )

        assert not BotConfig.objects.exists()
        assert not PeriodicTask.objects.filter(name__startswith="scrape-bot-").exists()


class TestOwnership:
    """Staff see and change what is theirs; what is others' is not there at all."""

    @pytest.fixture
    def others(self):
        bot = BotFactory(name="Someone else's bot", reddit_app__name="Someone else's app")
        bot.session = ScrapeSession.objects.create(
            bot=bot, bot_name=bot.name, trigger="manual", status="completed"
        )
        bot.item = BotItem.objects.create(bot=bot, fullname="t3_zz", matched_at=timezone.now())
        return bot

    def pages(self, bot):
        return [
            ("bots_botconfig", bot),
            ("bots_redditapp", bot.reddit_app),
            ("scraping_scrapesession", bot.session),
            ("scraping_botitem", bot.item),
        ]

    def test_lists_show_ones_own(self, client, staff, others):
        client = staff(client)
        mine = BotFactory(owner=client.user, name="My bot", reddit_app__name="My app")

        for name, _ in self.pages(others):
            html = client.get(reverse(f"admin:{name}_changelist")).content.decode()
            assert "Someone else" not in html, name
            assert "t3_zz" not in html, name
        assert mine.name in text_of(client.get(BOTS))
        assert "My app" in text_of(client.get(reverse("admin:bots_redditapp_changelist")))

    def test_pages_of_others_things_do_not_exist(self, client, staff, others):
        client = staff(client)

        for name, thing in self.pages(others):
            for view in ("change", "delete", "history"):
                url = reverse(f"admin:{name}_{view}", args=[thing.pk])
                answer = client.get(url)
                assert answer.status_code in (302, 403), (name, view)
                if answer.status_code == 302:
                    assert answer.url == reverse("admin:index"), (name, view)

    def test_a_superuser_sees_everything(self, admin, others):
        for name, thing in self.pages(others):
            url = reverse(f"admin:{name}_change", args=[thing.pk])
            assert admin.get(url).status_code == 200, name

    def test_nothing_of_others_can_be_changed(self, client, staff, others):
        client = staff(client)

        client.post(page_of(others), typed(others.reddit_app, name="Mine now"))
        for action in ("run_now", "pause", "resume"):
            run_action(client, action, [others])
        client.post(page_of(others), typed(others.reddit_app, bots_botconfig_save_and_run="1"))
        client.post(reverse("admin:bots_botconfig_delete", args=[others.pk]), {"post": "yes"})

        others.refresh_from_db()
        assert others.name == "Someone else's bot"
        assert others.auto_scrape_enabled
        assert ScrapeSession.objects.count() == 1

    def test_a_bot_cannot_use_anothers_app(self, client, staff, others):
        client = staff(client)
        mine = RedditAppFactory(owner=client.user)

        assert "Someone else" not in client.get(ADD).content.decode()
        answer = client.post(ADD, typed(others.reddit_app))
        assert "Select a valid choice" in text_of(answer)
        assert client.post(ADD, typed(mine)).status_code == 302
        assert BotConfig.objects.get(name="Cats").owner == client.user

    def test_another_owner_may_have_a_bot_of_the_same_name(self, client, staff, others):
        client = staff(client)
        mine = RedditAppFactory(owner=client.user)

        answer = client.post(ADD, typed(mine, name=others.name))

        assert answer.status_code == 302, text_of(answer)

    def test_without_permission_there_is_nothing(self, client, others):
        client.force_login(UserFactory())

        for name, _ in self.pages(others):
            assert client.get(reverse(f"admin:{name}_changelist")).status_code == 403

    def test_viewing_is_not_running(self, client, others):
        user = UserFactory()
        user.user_permissions.set(Permission.objects.filter(codename="view_botconfig"))
        bot = BotFactory(owner=user)
        client.force_login(user)

        run_action(client, "run_now", [bot])
        client.post(page_of(bot), typed(bot.reddit_app, bots_botconfig_save_and_run="1"))

        assert not ScrapeSession.objects.filter(bot=bot).exists()


class TestPagesOfSchedulesAndRuns:
    """Those of the jobs app, which knows no bots."""

    def link_to(self, bot):
        return f'<a class="text-link" href="{page_of(bot)}">Bot “{bot.name}”</a>'

    def test_a_bots_schedule_leads_to_its_bot(self, client):
        client.force_login(SuperuserFactory())
        bot, other = BotFactory(name="Cats"), BotFactory(name="Dogs")
        row = PeriodicTask.objects.get(name=f"scrape-bot-{bot.pk}")
        address = reverse("admin:django_celery_beat_periodictask_change", args=[row.pk])

        page = client.get(address).content.decode()

        assert self.link_to(bot) in page
        assert page_of(other) not in page

    @pytest.mark.parametrize("trigger", ["schedule", "manual"])
    def test_so_does_a_run_with_or_without_a_schedule(self, client, trigger):
        client.force_login(SuperuserFactory())
        bot = BotFactory()
        by = (
            {"periodic_task_name": f"scrape-bot-{bot.pk}"}
            if trigger == "schedule"
            else {"task_kwargs": f'{{"bot_id": {bot.pk}}}'}
        )
        run = TaskResult.objects.create(task_id="f00", task_name="scraping.scrape_bot", **by)

        address = reverse("admin:django_celery_results_taskresult_change", args=[run.pk])

        assert self.link_to(bot) in client.get(address).content.decode()

    def test_a_schedule_of_no_bot_or_of_one_that_is_gone_has_no_link(self, client):
        client.force_login(SuperuserFactory())
        gone = BotFactory()
        link = self.link_to(gone)
        PeriodicTask.objects.filter(name=f"scrape-bot-{gone.pk}").update(name="mine")
        gone.delete()
        row = PeriodicTask.objects.get(name="mine")

        address = reverse("admin:django_celery_beat_periodictask_change", args=[row.pk])
        answer = client.get(address)

        assert answer.status_code == 200
        assert link not in answer.content.decode()
        assert client.get(reverse("admin:django_celery_beat_periodictask_add")).status_code == 200
