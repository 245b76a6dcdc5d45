"""The admin is where bots live: it shows what an operator needs, and each his own."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from django_celery_results.models import TaskResult

from bots.models import BotConfig
from scraping.models import ScrapeSession
from tests.bots.admin_pages import ADD, BOTS, page_of, run_action, text_of, told, typed
from tests.database import recorded_statements
from tests.factories import BotFactory

pytestmark = pytest.mark.django_db


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

    @pytest.mark.slow
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
