"""Whether subreddits can be read: told by few requests, never a zero in disguise, and they come back."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from bots import refusals
from bots.models import BotConfig
from scraping.budget.clients import client_for
from scraping.collecting import availability
from scraping.models import RedditPost, Stream, Subreddit
from scraping.models.streams import FIRST_PAUSE, LONGEST_PAUSE, QUIET_PAUSE
from scraping.reddit.errors import SubredditUnavailable
from scraping.sessions import services
from scraping.simulator.server import SimulatorServer
from scraping.tasks import probe_subreddits
from tests import needs
from tests.factories import BotFactory, RedditAppFactory

pytestmark = pytest.mark.django_db(transaction=True)

SHOWN_BY_INFO = ("private", "quarantined", "gated")
HIDDEN_BY_INFO = ("banned", "missing")
BUSY = "python"


def run(bot):
    return services.scrape_bot(bot.pk, trigger="manual")


def outcomes(session):
    return {stream: outcome["outcome"] for stream, outcome in session.outcomes.items()}


def close(reddit, name, status, **more):
    reddit.control("subreddits", {"name": name, "status": status} | more)


def journal(reddit):
    """What has been asked since the last reset, but for tokens: method, path and query."""
    entries = reddit.control("requests?limit=5000")["latest"]
    return [
        f"{entry['path']}?{entry['query']}"
        for entry in entries
        if "access_token" not in entry["path"] and "control" not in entry["path"]
    ]


def asked(reddit, work):
    """What a piece of work asks Reddit."""
    before = len(journal(reddit))
    work()
    return journal(reddit)[before:]


def singly(requests):
    return [request for request in requests if "/new?limit=1&" in request]


def infos(requests):
    return [request for request in requests if request.startswith("/api/info")]


def pass_time(delta):
    """Let everything that was noted be so much older."""
    for subreddit in Subreddit.objects.all():
        for name in ("probed_at", "status_since"):
            at = getattr(subreddit, name)
            setattr(subreddit, name, at - delta if at else None)
        subreddit.save()


def state(name):
    return Subreddit.objects.get(name__iexact=name).status


@pytest.fixture
def quiet(reddit):
    """Subreddits in which nothing has ever been written."""
    names = [f"quiet{number}" for number in range(6)]
    for name in names:
        close(reddit, name, "ok")
    return names


class TestQuietSubreddits:
    def test_each_is_asked_for_singly_once_and_some_at_a_time(self, reddit, quiet, monkeypatch):
        monkeypatch.setattr(availability, "SINGLE_REQUESTS", 2)
        bot = BotFactory(subreddits=[*quiet, BUSY])

        rounds = [asked(reddit, lambda: run(bot)) for _ in range(4)]

        single = [request for requests in rounds for request in singly(requests)]
        assert 0 < len(single) == len(set(single)) <= len(quiet)
        assert all(len(singly(requests)) <= availability.SINGLE_REQUESTS for requests in rounds)
        assert set(Subreddit.objects.values_list("status", flat=True)) == {"ok"}

    def test_known_ones_cost_one_request_of_a_session_for_all_kinds(self, reddit, quiet):
        """Nothing seen proves nothing: they may have been closed, and opened again, between walks."""
        bot = BotFactory(subreddits=[*quiet, BUSY], comments="stream")
        run(bot)
        Subreddit.objects.update(status="ok", probed_at=timezone.now())

        requests = asked(reddit, lambda: run(bot))

        assert len(infos(requests)) == 1
        assert singly(requests) == []

    def test_what_is_silent_and_not_asked_about_was_not_read(self, reddit, quiet, no_pauses):
        bot = BotFactory(subreddits=[quiet[0], BUSY])
        run(bot)
        before = Stream.objects.get(subreddit__name=quiet[0])
        reddit.control("faults", {"kind": "status", "status": 503, "path": "/api/info"})
        reddit.control("clock", {"advance": 3600})

        session = run(bot)

        assert outcomes(session)[f"r/{quiet[0]} posts"] == "unavailable"
        after = Stream.objects.get(subreddit__name=quiet[0])
        assert (after.watermark, after.last_fetch_at) == (before.watermark, before.last_fetch_at)

    def test_a_single_one_that_answers_can_be_read(self, reddit, quiet):
        session = run(BotFactory(subreddits=quiet[:1]))

        assert outcomes(session) == {f"r/{quiet[0]} posts": "empty"}
        assert state(quiet[0]) == "ok"

    def test_a_search_that_finds_nothing_asks_few_requests(self, reddit):
        bot = BotFactory(
            subreddits=["python", "berlin", "france"], listing="search", search_query="xylophone"
        )

        requests = asked(reddit, lambda: run(bot))

        # The search, what Reddit says of all three, and their newest posts.
        assert len(requests) == 3
        assert set(Subreddit.objects.values_list("status", flat=True)) == {"ok"}

    def test_a_failing_probe_is_not_taken_for_quiet(self, reddit, quiet, no_pauses):
        reddit.control("faults", {"kind": "status", "status": 503, "path": "/api/info"})
        bot = BotFactory(subreddits=[quiet[0], BUSY])

        session = run(bot)

        assert outcomes(session) == {f"r/{quiet[0]} posts": "unavailable", f"r/{BUSY} posts": "ok"}
        assert state(quiet[0]) == "unknown"


class TestClosedSubreddits:
    @pytest.mark.parametrize("status", HIDDEN_BY_INFO)
    def test_the_reason_is_asked_for_once(self, reddit, status):
        names = [f"gone{number}" for number in range(3)]
        for name in names:
            close(reddit, name, status)
        bot = BotFactory(subreddits=[*names, BUSY])

        assert len(singly(asked(reddit, lambda: run(bot)))) == 3
        assert {state(name) for name in names} == {status}
        for _ in range(3):
            pass_time(LONGEST_PAUSE)
            requests = asked(reddit, lambda: run(bot))
            assert singly(requests) == []
            assert len(infos(requests)) == 1

    def test_many_that_are_missing_are_named_some_at_a_time_and_never_empty(self, reddit):
        names = [f"nosuch{number}" for number in range(25)]
        bot = BotFactory(subreddits=[*names, BUSY])

        for _ in range(4):
            session = run(bot)
            assert {outcomes(session)[f"r/{name} posts"] for name in names} == {"missing"}

        assert Subreddit.objects.filter(status="missing").count() == 25

    def test_a_private_one_is_told_by_its_description(self, reddit):
        close(reddit, "berlin", "private")
        bot = BotFactory(subreddits=["berlin", BUSY])

        requests = asked(reddit, lambda: run(bot))

        assert (state("berlin"), singly(requests)) == ("private", [])

    @pytest.mark.parametrize("listing", ["new", "hot", "search"])
    def test_until_its_pause_is_over_it_costs_nothing(self, reddit, listing):
        close(reddit, "berlin", "private")
        bot = BotFactory(subreddits=["berlin"], listing=listing, search_query="a")
        run(bot)
        pass_time(FIRST_PAUSE - timedelta(minutes=5))

        assert asked(reddit, lambda: run(bot)) == []
        pass_time(timedelta(minutes=5))
        assert len(asked(reddit, lambda: run(bot))) == 1

    @pytest.mark.slow
    def test_the_pause_grows_to_a_day(self, reddit):
        close(reddit, "berlin", "private")
        bot = BotFactory(subreddits=["berlin"])
        run(bot)
        pauses = []
        for _ in range(8):
            pause = Subreddit.objects.get().next_probe_at - timezone.now()
            pass_time(pause - timedelta(minutes=1))
            assert asked(reddit, lambda: run(bot)) == []
            pass_time(timedelta(minutes=1))
            assert len(asked(reddit, lambda: run(bot))) == 1
            pauses.append(round(pause / timedelta(hours=1)))

        assert pauses == [1, 1, 2, 4, 8, 16, 24, 24]

    @pytest.mark.parametrize("status", [*SHOWN_BY_INFO, *HIDDEN_BY_INFO])
    def test_it_comes_back_by_itself(self, reddit, status):
        close(reddit, "berlin", status)
        bot = BotFactory(subreddits=["berlin", BUSY])
        run(bot)
        assert state("berlin") == status
        close(reddit, "berlin", "ok")
        pass_time(FIRST_PAUSE)

        session = run(bot)

        assert session.status == "completed"
        assert RedditPost.objects.filter(subreddit__name="berlin").exists()

    @pytest.mark.parametrize("status", ["private", "banned"])
    def test_of_a_busy_one_that_closes_it_is_noticed_at_once(self, reddit, status):
        """Its stored items are younger than what the listing still shows of the others."""
        bot = BotFactory(subreddits=["berlin", BUSY])
        run(bot)
        close(reddit, "berlin", status)

        session = run(bot)

        assert outcomes(session)["r/berlin posts"] == status

    def test_a_dry_run_asks_and_writes_nothing(self, reddit):
        close(reddit, "berlin", "banned")
        bot = BotFactory(subreddits=["berlin", BUSY])
        run(bot)
        pass_time(FIRST_PAUSE)
        close(reddit, "berlin", "ok")
        before = list(Subreddit.objects.order_by("pk").values())

        progress = services.preview(bot.reddit_app, services.Plan.of(bot))

        assert progress.outcomes["r/berlin posts"]["outcome"] == "ok"
        assert list(Subreddit.objects.order_by("pk").values()) == before


class TestRenamedSubreddits:
    def test_its_id_answers_under_another_name(self, reddit):
        bot = BotFactory(subreddits=["berlin", BUSY])
        run(bot)
        close(reddit, "berlin", "ok", renamed_to="cologne")
        pass_time(QUIET_PAUSE)

        session = run(bot)

        assert session.outcomes["r/berlin posts"]["outcome"] == "renamed"
        assert "r/cologne" in session.outcomes["r/berlin posts"]["detail"]
        berlin = Subreddit.objects.get(name="berlin")
        assert (berlin.status, berlin.renamed_to) == ("renamed", "cologne")

    def test_reddit_sends_us_to_the_other_name(self, reddit):
        close(reddit, "berlin", "ok", renamed_to="cologne")

        session = run(BotFactory(subreddits=["berlin"]))

        assert outcomes(session) == {"r/berlin posts": "renamed"}
        assert Subreddit.objects.get(name="berlin").renamed_to == "cologne"

    def test_it_stays_renamed_at_the_cost_of_a_batch(self, reddit):
        close(reddit, "berlin", "ok", renamed_to="cologne")
        bot = BotFactory(subreddits=["berlin"])
        run(bot)
        pass_time(FIRST_PAUSE)

        session = run(bot)

        assert "cologne" in session.outcomes["r/berlin posts"]["detail"]
        assert state("berlin") == "renamed"

    def test_another_case_is_no_other_name(self, reddit):
        close(reddit, "berlin", "banned")
        bot = BotFactory(subreddits=["BERLIN", BUSY])

        assert outcomes(run(bot))["r/BERLIN posts"] == "banned"


class TestTheSchedule:
    def test_is_installed(self):
        row = PeriodicTask.objects.get(name="probe-subreddits")

        assert (row.task, row.queue, row.enabled) == ("scraping.probe_subreddits", "scraping", True)

    def test_it_finds_what_came_back_when_nobody_else_asks(self, reddit):
        for name in ("berlin", "france"):
            close(reddit, name, "private")
        run(BotFactory(subreddits=["berlin", "france"], auto_scrape_enabled=False))
        close(reddit, "berlin", "ok")
        assert probe_subreddits() == {"asked": 0, "readable": 0}

        pass_time(FIRST_PAUSE)

        assert probe_subreddits() == {"asked": 2, "readable": 1}
        assert (state("berlin"), state("france")) == ("ok", "private")
        assert probe_subreddits() == {"asked": 0, "readable": 0}

    def test_many_are_asked_about_in_hundreds(self, reddit):
        bot = BotFactory(subreddits=[f"nosuch{number}" for number in range(150)])
        long_ago = timezone.now() - timedelta(days=9)
        Subreddit.objects.bulk_create(
            Subreddit(name=name, status="missing", status_since=long_ago, probed_at=long_ago)
            for name in bot.subreddits
        )

        requests = asked(reddit, probe_subreddits)

        assert len(infos(requests)) == len(requests) == 2

    def test_what_no_active_bot_watches_is_let_be(self, reddit):
        close(reddit, "berlin", "private")
        bot = BotFactory(subreddits=["berlin"])
        run(bot)
        pass_time(FIRST_PAUSE)
        BotConfig.objects.update(is_active=False)

        assert asked(reddit, probe_subreddits) == []

    def test_an_app_that_reddit_refuses_does_not_ask(self, reddit):
        close(reddit, "berlin", "private")
        bot = BotFactory(subreddits=["berlin"])
        run(bot)
        pass_time(FIRST_PAUSE)
        refusals.refuse(bot.reddit_app, "Wrong.")

        assert asked(reddit, probe_subreddits) == []

        BotFactory(subreddits=["Berlin"])
        assert len(infos(asked(reddit, probe_subreddits))) == 1

    def test_a_refusal_that_the_probe_meets_is_noted(self, settings, reddit):
        close(reddit, "berlin", "private")
        run(BotFactory(subreddits=["berlin"]))
        pass_time(FIRST_PAUSE)
        with SimulatorServer(port=0, clients=("right:right",)) as server:
            settings.SIMULATOR_URL = server.url
            app = RedditAppFactory()
            BotConfig.objects.update(reddit_app=app)
            probe_subreddits()

        app.refresh_from_db()
        assert app.is_refused
        assert Subreddit.objects.get(name="berlin").probe_is_due

    def test_a_probe_that_fails_is_made_again(self, reddit, no_pauses):
        close(reddit, "berlin", "private")
        run(BotFactory(subreddits=["berlin"]))
        close(reddit, "berlin", "ok")
        pass_time(FIRST_PAUSE)
        reddit.control("faults", {"kind": "status", "status": 503, "path": "/api/info"})

        probe_subreddits()
        assert state("berlin") == "private"
        reddit.control("faults", method="DELETE")

        assert probe_subreddits() == {"asked": 1, "readable": 1}

    def test_two_that_ask_at_the_same_time_ask_once(self, reddit):
        close(reddit, "berlin", "private")
        bot = BotFactory(subreddits=["berlin"])
        run(bot)
        pass_time(FIRST_PAUSE)
        held = list(Subreddit.objects.filter(name="berlin"))
        probe_subreddits()

        with client_for(bot.reddit_app, permits=None) as client:
            assert set(availability.still_closed(client, held)) == {"berlin"}
            assert client.requests == 0


class TestWhatIsRemembered:
    def test_a_state_has_its_beginning(self):
        Subreddit.objects.create(name="Python")
        error = SubredditUnavailable("Private.", status="private")
        availability.record("pYTHON", error)
        since = Subreddit.objects.get().status_since

        availability.record("python", error)

        subreddit = Subreddit.objects.get()
        assert (subreddit.status, subreddit.status_since) == ("private", since)
        assert subreddit.probed_at > since

    def test_what_gave_items_can_be_read(self):
        Subreddit.objects.create(name="Python", status="renamed", renamed_to="snake")
        Subreddit.objects.create(name="django")

        availability.record_readable(["PYTHON"])

        states = set(Subreddit.objects.values_list("name", "status", "renamed_to"))
        assert states == {("Python", "ok", ""), ("django", "unknown", "")}


@pytest.mark.parametrize(
    ("data", "outcome"),
    [
        ({"subreddit_type": "private", "subscribers": None}, "private"),
        # As Reddit describes banned ones that are looked up by their ids: why, it does not say.
        ({"subreddit_type": "public", "subscribers": None}, None),
        (None, None),
    ],
)
def test_what_a_description_tells_of_one_that_could_be_read(data, outcome):
    found = availability._hidden(Subreddit(name="a", status="ok"), data)

    assert (found and found.outcome) == outcome


@needs.RECORDINGS.mark()
def test_in_recorded_descriptions_only_closed_ones_hide_their_subscribers():
    described = {}
    for path in sorted((needs.RECORDINGS_FOLDER / "recordings").glob("*_api_info.json")):
        things = json.loads(path.read_text())["data"]["children"]
        described |= availability._described(thing for thing in things if thing["kind"] == "t5")

    closed = {name for name, data in described.items() if data["subscribers"] is None}
    assert closed
    assert closed == {name for name, data in described.items() if data["description"] is None}
    assert {described[name]["quarantine"] for name in closed} == {None}
    assert {data["quarantine"] for name, data in described.items() if name not in closed} == {False}
