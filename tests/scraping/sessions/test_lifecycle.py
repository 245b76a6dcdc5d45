"""A session goes from queued to running to one end, and tells how it ended whatever happened."""

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.db import transaction

from bots import services as bot_services
from bots.models import BotConfig
from jobs import locks
from scraping.models import ScrapeSession
from scraping.sessions import lifecycle, services
from tests.factories import BotFactory

pytestmark = pytest.mark.django_db(transaction=True)

Status = ScrapeSession.Status

HOLDER = """
import sys, time, django
django.setup()
from bots.models import BotConfig
from jobs import locks
from scraping.sessions import lifecycle
bot = BotConfig.objects.get(pk=sys.argv[1])
with locks.hold(lifecycle.lock_key(bot.pk)):
    lifecycle.start(bot, trigger="manual", task_id="the run")
    print("RUNNING", flush=True)
    time.sleep(600)
"""


def queued(bot):
    return lifecycle.queue(bot, trigger="manual", task_id="the run")


def state(session):
    session.refresh_from_db()
    return session.status


class TestAWholeLife:
    def test_a_requested_run_uses_the_session_that_was_queued_for_it(self, reddit, broker):
        bot = BotFactory()
        run = bot_services.run_now(bot)
        waiting = ScrapeSession.objects.get()
        assert (waiting.status, waiting.task_id) == ("queued", run.task_id)

        done = services.scrape_bot(bot.pk, trigger="manual", task_id=run.task_id)

        assert done.pk == waiting.pk
        assert ScrapeSession.objects.get().status == "completed"
        assert done.queued_at <= done.started_at <= done.ended_at
        assert done.duration == done.ended_at - done.started_at

    def test_a_rolled_back_request_leaves_no_session(self, broker):
        bot = BotFactory()
        with transaction.atomic():
            bot_services.run_now(bot)
            transaction.set_rollback(True)

        assert not ScrapeSession.objects.exists()

    def test_the_bot_knows_its_last_session(self, reddit):
        bot = BotFactory()
        done = services.scrape_bot(bot.pk, trigger="manual")

        bot.refresh_from_db()
        assert bot.last_session_at == bot.last_success_at == done.ended_at
        assert bot.last_session_status == "completed"
        assert f"{done.posts_seen} posts" in bot.last_session_summary

    def test_telling_the_bot_leaves_its_edits_alone(self, reddit):
        """It may be edited in the admin while its session runs."""
        bot = BotFactory(name="Before")

        services.scrape_bot(
            bot.pk,
            trigger="manual",
            on_progress=lambda _: BotConfig.objects.filter(pk=bot.pk).update(name="After"),
        )

        bot.refresh_from_db()
        assert (bot.name, bot.last_session_status) == ("After", "completed")

    def test_what_ended_does_not_end_again(self):
        bot = BotFactory()
        with locks.hold(lifecycle.lock_key(bot.pk)):
            session = lifecycle.start(bot, trigger="manual")
        assert lifecycle.finish(session, Status.COMPLETED)

        assert not lifecycle.finish(session, Status.FAILED, error="too late")
        assert state(session) == "completed"

    def test_a_time_limit_is_told(self, reddit):
        bot = BotFactory(comments="stream")

        def reach_the_limit(progress):
            raise SoftTimeLimitExceeded

        session = services.scrape_bot(bot.pk, trigger="schedule", on_progress=reach_the_limit)

        assert (session.status, session.error) == (
            "partial",
            "The session reached the time limit of its task.",
        )
        assert session.posts_seen > 0

    @pytest.mark.parametrize("ending", [KeyboardInterrupt, SystemExit])
    def test_a_process_that_is_told_to_stop_tells_it(self, reddit, ending):
        bot = BotFactory()

        def stop(progress):
            raise ending

        with pytest.raises(ending):
            services.scrape_bot(bot.pk, trigger="command", on_progress=stop)

        session = ScrapeSession.objects.get()
        assert session.status == "failed"
        assert ending.__name__ in session.error


class TestRunsThatHaveNothingToDo:
    def test_a_message_that_comes_twice_runs_once(self, reddit):
        bot = BotFactory()
        services.scrape_bot(bot.pk, trigger="schedule", task_id="the run")

        with pytest.raises(services.SessionSkipped, match="run the run has had its session"):
            services.scrape_bot(bot.pk, trigger="schedule", task_id="the run")
        assert ScrapeSession.objects.count() == 1

    def test_a_bot_that_is_being_scraped_is_left_alone(self, reddit):
        bot = BotFactory()
        waiting = queued(bot)

        with (
            locks.hold(lifecycle.lock_key(bot.pk)),
            pytest.raises(services.SessionSkipped, match=f"scrape-bot:{bot.pk} is held by lurker"),
        ):
            services.scrape_bot(bot.pk, trigger="manual", task_id="the run")

        assert state(waiting) == "cancelled"
        assert "is held by" in waiting.error

    def test_a_bot_that_is_gone_cancels_its_run(self):
        bot = BotFactory()
        waiting = queued(bot)
        number = bot.pk
        bot.delete()

        with pytest.raises(services.SessionSkipped, match=f"bot {number} does not exist any more"):
            services.scrape_bot(number, trigger="manual", task_id="the run")

        assert state(waiting) == "cancelled"
        assert waiting.bot is None
        assert waiting.bot_name == bot.name

    def test_an_inactive_bot_cancels_its_run(self):
        bot = BotFactory()
        waiting = queued(bot)
        BotConfig.objects.update(is_active=False)

        with pytest.raises(services.SessionSkipped, match="is inactive"):
            services.scrape_bot(bot.pk, trigger="manual", task_id="the run")

        assert state(waiting) == "cancelled"

    def test_a_bot_that_is_deleted_while_it_runs_ends_its_session(self, reddit):
        bot = BotFactory()

        session = services.scrape_bot(
            bot.pk,
            trigger="manual",
            on_progress=lambda _: BotConfig.objects.filter(pk=bot.pk).delete(),
        )

        assert state(session) == "completed"
        assert (session.bot, session.bot_name) == (None, bot.name)


class TestInterrupted:
    def test_a_running_session_is_not_touched(self):
        bot = BotFactory()
        with locks.hold(lifecycle.lock_key(bot.pk)):
            session = lifecycle.start(bot, trigger="manual")

            assert lifecycle.close_interrupted() == 0
            assert state(session) == "running"

    def test_a_session_whose_lock_is_free_has_ended(self):
        bot = BotFactory()
        with locks.hold(lifecycle.lock_key(bot.pk)):
            session = lifecycle.start(bot, trigger="manual")

        assert lifecycle.close_interrupted() == 1
        assert state(session) == "interrupted"
        bot.refresh_from_db()
        assert bot.last_session_status == "interrupted"
        assert lifecycle.close_interrupted() == 0

    def test_the_next_session_of_the_bot_closes_it_too(self, reddit):
        bot = BotFactory()
        with locks.hold(lifecycle.lock_key(bot.pk)):
            session = lifecycle.start(bot, trigger="manual")

        done = services.scrape_bot(bot.pk, trigger="schedule")

        assert (state(session), done.status) == ("interrupted", "completed")
        bot.refresh_from_db()
        assert bot.last_session_status == "completed"

    def test_its_run_may_come_again(self, reddit):
        """Redis hands a dead worker's message to another one."""
        bot = BotFactory()
        with locks.hold(lifecycle.lock_key(bot.pk)):
            session = lifecycle.start(bot, trigger="schedule", task_id="the run")

        again = services.scrape_bot(bot.pk, trigger="schedule", task_id="the run")

        assert state(session) == "interrupted"
        assert (again.status, again.task_id) == ("completed", "the run")
        with pytest.raises(services.SessionSkipped):
            services.scrape_bot(bot.pk, trigger="schedule", task_id="the run")

    def test_queued_and_ended_sessions_are_not_interrupted(self):
        bot = BotFactory()
        waiting = queued(bot)

        assert lifecycle.close_interrupted() == 0
        assert state(waiting) == "queued"

    @pytest.mark.slow
    def test_a_killed_process_leaves_an_interrupted_session(self, processes):
        bot = BotFactory()
        process = processes.start("-c", HOLDER, str(bot.pk), name="holder", ready="RUNNING")
        assert lifecycle.close_interrupted() == 0
        assert ScrapeSession.objects.get().status == "running"

        process.kill()

        from tests.processes import wait_until

        wait_until(lambda: lifecycle.close_interrupted() == 1, what="the session is closed")
        session = ScrapeSession.objects.get()
        assert session.status == "interrupted"
        assert "ended without reporting an error" in session.error


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        ([], "completed"),
        (["ok", "empty"], "completed"),
        (["ok", "private"], "partial"),
        (["gap"], "partial"),
        (["gap", "banned"], "partial"),
        (["private"], "failed"),
        (["throttled", "unavailable"], "failed"),
    ],
)
def test_how_a_session_ended_follows_from_its_streams(outcomes, status):
    named = {f"r/a{number} posts": {"outcome": o} for number, o in enumerate(outcomes)}

    assert lifecycle.status_of(named) == status
