"""What there is on Reddit is stored, or a gap, a state or an error says what is not."""

from collections import Counter

import pytest
from django.utils import timezone

from bots.models import BotConfig
from scraping import services, sessions
from scraping.clients import client_for
from scraping.collection import Collector, Plan, Progress
from scraping.models import (
    BotItem,
    Gap,
    RedditComment,
    RedditPost,
    ScrapeSession,
    Stream,
    Subreddit,
)
from scraping.models.streams import FIRST_PAUSE
from scraping.reddit.errors import Unauthorized
from tests.factories import BotFactory, RedditAppFactory

# Pages are committed one by one, as in a worker.
pytestmark = pytest.mark.django_db(transaction=True)

HOUR = 3600


def run(bot, **options):
    return services.scrape_bot(bot.pk, trigger="manual", **options)


def outcomes(session):
    return {stream: outcome["outcome"] for stream, outcome in session.outcomes.items()}


def listed(reddit, name, kind="t3"):
    """Fullnames of what Reddit lists of a subreddit, by the simulator's own account."""
    items = reddit.control(f"truth?subreddit={name}&kind={kind}")["items"]
    return {item["fullname"] for item in items if item["state"] == "live"}


def stored(name, model=RedditPost):
    rows = model.objects.filter(subreddit__name__iexact=name)
    return set(rows.values_list("fullname", flat=True))


def advance(reddit, seconds):
    reddit.control("clock", {"advance": seconds})


def close(reddit, name, status):
    reddit.control("subreddits", {"name": name, "status": status})


@pytest.fixture
def bot(reddit):
    return BotFactory(subreddits=["python", "berlin"], comments="stream")


class TestCompleteness:
    def test_everything_that_is_listed_is_stored(self, bot, reddit):
        session = run(bot)

        assert session.status == "completed"
        assert set(outcomes(session).values()) == {"ok"}
        for name in bot.subreddits:
            assert stored(name) == listed(reddit, name)
            assert stored(name, RedditComment) == listed(reddit, name, "t1")
        assert session.posts_seen == session.new - session.comments_seen
        assert session.new == RedditPost.objects.count() + RedditComment.objects.count()
        assert not Gap.objects.exists()

    def test_the_second_session_reads_little_and_stores_only_what_is_new(self, bot, reddit):
        first = run(bot)
        before = stored("python")
        advance(reddit, 2 * HOUR)

        second = run(bot)

        assert stored("python") == before | listed(reddit, "python")
        assert stored("python") - before
        assert second.new == RedditPost.objects.count() + RedditComment.objects.count() - first.new
        # A token, and a page or two of each kind.
        assert second.requests <= 6
        assert not Gap.objects.exists()

    def test_when_nothing_happened_nothing_is_written(self, bot):
        run(bot)

        again = run(bot)

        assert (again.status, again.new, again.updated) == ("completed", 0, 0)

    def test_what_changed_is_updated(self, bot, reddit):
        run(bot)
        newest = RedditPost.objects.filter(subreddit__name="python").first()
        reddit.control(f"items/{newest.fullname}", {"action": "edit", "selftext": "Rewritten"})

        session = run(bot)

        newest.refresh_from_db()
        assert session.updated == 1
        assert (newest.selftext, newest.edited) == ("Rewritten", True)

    def test_a_late_approved_post_in_the_middle_is_found(self, bot, reddit):
        run(bot)
        advance(reddit, 60)
        created = reddit.control("")["now"] - 600
        late = reddit.control(
            "items", {"subreddit": "python", "title": "Held back", "created_utc": created}
        )

        run(bot)

        assert RedditPost.objects.filter(fullname=late["fullname"]).exists()

    def test_a_post_that_vanished_does_not_stop_the_next_session(self, bot, reddit):
        """The newest post, on which a cursor `before` would hang, was deleted."""
        run(bot)
        newest = RedditPost.objects.filter(subreddit__name="python").first()
        reddit.control(f"items/{newest.fullname}", {"action": "delete"})
        advance(reddit, 2 * HOUR)

        run(bot)

        assert listed(reddit, "python") <= stored("python")
        assert not Gap.objects.exists()

    def test_a_subreddit_that_joins_later_is_read_to_its_end(self, bot, reddit):
        run(bot)
        bot.subreddits = ["python", "berlin", "france"]
        bot.save()

        run(bot)

        assert stored("france") == listed(reddit, "france")
        assert not Gap.objects.exists()

    def test_names_in_another_case_are_the_same_subreddit(self, bot, reddit):
        bot.subreddits = ["PYTHON"]
        bot.save()

        session = run(bot)

        assert outcomes(session) == {"r/PYTHON posts": "ok", "r/PYTHON comments": "ok"}
        assert stored("python") == listed(reddit, "python")

    @pytest.mark.parametrize("listing", ["new", "hot"])
    def test_a_stream_has_one_outcome_in_whatever_case_a_bot_names_it(
        self, bot, reddit, no_pauses, listing
    ):
        run(bot)
        close(reddit, "berlin", "private")
        Subreddit.objects.update(probed_at=timezone.now() - FIRST_PAUSE)
        reddit.control("faults", {"kind": "status", "status": 401, "path": "/comments"})
        shouting = BotFactory(subreddits=["PYTHON", "BERLIN"], comments="stream", listing=listing)

        session = run(shouting)

        # A sample names at once what is closed; silent members of walks are asked about at the end.
        berlin = "private" if listing == "hot" else "unauthorized"
        assert {name.lower(): outcome for name, outcome in outcomes(session).items()} == {
            "r/python posts": "ok",
            "r/berlin posts": berlin,
            "r/python comments": "unauthorized",
            "r/berlin comments": berlin,
        }
        assert len(session.outcomes) == 4


class TestGaps:
    def test_what_the_limit_left_out_is_a_gap(self, bot, reddit):
        run(bot)
        watermark = Stream.objects.get(subreddit__name="python", kind="posts").watermark
        for number in range(250):
            reddit.control("items", {"subreddit": "python", "title": f"Post {number}"})
            advance(reddit, 30)
        bot.subreddits, bot.item_limit = ["python"], 100
        bot.save()

        session = run(bot)

        assert session.status == "partial"
        assert outcomes(session)["r/python posts"] == "gap"
        gap = Gap.objects.get(stream__kind="posts")
        assert (gap.starts_at, gap.reason) == (watermark, "item_limit")
        missing = listed(reddit, "python") - stored("python")
        assert missing
        created = {
            item["fullname"]: item["created_utc"]
            for item in reddit.control("truth?subreddit=python&kind=t3")["items"]
        }
        for fullname in missing:
            assert gap.starts_at.timestamp() <= created[fullname] <= gap.ends_at.timestamp()

    def test_the_next_session_does_not_find_the_gap_again(self, bot, reddit):
        self.test_what_the_limit_left_out_is_a_gap(bot, reddit)
        advance(reddit, HOUR)

        session = run(bot)

        assert session.status == "completed"
        assert Gap.objects.filter(stream__kind="posts").count() == 1

    def test_a_listing_that_leads_back_to_itself_is_a_gap(self, bot, reddit):
        run(bot)
        for number in range(250):
            reddit.control("items", {"subreddit": "python", "title": f"Post {number}"})
            advance(reddit, 30)
        reddit.control("faults", {"kind": "alternate_after", "path": "/new"})

        session = run(bot)

        assert outcomes(session)["r/python posts"] == "gap"
        assert Gap.objects.filter(reason="broken_listing").exists()


class TestStates:
    """A zero is a fact, never a failure in disguise."""

    STATES = ("private", "banned", "quarantined", "gated", "missing")

    @pytest.mark.parametrize("status", STATES)
    @pytest.mark.parametrize("listing", ["new", "hot", "search"])
    def test_a_single_subreddit_says_why_it_cannot_be_read(self, reddit, status, listing):
        close(reddit, "python", status)
        bot = BotFactory(subreddits=["python"], listing=listing, search_query="a")

        session = run(bot)

        assert session.status == "failed"
        assert outcomes(session) == {"r/python posts": status}
        assert status in bot_summary(bot)

    @pytest.mark.parametrize("status", STATES)
    @pytest.mark.parametrize("listing", ["new", "hot", "search"])
    def test_of_several_too_though_reddit_leaves_it_out_silently(self, reddit, status, listing):
        close(reddit, "python", status)
        bot = BotFactory(subreddits=["python", "berlin"], listing=listing, search_query="a")

        session = run(bot)

        assert session.status == "partial"
        assert outcomes(session)["r/python posts"] == status
        assert outcomes(session)["r/berlin posts"] in ("ok", "empty")

    def test_a_name_that_nobody_has_is_missing(self, reddit):
        bot = BotFactory(subreddits=["nosuchsubreddit", "berlin"])

        assert outcomes(run(bot))["r/nosuchsubreddit posts"] == "missing"

    def test_a_quiet_subreddit_is_empty_and_fine(self, reddit):
        reddit.control("subreddits", {"name": "quietplace", "status": "ok"})
        bot = BotFactory(subreddits=["quietplace", "berlin"], comments="stream")

        session = run(bot)

        assert session.status == "completed"
        assert outcomes(session)["r/quietplace posts"] == "empty"
        assert Subreddit.objects.get(name="quietplace").status == "ok"

    def test_a_closed_subreddit_is_not_asked_about_at_once_again(self, reddit):
        close(reddit, "python", "private")
        bot = BotFactory(subreddits=["python"])
        run(bot)

        again = run(bot)

        assert again.requests == 0
        assert outcomes(again) == {"r/python posts": "private"}

    def test_it_is_read_again_when_it_opens(self, reddit):
        close(reddit, "python", "private")
        bot = BotFactory(subreddits=["python", "berlin"])
        run(bot)
        close(reddit, "python", "ok")
        Subreddit.objects.update(probed_at=timezone.now() - FIRST_PAUSE)

        session = run(bot)

        assert session.status == "completed"
        assert stored("python") == listed(reddit, "python")
        assert Subreddit.objects.get(name="python").status == "ok"

    def test_one_that_closes_later_is_noticed_within_the_hour(self, bot, reddit):
        run(bot)
        close(reddit, "python", "private")
        Subreddit.objects.update(probed_at=timezone.now() - FIRST_PAUSE)

        session = run(bot)

        assert session.status == "partial"
        assert outcomes(session)["r/python posts"] == "private"
        assert Subreddit.objects.get(name="python").status == "private"


def bot_summary(bot):
    bot.refresh_from_db()
    return bot.last_session_summary


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
        for number in range(250):
            reddit.control("items", {"subreddit": "python", "title": f"Post {number}"})
            advance(reddit, 30)
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
        def broken(*args):
            raise ZeroDivisionError("a bug")

        monkeypatch.setattr("scraping.pages.ingest_comments", broken)

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


class TestMatches:
    def test_every_bot_that_watches_gets_its_items_at_no_cost(self, bot, reddit):
        everything = BotFactory(subreddits=["python"])
        picky = BotFactory(subreddits=["PYTHON"], include_terms=["no such words anywhere"])

        session = run(bot)

        items = Counter(BotItem.objects.values_list("bot_id", flat=True))
        assert session.matched == items[bot.pk] == session.posts_seen + session.comments_seen
        python = len(stored("python")) + len(stored("python", RedditComment))
        assert items[everything.pk] == python
        assert items[picky.pk] == 0

    def test_a_bot_that_comes_later_finds_what_is_known(self, bot, reddit):
        run(bot)
        later = BotFactory(subreddits=["python"])
        BotItem.objects.all().delete()

        session = run(later)

        assert session.new == 0
        assert session.matched == BotItem.objects.filter(bot=later).count() > 0


class TestSamples:
    @pytest.mark.parametrize("listing", ["hot", "top", "rising"])
    def test_a_sample_is_stored_and_moves_no_watermark(self, reddit, listing):
        bot = BotFactory(subreddits=["python"], listing=listing)

        session = run(bot)

        assert session.status == "completed"
        assert stored("python") <= listed(reddit, "python")
        assert not Stream.objects.exclude(watermark=None).exists()

    def test_what_a_sample_knows_proves_no_overlap(self, reddit):
        """Items that came by a sample lie below a watermark and say nothing of what is above."""
        run(BotFactory(subreddits=["python"], listing="hot"))
        run(BotFactory(subreddits=["python"]))

        assert stored("python") == listed(reddit, "python")

    def test_a_search_finds_what_is_asked_for(self, reddit):
        reddit.control("items", {"subreddit": "python", "title": "A xylophone concert"})
        reddit.control("items", {"subreddit": "berlin", "title": "Another xylophone concert"})
        advance(reddit, 60)
        bot = BotFactory(subreddits=["python"], listing="search", search_query="xylophone")

        run(bot)

        assert list(RedditPost.objects.values_list("title", flat=True)) == ["A xylophone concert"]


class TestDryRun:
    def test_it_reads_and_stores_nothing(self, reddit):
        bot = BotFactory(subreddits=["python", "berlin"], comments="stream")
        models = (RedditPost, RedditComment, Subreddit, Stream, Gap, ScrapeSession, BotItem)

        progress = services.preview(bot.reddit_app, Plan.of(bot))

        assert progress.posts_seen == len(listed(reddit, "python") | listed(reddit, "berlin"))
        assert sessions.status_of(progress.outcomes) == "completed"
        assert not any(model.objects.exists() for model in models)

    def test_it_leaves_what_is_known_alone(self, bot, reddit):
        run(bot)
        close(reddit, "python", "private")
        Subreddit.objects.update(probed_at=timezone.now() - FIRST_PAUSE)
        before = list(Subreddit.objects.values()), list(Stream.objects.values())

        services.preview(bot.reddit_app, Plan.of(bot))

        assert (list(Subreddit.objects.values()), list(Stream.objects.values())) == before

    def test_progress_is_true_after_an_error(self, bot, reddit, no_pauses):
        reddit.control("faults", {"kind": "status", "status": 401, "path": "/comments"})
        progress = Progress()
        with client_for(bot.reddit_app, permits=None) as client:
            collector = Collector(Plan.of(bot), client, progress=progress)

            with pytest.raises(Unauthorized):
                collector.run()

        assert progress.posts_seen > 0
        assert {told["outcome"] for told in progress.outcomes.values()} == {"ok", "unauthorized"}

    def test_a_preview_tells_its_requests(self, bot):
        seen = []

        progress = services.preview(
            bot.reddit_app,
            Plan.of(bot),
            on_progress=lambda progress: seen.append(progress.requests),
        )

        assert seen == sorted(seen)
        assert 0 < seen[0] < progress.requests == sum(progress.requests_by_kind.values())


def test_an_app_connects_where_the_settings_say(settings):
    settings.REDDIT_URL = "https://tokens.example.org"
    settings.REDDIT_OAUTH_URL = "https://api.example.org"
    app = RedditAppFactory(service="reddit")

    with client_for(app, permits=None) as client:
        config = client._reddit.config

    assert (config.reddit_url, config.oauth_url) == (
        "https://tokens.example.org",
        "https://api.example.org",
    )


def test_a_quiet_member_does_not_hide_what_a_busy_one_lost(reddit):
    """Of a merged listing Reddit shows 1,000 items of each member; the quiet one's go further."""
    reddit.control("subreddits", {"name": "busyplace", "status": "ok"})
    bot = BotFactory(subreddits=["busyplace", "python"])
    reddit.control("items", {"subreddit": "busyplace", "title": "The first"})
    advance(reddit, HOUR)
    run(bot)
    for number in range(1_100):
        reddit.control("items", {"subreddit": "busyplace", "title": f"Post {number}"})
        if number % 10 == 0:
            advance(reddit, 20)

    session = run(bot)

    missing = listed(reddit, "busyplace") - stored("busyplace")
    assert missing
    assert outcomes(session)["r/busyplace posts"] == "gap"
    gap = Gap.objects.get(stream__subreddit__name="busyplace")
    created = {
        item["fullname"]: item["created_utc"]
        for item in reddit.control("truth?subreddit=busyplace&kind=t3")["items"]
    }
    for fullname in missing:
        assert gap.starts_at.timestamp() <= created[fullname] <= gap.ends_at.timestamp()
