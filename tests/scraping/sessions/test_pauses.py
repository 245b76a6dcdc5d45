"""A bot that fails again and again is paused, says why, and comes back."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse
from django_celery_beat.models import PeriodicTask

from bots import pauses, refusals, services
from bots.models import BotConfig, RedditApp
from jobs.schedules import diagnosis
from scraping.collecting import availability
from scraping.models import ScrapeSession, Subreddit
from scraping.models.streams import FIRST_PAUSE
from scraping.sessions import failures, lifecycle
from scraping.sessions import services as scraping_services
from scraping.simulator.server import SimulatorServer
from tests.factories import BotFactory, RedditAppFactory, SuperuserFactory, UserFactory

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

LIMIT = 3


@pytest.fixture(autouse=True)
def limit(settings):
    settings.BOT_FAILURE_LIMIT = LIMIT


@pytest.fixture
def failing(reddit):
    reddit.control("subreddits", {"name": "berlin", "status": "banned"})
    return BotFactory(subreddits=["berlin"], name="Failing")


@pytest.fixture
def paused(failing):
    for _ in range(LIMIT):
        run(failing)
    failing.refresh_from_db()
    assert failing.paused_at
    return failing


def run(bot):
    return scraping_services.scrape_bot(bot.pk, trigger="schedule")


def schedule(bot):
    return PeriodicTask.objects.get(name=services.schedule_name(bot.pk))


@pytest.mark.parametrize(
    ("outcomes", "cause"),
    [
        ({"banned"}, "closed"),
        ({"banned", "error"}, "errors"),
        ({"error"}, "errors"),
        # Nothing of these is the bot's own doing.
        ({"busy"}, None),
        ({"unknown"}, None),
        ({"throttled"}, None),
        ({"error", "unavailable"}, None),
    ],
)
def test_what_a_failed_session_says_against_its_bot(outcomes, cause):
    streams = {f"r/{name} posts": {"outcome": name, "detail": ""} for name in outcomes}

    assert failures.cause_of(ScrapeSession(status="failed", outcomes=streams)) == cause


class TestPausing:
    def test_it_is_paused_at_the_limit_and_not_before(self, failing, caplog):
        for number in range(1, LIMIT):
            run(failing)
            failing.refresh_from_db()
            assert (failing.failures_in_a_row, failing.paused_at) == (number, None)
            assert schedule(failing).enabled

        run(failing)

        failing.refresh_from_db()
        assert failing.paused_at
        assert failing.pause_reason.startswith(f"{LIMIT} sessions in a row failed: ")
        assert "banned: r/berlin posts" in failing.pause_reason
        assert not schedule(failing).enabled
        assert failing not in BotConfig.objects.scheduled()
        assert caplog.text.count("Bot Failing is paused") == 1

    def test_it_is_paused_once(self, paused, caplog):
        caplog.clear()
        before = paused.paused_at

        run(paused)

        paused.refresh_from_db()
        assert paused.paused_at == before
        assert "is paused" not in caplog.text

    def test_a_session_that_reads_anything_begins_the_count_anew(self, failing, reddit):
        for _ in range(LIMIT - 1):
            run(failing)
        reddit.control("subreddits", {"name": "berlin", "status": "ok"})
        Subreddit.objects.update(status="unknown", probed_at=None)

        run(failing)

        failing.refresh_from_db()
        assert failing.failures_in_a_row == 0

    def test_errors_of_the_requests_count(self, reddit, no_pauses):
        bot = BotFactory()
        reddit.control("faults", {"kind": "status", "status": 418, "path": "/new"})

        for _ in range(LIMIT):
            run(bot)

        bot.refresh_from_db()
        assert bot.pause_cause == "errors"
        assert "error: r/python posts" in bot.pause_reason

    def test_so_do_bugs(self, reddit, monkeypatch):
        def broken(*args, **options):
            raise ZeroDivisionError("a bug")

        monkeypatch.setattr("scraping.intake.ingest_posts", broken)
        bot = BotFactory()

        for _ in range(LIMIT):
            with pytest.raises(ZeroDivisionError):
                run(bot)

        bot.refresh_from_db()
        assert "ZeroDivisionError: a bug" in bot.pause_reason

    @pytest.mark.parametrize("status", [503, 429, 401])
    def test_what_reddit_is_to_blame_for_does_not(self, reddit, no_pauses, status):
        bot = BotFactory()
        reddit.control("faults", {"kind": "status", "status": status})

        for _ in range(LIMIT + 2):
            RedditApp.objects.update(refused_at=None)
            assert run(bot).status == "failed"

        bot.refresh_from_db()
        assert (bot.failures_in_a_row, bot.paused_at) == (0, None)

    def test_an_outage_does_not_forget_what_was_counted(self, failing, reddit, no_pauses):
        run(failing)
        Subreddit.objects.update(status="unknown", probed_at=None)
        reddit.control("faults", {"kind": "status", "status": 503, "times": 9})

        run(failing)

        failing.refresh_from_db()
        assert failing.failures_in_a_row == 1

    @pytest.mark.parametrize("ending", [KeyboardInterrupt, SystemExit])
    def test_a_process_that_is_stopped_says_nothing_against_the_bot(self, reddit, ending):
        bot = BotFactory()

        def stop(progress):
            raise ending

        for _ in range(LIMIT):
            with pytest.raises(ending):
                scraping_services.scrape_bot(bot.pk, trigger="schedule", on_progress=stop)

        bot.refresh_from_db()
        assert bot.failures_in_a_row == 0

    def test_nor_does_one_that_dies(self, failing):
        from jobs import locks

        for _ in range(LIMIT):
            with locks.hold(lifecycle.lock_key(failing.pk)):
                lifecycle.start(failing, trigger="schedule")
            lifecycle.close_interrupted()

        failing.refresh_from_db()
        assert failing.last_session_status == "interrupted"
        assert failing.failures_in_a_row == 0


class TestComingBack:
    def test_by_hand(self, paused):
        assert services.resume(BotConfig.objects.filter(pk=paused.pk)) == 1

        paused.refresh_from_db()
        assert (paused.paused_at, paused.failures_in_a_row, paused.pause_reason) == (None, 0, "")
        assert schedule(paused).enabled
        assert services.resume(BotConfig.objects.filter(pk=paused.pk)) == 0

    def test_by_a_session_that_reads_something(self, paused, reddit):
        reddit.control("subreddits", {"name": "berlin", "status": "ok"})
        Subreddit.objects.update(status="unknown", probed_at=None)

        run(paused)

        paused.refresh_from_db()
        assert (paused.paused_at, paused.failures_in_a_row) == (None, 0)
        assert schedule(paused).enabled

    def test_by_itself_when_a_subreddit_opens(self, paused, reddit):
        reddit.control("subreddits", {"name": "berlin", "status": "ok"})
        for subreddit in Subreddit.objects.all():
            subreddit.probed_at -= FIRST_PAUSE
            subreddit.save()

        assert availability.probe_watched() == {"asked": 1, "readable": 1}

        paused.refresh_from_db()
        assert paused.paused_at is None
        assert schedule(paused).enabled

    def test_not_when_another_subreddit_opens(self, paused):
        assert pauses.subreddits_opened(["france"]) == 0

        paused.refresh_from_db()
        assert paused.paused_at

    def test_nor_when_it_was_paused_for_errors(self, paused):
        BotConfig.objects.update(pause_cause="errors")

        assert pauses.subreddits_opened(["Berlin"]) == 0

    def test_what_a_person_switched_off_stays_off(self, paused):
        services.pause(BotConfig.objects.filter(pk=paused.pk))

        assert pauses.subreddits_opened(["Berlin"]) == 1

        assert not schedule(paused).enabled


class TestSaying:
    def test_why_its_schedule_does_not_run(self, paused):
        (finding, *_) = diagnosis.why(services.schedule_name(paused.pk), ask_workers=False)

        assert "Failing" in finding.cause
        assert "banned: r/berlin posts" in finding.cause
        assert "resume" in finding.remedy

    def test_in_the_list_and_on_its_page(self, paused, client):
        client.force_login(SuperuserFactory())

        page = client.get(reverse("admin:bots_botconfig_changelist")).content.decode()
        assert "Paused: None of its subreddits can be read" in page
        assert "banned: r/berlin posts" in page

        page = client.get(reverse("admin:bots_botconfig_change", args=[paused.pk])).content.decode()
        assert f"{LIMIT} sessions in a row failed" in page
        assert "Save and resume" in page

    def test_a_bot_that_runs_has_nothing_to_resume(self, client):
        client.force_login(SuperuserFactory())
        bot = BotFactory()

        page = client.get(reverse("admin:bots_botconfig_change", args=[bot.pk])).content.decode()

        assert "Save and resume" not in page
        assert "Save and run now" in page

    def test_the_action_resumes_ones_own_only(self, paused, client):
        other = UserFactory()
        other.user_permissions.set(Permission.objects.filter(codename__endswith="botconfig"))
        client.force_login(other)
        data = {"action": "resume", "_selected_action": [paused.pk]}

        client.post(reverse("admin:bots_botconfig_changelist"), data)
        paused.refresh_from_db()
        assert paused.paused_at

        client.force_login(SuperuserFactory())
        client.post(reverse("admin:bots_botconfig_changelist"), data)
        paused.refresh_from_db()
        assert paused.paused_at is None


class TestAStorm:
    def test_twenty_bots_of_a_refused_app_ask_once_and_are_told_of_once(self, settings, caplog):
        with SimulatorServer(port=0, clients=("tests:right",), control=True) as server:
            settings.SIMULATOR_URL = server.url
            app = RedditAppFactory(client_id="tests", client_secret="wrong")
            bots = [BotFactory(owner=app.owner, reddit_app=app) for _ in range(20)]
            skipped = 0
            for _ in range(3):
                for bot in bots:
                    try:
                        run(bot)
                    except scraping_services.SessionSkipped as reason:
                        skipped += "Correct the credentials" in str(reason)
            asked = server.control("requests")["total"]

        assert (skipped, ScrapeSession.objects.count()) == (59, 1)
        assert asked == 1
        assert caplog.text.count("Reddit refuses the app") == 1
        app.refresh_from_db()
        assert app.is_refused
        # None is paused: as soon as the credentials are right, all of them run.
        assert not BotConfig.objects.exclude(paused_at=None).exists()

    def test_bots_that_meet_the_refusal_at_the_same_time_are_told_of_once(self, settings, caplog):
        """All are past the first look when the first refusal comes."""
        from concurrent.futures import ThreadPoolExecutor
        from threading import Barrier

        from django.db import connection

        with SimulatorServer(port=0, clients=("tests:right",), control=True) as server:
            settings.SIMULATOR_URL = server.url
            app = RedditAppFactory(client_id="tests", client_secret="wrong")
            bots = [BotFactory(owner=app.owner, reddit_app=app) for _ in range(20)]
            together = Barrier(20)

            def storm(bot):
                try:
                    together.wait(60)
                    return run(bot).status
                except scraping_services.SessionSkipped:
                    return "skipped"
                finally:
                    connection.close()

            with ThreadPoolExecutor(20) as pool:
                ends = list(pool.map(storm, bots))
            asked = server.control("requests")["total"]

        assert set(ends) <= {"failed", "skipped"}
        assert asked == ends.count("failed") <= 20
        assert caplog.text.count("Reddit refuses the app") == 1

    def test_the_next_try_comes_after_its_pause(self):
        app = RedditAppFactory()
        refusals.refuse(app, "Wrong.")
        app.refresh_from_db()
        assert not refusals.may_try(app)

        RedditApp.objects.update(next_try_at=app.next_try_at - timedelta(hours=1))

        assert [refusals.may_try(app) for _ in range(20)] == [True] + [False] * 19
