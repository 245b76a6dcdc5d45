"""What goes wrong is the outcome of what it hit, and costs nothing else of a session."""

import pytest

from bots.models import BotConfig
from scraping.models import Gap, RedditPost, ScrapeSession, Stream
from tests.factories import BotFactory, RedditAppFactory
from tests.scraping.bot_sessions import advance, bot_summary, fill, listed, outcomes, run, stored

# Pages are committed one by one, as in a worker.
pytestmark = pytest.mark.django_db(transaction=True)


class TestFaults:
    @pytest.mark.parametrize(
        ("fault", "outcome"),
        [
            ({"kind": "status", "status": 503}, "unavailable"),
            ({"kind": "status", "status": 429}, "throttled"),
            ({"kind": "status", "status": 401}, "unauthorized"),
            ({"kind": "status", "status": 418}, "error"),
            ({"kind": "not_json"}, "error"),
            ({"kind": "reset"}, "unavailable"),
        ],
    )
    def test_each_is_the_outcome_of_what_it_hit(self, bot, reddit, no_pauses, fault, outcome):
        reddit.control("faults", fault | {"path": "/comments"})

        session = run(bot)

        assert session.status == "partial"
        assert outcomes(session) == {
            "r/python posts": "ok",
            "r/berlin posts": "ok",
            "r/python comments": outcome,
            "r/berlin comments": outcome,
        }
        assert session.requests > 0
        assert outcome in bot_summary(bot) or session.error

    @pytest.mark.parametrize(
        ("status", "outcome"), [(429, "throttled"), (401, "unauthorized"), (503, "unavailable")]
    )
    def test_when_nothing_was_read_the_session_failed(
        self, bot, reddit, no_pauses, status, outcome
    ):
        reddit.control("faults", {"kind": "status", "status": status})

        session = run(bot)

        assert session.status == "failed"
        assert set(outcomes(session).values()) == {outcome}
        assert len(outcomes(session)) == 4
        bot.refresh_from_db()
        assert (bot.last_session_status, bot.last_success_at) == ("failed", None)

    def test_a_wrong_secret_is_told_as_such(self, settings):
        from scraping.simulator.server import SimulatorServer

        with SimulatorServer(port=0, clients=("tests:right",)) as server:
            settings.SIMULATOR_URL = server.url
            app = RedditAppFactory(client_id="tests", client_secret="wrong")
            session = run(BotFactory(owner=app.owner, reddit_app=app))

        assert session.status == "failed"
        assert "Check the app's client id and secret" in session.error
        assert "wrong" not in session.error

    def test_a_fault_in_the_middle_keeps_what_was_read_and_moves_no_watermark(
        self, bot, reddit, no_pauses
    ):
        run(bot)
        before = dict(Stream.objects.values_list("pk", "watermark"))
        fill(reddit, "python", number=250)
        reddit.control("faults", {"kind": "status", "status": 503, "path": "/new", "skip": 1})

        session = run(bot)

        assert outcomes(session)["r/python posts"] == "unavailable"
        assert session.new >= 100
        posts = Stream.objects.filter(kind="posts")
        assert all(stream.watermark == before[stream.pk] for stream in posts)

        reddit.control("faults", method="DELETE")
        run(bot)
        assert listed(reddit, "python") <= stored("python")
        assert not Gap.objects.exists()

    def test_a_bad_item_is_counted_and_its_page_stored(self, bot, reddit, caplog):
        bad = reddit.control(
            "items", {"subreddit": "python", "title": "x", "fields": {"created_utc": None}}
        )
        advance(reddit, 60)

        session = run(bot)

        assert session.rejected == 1
        assert session.status == "completed"
        assert stored("python") == listed(reddit, "python") - {bad["fullname"]}
        assert f"{bad['fullname']}: created_utc" in caplog.text

    @pytest.mark.parametrize("kind", ["ads", "oversize"])
    def test_odd_pages_are_stored(self, bot, reddit, kind):
        reddit.control("faults", {"kind": kind})

        session = run(bot)

        assert session.status == "completed"
        assert listed(reddit, "python") <= stored("python")

    def test_a_bug_ends_the_session_and_is_raised(self, bot, monkeypatch):
        def broken(*args, **options):
            raise ZeroDivisionError("a bug")

        monkeypatch.setattr("scraping.intake.ingest_comments", broken)

        with pytest.raises(ZeroDivisionError):
            run(bot)

        session = ScrapeSession.objects.get()
        assert (session.status, session.error) == ("failed", "ZeroDivisionError: a bug")
        assert not RedditPost.objects.exists()

    def test_a_bot_that_is_deleted_meanwhile_costs_no_others_page(self, bot):
        other = BotFactory(subreddits=["python"])

        def delete_other(progress):
            BotConfig.objects.filter(pk=other.pk).delete()

        session = run(bot, on_progress=delete_other)

        assert session.status == "completed"
