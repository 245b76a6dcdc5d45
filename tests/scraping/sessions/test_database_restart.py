"""PostgreSQL is stopped and started again in the middle of a session: nothing is lost, and it is told.

Slow: on a PostgreSQL of its own, whatever server the other tests use, with a real worker.
"""

import shutil
import signal
import tempfile
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import psycopg2
import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models import F
from django_celery_results.models import TaskResult

from bots import services as bot_services
from config import environment
from jobs import locks
from jobs.runs import liveness, sweep
from local.servers import launching
from local.servers.postgres import DATABASE, PostgresServer
from scraping.models import RedditComment, RedditPost, RequestBudget, ScrapeSession, Stream
from scraping.sessions import lifecycle, services
from tests.database import sessions_waiting_for_locks
from tests.factories import BotFactory
from tests.processes import wait_until
from tests.scraping.still_reddit import still_reddit
from tests.scraping.test_fault_matrix import NAMES, check_all, check_claims

pytestmark = pytest.mark.slow

# The manual's "Fast" and "Immediate Shutdown": the latter is a crash, after which it recovers.
MODES = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}
# What the worker is about to write when the server goes: others may not write there meanwhile.
WRITES = {
    "a page": ("scraping_redditpost", "SHARE"),
    "what a walk has proven": ("scraping_stream", "EXCLUSIVE"),
    "the session's end": ("scraping_scrapesession", "SHARE"),
}

# The words of a session that was ended by its process, and of one that was found dead.
OF_DATABASE = "The database went away"
OF_PROCESS = "ended without reporting an error"


class Server:
    """A PostgreSQL that a test may stop; it loses nothing that it has confirmed."""

    def __init__(self, folder):
        self.postgres = PostgresServer(folder / "postgres", durable=True)
        self.database = DATABASE

    def url(self):
        return self.postgres.url(self.database)

    def execute(self, *statements):
        with closing(psycopg2.connect(self.postgres.url("postgres"))) as direct:
            direct.autocommit = True
            for statement in statements:
                with direct.cursor() as cursor:
                    cursor.execute(statement)

    def stop(self, mode):
        connection.close()
        process = self.postgres.process()
        process.send_signal(MODES[mode])
        assert launching.wait_for_end(process.pid, seconds=20), f"it does not stop: {mode}"

    def start(self):
        self.postgres.start()

    def restart(self, mode, *, away=0.0):
        self.stop(mode)
        time.sleep(away)
        self.start()


def on_server(patch, server):
    """Have this process's Django work on the server, until the patch is undone."""
    connection.close()
    here = environment.parse_database_url(server.url()) | {"OPTIONS": {"connect_timeout": 5}}
    for name in ("HOST", "PORT", "NAME", "USER", "PASSWORD", "OPTIONS"):
        patch.setitem(connection.settings_dict, name, here.get(name) or "")


@pytest.fixture(scope="module")
def own_server(django_db_setup, django_db_blocker):
    # As in test_embedded: not below pytest's folder, which is closed to the server's system user.
    folder = Path(tempfile.mkdtemp(prefix="lurker restart "))
    server = Server(folder)
    try:
        server.start()
        with django_db_blocker.unblock(), pytest.MonkeyPatch.context() as patch:
            on_server(patch, server)
            call_command("migrate", verbosity=0)
            connection.close()
        yield server
    finally:
        server.postgres.stop()
        shutil.rmtree(folder)


@pytest.fixture
def server(own_server, transactional_db, settings, monkeypatch):
    """The server with an empty database, on which Django works."""
    own_server.database = "restarted"
    own_server.execute(f"CREATE DATABASE restarted TEMPLATE {DATABASE}")
    settings.LOCK_DATABASE_URL = None
    with monkeypatch.context() as patch:
        on_server(patch, own_server)
        yield own_server
        liveness.abandon()
        connection.close()
    own_server.execute("DROP DATABASE restarted WITH (FORCE)")


@pytest.fixture
def reddit(settings):
    with still_reddit(
        subreddits=5, history_hours=2, posts_per_hour=30, comments_per_post=1
    ) as server:
        settings.SIMULATOR_URL = server.url
        yield server


@pytest.fixture
def bot(server, reddit):
    """It has read everything, and three hours have passed since."""
    bot = BotFactory(subreddits=list(NAMES), comments="stream")
    assert services.scrape_bot(bot.pk, trigger="manual").status == "completed"
    bot.since = reddit.control("")["now"]
    pass_hours(reddit, 3)
    return bot


@pytest.fixture
def workers(server, processes, reddit):
    processes.environment |= {
        "DATABASE_URL": server.url(),
        "TEST_DATABASE_URL": server.url(),
        "SIMULATOR_URL": reddit.url,
    }
    processes.environment.pop("LOCK_DATABASE_URL", None)
    return processes


def pass_hours(reddit, hours):
    reddit.control("clock", {"advance": hours * 3600})
    Stream.objects.update(last_fetch_at=F("last_fetch_at") - timedelta(hours=hours))


def await_page(reddit, *, seconds):
    """Have the second page take so long."""
    slow = {"kind": "latency", "seconds": seconds, "path": "/new", "skip": 1, "times": 1}
    reddit.control("faults", slow)
    return lambda: reddit.control("faults")["faults"][0]["hit"] == 1


def sessions_of(run):
    return list(ScrapeSession.objects.filter(task_id=run.task_id).order_by("queued_at", "pk"))


def ended(run, status="SUCCESS"):
    return lambda: TaskResult.objects.get(task_id=run.task_id).status == status


def check_told(run, *, why):
    """The run had two sessions: one that was interrupted, and one that did the rest."""
    first, second = sessions_of(run)
    assert (first.status, second.status) == ("interrupted", "completed"), second.outcomes
    assert why in first.error
    assert second.resumes == first
    assert first.started_at < first.ended_at < second.started_at
    if why == OF_DATABASE:
        assert first.new == stored_by(first)
    assert second.new == stored_by(second)


def stored_by(session):
    return sum(
        model.objects.filter(
            first_seen_at__gte=session.started_at, first_seen_at__lte=session.ended_at
        ).count()
        for model in (RedditPost, RedditComment)
    )


def check_permits(reddit):
    """Each request had its permit, and none was lost but, at most, the one under way."""
    kinds = reddit.control("requests")["clients"].values()
    made = sum(
        sum(statuses.values())
        for told in kinds
        for kind, statuses in told.items()
        if kind != "token"
    )
    assert made <= RequestBudget.objects.get().used <= made + 1


def check_nothing_is_held(bot):
    assert not ScrapeSession.objects.filter(status__in=("queued", "running")).exists()
    assert not locks.is_held(lifecycle.lock_key(bot.pk))
    streams = [f"stream:{pk}" for pk in Stream.objects.values_list("pk", flat=True)]
    assert not locks.holders(streams)


def check_recovered(bot, run, reddit, worker, *, why=OF_DATABASE):
    """Right after the restart, and after the worker's next session."""
    wait_until(ended(run), seconds=40, what="the run has ended")
    if why is None:
        (session,) = sessions_of(run)
        assert (session.status, session.new) == ("completed", stored_by(session))
    else:
        check_told(run, why=why)
    bot.refresh_from_db()
    assert (bot.last_session_status, bot.failures_in_a_row) == ("completed", 0)
    check_claims(reddit, bot.since)
    check_all(reddit, bot.since)
    check_permits(reddit)
    check_nothing_is_held(bot)

    pass_hours(reddit, 1)
    again = bot_services.run_now(bot)
    wait_until(ended(again), what="the same worker's next run has ended")
    assert [session.status for session in sessions_of(again)] == ["completed"]
    assert check_all(reddit, bot.since).exist > 100
    assert worker.is_running


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("latency", "away"), [(2, 0), (1, 4)], ids=["back", "away"])
def test_while_a_page_is_waited_for(mode, latency, away, bot, server, reddit, workers):
    """It is back, or is not, when the answer comes; whoever had a connection had locks on it."""
    is_awaited = await_page(reddit, seconds=latency)
    worker = workers.worker()
    run = bot_services.run_now(bot)
    wait_until(is_awaited, what="it waits for a page")

    server.restart(mode, away=away)

    check_recovered(bot, run, reddit, worker)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("what", WRITES)
def test_while_it_writes(what, mode, bot, server, reddit, workers):
    is_awaited = await_page(reddit, seconds=2)
    worker = workers.worker()
    run = bot_services.run_now(bot)
    wait_until(is_awaited, what="it waits for a page")
    table, lock = WRITES[what]
    with closing(psycopg2.connect(server.url())) as blocking:
        blocking.cursor().execute(f"LOCK TABLE {table} IN {lock} MODE")
        wait_until(lambda: sessions_waiting_for_locks() == 1, what=f"it is about to write {what}")

        server.restart(mode)

    # What is left to be written then is written when the server is back.
    why = None if what == "the session's end" else OF_DATABASE
    check_recovered(bot, run, reddit, worker, why=why)


@pytest.mark.parametrize("mode", MODES)
def test_the_worker_dies_while_the_server_is_away(mode, bot, server, reddit, workers, monkeypatch):
    """As when a machine loses its power. Who comes up next takes nobody for dead too early."""
    is_awaited = await_page(reddit, seconds=60)
    first = workers.worker(name="first")
    run = bot_services.run_now(bot)
    wait_until(is_awaited, what="it waits for a page")
    server.stop(mode)
    first.kill()
    server.start()
    reddit.control("faults", method="DELETE")
    assert [session.status for session in sessions_of(run)] == ["running"]
    check_claims(reddit, bot.since)

    worker = workers.worker(name="second")
    wait_until(
        lambda: [session.status for session in sessions_of(run)] == ["interrupted"],
        what="its session is told as interrupted",
    )
    assert ended(run, "STARTED")(), "a server that was just started knows of no locks"
    monkeypatch.setattr(sweep, "SETTLE_SECONDS", 0)
    sweep.run()

    check_recovered(bot, run, reddit, worker, why=OF_PROCESS)
