"""A bot's schedule follows it by whatever door it is written, in the same transaction."""

import io
import json

import pytest
from django.core import serializers
from django.core.management import call_command
from django.db import transaction
from django.db.models import ProtectedError
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from bots import services
from bots.models import BotConfig
from tests.database import recorded_statements, row_versions, writes
from tests.factories import BotFactory, RedditAppFactory

pytestmark = pytest.mark.django_db


def schedule(bot):
    return PeriodicTask.objects.filter(name=f"scrape-bot-{bot.pk}").first()


def schedules():
    return PeriodicTask.objects.filter(name__startswith="scrape-bot-")


def versions():
    return row_versions("django_celery_beat_periodictask", "name")


def bots(number, **values):
    app = RedditAppFactory()
    return BotConfig.objects.bulk_create(
        BotFactory.build_batch(number, owner=app.owner, reddit_app=app, **values)
    )


class TestOneBot:
    def test_saving_a_bot_creates_its_schedule(self):
        bot = BotFactory(name="Cats", subreddits=["cats", "CatsStandingUp"], every=7)

        made = schedule(bot)
        assert made.enabled
        assert (made.task, made.queue) == ("scraping.scrape_bot", "scraping")
        assert json.loads(made.kwargs) == {"bot_id": bot.pk}
        assert str(made.interval) == "every 7 minutes"
        assert "Cats" in made.description
        assert "r/CatsStandingUp" in made.description

    def test_an_edit_updates_it(self):
        bot = BotFactory()

        bot.schedule, bot.crontab, bot.timezone = "crontab", "30 9 * * 1-5", "Europe/Berlin"
        bot.save()

        assert schedule(bot).interval is None
        assert schedule(bot).crontab.hour == "9"
        assert str(schedule(bot).crontab.timezone) == "Europe/Berlin"

    @pytest.mark.parametrize("switch", ["is_active", "auto_scrape_enabled"])
    def test_switching_off_disables_it_and_on_enables_it(self, switch):
        bot = BotFactory()
        key = schedule(bot).pk

        setattr(bot, switch, False)
        bot.save()
        assert not schedule(bot).enabled

        setattr(bot, switch, True)
        bot.save()
        assert schedule(bot).enabled
        assert schedule(bot).pk == key

    def test_deleting_removes_it(self):
        bot = BotFactory()
        other = BotFactory()
        name = schedule(bot).name

        bot.delete()

        assert not PeriodicTask.objects.filter(name=name).exists()
        assert schedule(other) is not None

    @pytest.mark.parametrize(
        "change",
        [
            {"name": "Another name"},
            {"include_terms": ["cat"]},
            {"exclude_terms": ["dog"]},
            {"subreddits": ["django"]},
            {"item_limit": 100},
        ],
    )
    def test_an_edit_of_what_it_collects_keeps_the_phase(self, change):
        bot = BotFactory()
        schedules().update(last_run_at=bot.created_at, total_run_count=3)

        for name, value in change.items():
            setattr(bot, name, value)
        bot.save()

        after = schedule(bot)
        assert (after.last_run_at, after.total_run_count) == (bot.created_at, 3)

    @pytest.mark.parametrize(
        "change", [{"include_terms": ["cat"]}, {"item_limit": 100}, {"comments": "stream"}]
    )
    def test_an_edit_that_does_not_show_in_it_leaves_its_row_alone(self, change):
        bot = BotFactory()
        before = versions()

        for name, value in change.items():
            setattr(bot, name, value)
        bot.save()

        assert versions() == before

    @pytest.mark.parametrize("door", ["save", "update", "delete", "queryset delete", "bulk_create"])
    def test_both_or_neither_is_written(self, door):
        bot = BotFactory(name="Before")
        before = versions()
        with transaction.atomic():
            match door:
                case "save":
                    bot.name = "After"
                    bot.save()
                case "update":
                    BotConfig.objects.update(is_active=False)
                case "delete":
                    BotConfig.objects.get().delete()
                case "queryset delete":
                    BotConfig.objects.all().delete()
                case "bulk_create":
                    bots(3)
            assert versions() != before
            transaction.set_rollback(True)

        assert versions() == before
        assert BotConfig.objects.get().name == "Before"

    def test_a_failure_to_write_the_schedule_fails_the_save(self, monkeypatch):
        """Outside a transaction of the caller's, too: a bot without its schedule never exists."""

        def broken(*args, **kwargs):
            raise RuntimeError("no schedule today")

        app = RedditAppFactory()
        monkeypatch.setattr(services.schedules, "upsert", broken)

        with pytest.raises(RuntimeError):
            BotFactory(reddit_app=app, owner=app.owner)
        assert not BotConfig.objects.exists()

    def test_a_fixture_brings_its_own(self):
        bot = BotFactory()
        data = serializers.serialize("json", [bot])
        BotConfig.objects.all().delete()

        for item in serializers.deserialize("json", data):
            item.save()

        assert BotConfig.objects.get() == bot

        assert schedule(bot) is None


class TestManyBots:
    def test_an_update_in_bulk_takes_the_schedules_along(self):
        made = bots(3)

        BotConfig.objects.filter(pk__in=[made[0].pk, made[1].pk]).update(is_active=False)

        assert [schedule(bot).enabled for bot in made] == [False, False, True]

    def test_an_update_of_what_no_schedule_shows_reads_none(self):
        bots(3)

        with recorded_statements() as statements:
            BotConfig.objects.update(last_session_summary="Fine")

        assert len(statements) == 1

    def test_bulk_update_takes_them_along(self):
        made = bots(3)
        for bot in made:
            bot.every = 9

        BotConfig.objects.bulk_update(made, ["every"])

        assert {schedule(bot).interval.every for bot in made} == {9}

    def test_bulk_create_creates_them(self):
        made = bots(3)

        assert all(schedule(bot).enabled for bot in made)

    def test_a_queryset_is_deleted_with_them(self):
        made = bots(5)

        deleted, _ = BotConfig.objects.filter(pk__in=[bot.pk for bot in made[:4]]).delete()

        assert deleted == 4
        assert [task.name for task in schedules()] == [f"scrape-bot-{made[4].pk}"]

    def test_what_bots_hang_on_cannot_be_deleted_under_them(self):
        bot = BotFactory()

        with pytest.raises(ProtectedError):
            bot.owner.delete()
        with pytest.raises(ProtectedError):
            bot.reddit_app.delete()
        assert schedule(bot) is not None

    @pytest.mark.slow
    def test_two_thousand_are_deleted_in_a_bounded_number_of_statements(self):
        bots(2_000)

        with recorded_statements() as statements:
            BotConfig.objects.all().delete()

        assert not schedules().exists()
        deletes = [statement for statement in writes(statements) if "periodictask" in statement]
        assert len([statement for statement in deletes if statement.startswith("DELETE")]) == 1
        # Django deletes the bots themselves by the hundred.
        assert len(statements) < 60

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "change",
        [
            lambda: services.pause(BotConfig.objects.all()),
            lambda: BotConfig.objects.update(every=9),
            services.reconcile_schedules,
        ],
        ids=["pause", "update", "reconcile"],
    )
    def test_a_hundred_times_the_bots_take_the_same_number_of_statements(self, change):
        def statements(number):
            BotConfig.objects.all().delete()
            bots(number)
            with recorded_statements() as executed:
                change()
            return len(executed)

        statements(1)  # the first one creates the timing that the others share
        assert statements(1_000) == statements(10)


class TestPauseAndResume:
    def test_pause_and_resume_say_how_many_changed(self):
        made = bots(3)
        BotConfig.objects.filter(pk=made[0].pk).update(auto_scrape_enabled=False)

        assert services.pause(BotConfig.objects.all()) == 2
        assert not schedules().filter(enabled=True).exists()
        assert services.resume(BotConfig.objects.all()) == 3
        assert not schedules().filter(enabled=False).exists()

    def test_an_inactive_bot_is_not_resumed(self):
        bot = BotFactory(is_active=False, auto_scrape_enabled=False)

        assert services.resume(BotConfig.objects.all()) == 0
        assert not schedule(bot).enabled


class TestReconcile:
    """The command heals whatever happened behind the models' backs."""

    @pytest.fixture
    def drift(self):
        missing, drifted, right = bots(3)
        schedules().filter(name=f"scrape-bot-{missing.pk}").delete()
        schedules().filter(name=f"scrape-bot-{drifted.pk}").update(enabled=False, task="wrong")
        PeriodicTask.objects.create(
            name="scrape-bot-999999999", task="x", interval=IntervalSchedule.objects.first()
        )
        PeriodicTask.objects.create(
            name="An operator's own", task="x", interval=IntervalSchedule.objects.first()
        )
        return missing, drifted, right

    def reconcile(self, *options):
        output = io.StringIO()
        call_command("reconcile_schedules", "--json", *options, stdout=output)
        return [(row["change"], row["schedule"]) for row in json.loads(output.getvalue())]

    def test_it_says_and_does_what_is_needed(self, drift):
        missing, drifted, _ = drift

        said = self.reconcile()

        assert said == [
            ("created", f"scrape-bot-{missing.pk}"),
            ("updated", f"scrape-bot-{drifted.pk}"),
            ("removed", "scrape-bot-999999999"),
        ]
        assert [schedule(bot).enabled for bot in drift] == [True] * 3
        assert schedule(drifted).task == "scraping.scrape_bot"
        assert PeriodicTask.objects.filter(name="An operator's own").exists()
        assert self.reconcile() == []

    def test_a_dry_run_says_it_and_does_nothing(self, drift):
        before = versions()

        said = self.reconcile("--dry-run")

        assert len(said) == 3
        assert all(change.startswith("would be ") for change, _ in said)
        assert versions() == before

    def test_when_all_is_right_nothing_is_written(self):
        bots(3)

        with recorded_statements() as statements:
            assert self.reconcile() == []

        assert writes(statements) == []
