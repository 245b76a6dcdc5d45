"""A gated subreddit looks open wherever it is not asked for by itself: what it kept back is not claimed."""

from datetime import timedelta

import pytest
from django.utils import timezone

from scraping.completing.backfill import backfill_bot
from scraping.completing.deep_walks import walk_deep
from scraping.models import Gap, RedditPost, ScrapeSession, Stream, Subreddit
from scraping.sessions import services
from tests.factories import BotFactory
from tests.scraping.bot_sessions import after_page, fill
from tests.scraping.truth import reckon

# Pages are committed one by one, as in a worker.
pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

HOUR = 3600
NAMES = ("gatedplace", "openplace")


@pytest.fixture
def since(reddit):
    """Both subreddits are empty at first; from here on everything counts."""
    for name in NAMES:
        reddit.control("subreddits", {"name": name, "status": "ok"})
    return now(reddit)


def now(reddit):
    return reddit.control("")["now"]


def gate(reddit):
    reddit.control("subreddits", {"name": "gatedplace", "status": "gated"})


def post(reddit, name, created):
    data = {"subreddit": name, "title": "A post", "created_utc": created}
    return reddit.control("items", data)["fullname"]


def asked_of(reddit):
    """The names, as merged, of each listing of posts that was asked for."""
    entries = reddit.control("requests?limit=5000")["latest"]
    return [entry["path"].split("/")[2] for entry in entries if entry["path"].endswith("/new")]


def run(bot, **options):
    return services.scrape_bot(bot.pk, trigger="manual", **options)


def outcome(session):
    return session.outcomes["r/gatedplace posts"]["outcome"]


def watermark():
    return Stream.objects.get(subreddit__name="gatedplace").watermark


def check_claims(reddit, since):
    """What was written up to the watermarks is stored or in a gap, whenever it appeared."""
    for stream in Stream.objects.filter(kind="posts").select_related("subreddit"):
        balance = reckon(reddit, [stream.subreddit.name], since=since, kinds=["posts"])
        claimed = stream.watermark.timestamp()
        assert not [item for item in balance.missing if item["created_utc"] <= claimed]
        assert not balance.invented


class TestInMidSession:
    @pytest.fixture
    def bot(self, reddit, since):
        bot = BotFactory(subreddits=NAMES)
        fill(reddit, *NAMES, number=60)
        run(bot)
        fill(reddit, *NAMES, number=300)
        return bot

    def test_one_with_known_posts_further_down_was_not_read(self, bot, reddit, since):
        before = watermark()

        session = run(bot, on_progress=after_page(1, lambda: gate(reddit)))

        check_claims(reddit, since)
        assert outcome(session) == "gated"
        assert watermark() == before
        assert Subreddit.objects.get(name="gatedplace").status == "gated"
        # It was seen after all that had been claimed of it before, so there is no doubt of that.
        assert not Gap.objects.exists()

        reddit.control("subreddits", {"name": "gatedplace", "status": "ok"})
        Subreddit.objects.update(probed_at=timezone.now() - 2 * (timezone.now() - before))
        assert run(bot).status == "completed"
        reckon(reddit, NAMES, since=since, kinds=["posts"]).check()

    def test_nobody_else_costs_a_request_more(self, reddit, since):
        """A member falls silent, and its known posts lie below what the walk has read."""
        bot = BotFactory(subreddits=NAMES)
        post(reddit, "gatedplace", now(reddit))
        fill(reddit, "openplace", number=200)
        run(bot)
        fill(reddit, "openplace", number=240)
        post(reddit, "gatedplace", now(reddit) - 60)

        session = run(bot)

        assert outcome(session) == "ok"
        assert session.requests_by_kind == {"listing": 3, "info": 1}

    def test_one_whose_known_posts_were_deleted_costs_one(self, bot, reddit, since):
        posts = reddit.control("truth?subreddit=gatedplace&kind=t3")["items"]
        newest = max(item["created_utc"] for item in posts)
        for item in posts:
            if item["created_utc"] < newest:
                reddit.control(f"items/{item['fullname']}", {"action": "delete"})
        # At the rate at which they were written, a page without any would be no chance.
        Stream.objects.update(learned_hours=0)

        session = run(bot)

        assert outcome(session) == "ok"
        # One question whether it can be read, and one for what it did not show, which is purged.
        assert session.requests_by_kind == {"listing": 2, "info": 1 + 1}
        assert RedditPost.objects.filter(removal="deleted").count() > 20


class TestInMidDeepWalk:
    def both_with_gaps(self, reddit):
        bot = BotFactory(subreddits=NAMES)
        run(bot)
        fill(reddit, *NAMES, number=600)
        bot.item_limit = 100
        bot.save()
        run(bot)
        assert Gap.objects.filter(closed_at=None).count() == 2
        Stream.objects.update(deep_read_at=None)
        return bot

    def check_nothing_was_proven(self, reddit, bot, since):
        before = watermark()

        walked = walk_deep(bot.reddit_app, on_page=after_page(1, lambda: gate(reddit)))

        reckon(reddit, NAMES, since=since, kinds=["posts"]).check()
        gaps = {gap.stream.subreddit.name: gap for gap in Gap.objects.all()}
        assert (gaps["gatedplace"].closed_at, gaps["openplace"].closed_by) == (None, "a deep walk")
        assert watermark() == before
        session = ScrapeSession.objects.latest()
        assert outcome(session) == "gated"
        assert session.outcomes["r/openplace posts"]["outcome"] == "ok"
        assert walked.read == 1
        assert Subreddit.objects.get(name="gatedplace").status == "gated"

    def test_one_with_known_posts_further_down_keeps_its_gap(self, reddit, since):
        fill(reddit, *NAMES, number=60)
        bot = self.both_with_gaps(reddit)

        self.check_nothing_was_proven(reddit, bot, since)

    def test_one_without_keeps_it_too(self, reddit, since):
        """Its only known posts below the gap lie deeper than the walk goes."""
        post(reddit, "gatedplace", now(reddit))
        fill(reddit, "openplace", number=400, each=600)
        bot = self.both_with_gaps(reddit)

        self.check_nothing_was_proven(reddit, bot, since)
        assert RedditPost.objects.filter(subreddit__name="gatedplace").count() > 1

    @pytest.mark.parametrize("status", [None, 503])
    def test_of_many_that_fall_silent_a_crowd_takes_a_listing_more(
        self, reddit, since, no_pauses, status
    ):
        """The newest hundred of all are one's; when the question fails, each is read by itself."""
        bot = BotFactory(subreddits=[*NAMES, "rareplace", "scarceplace"])
        for name in ("rareplace", "scarceplace"):
            reddit.control("subreddits", {"name": name, "status": "ok"})
        fill(reddit, "openplace", number=300, each=300)
        for name in ("rareplace", "scarceplace"):
            post(reddit, name, now(reddit))
        fill(reddit, "gatedplace", number=120, each=1)
        run(bot)
        # Of a rate like that of the crowd, a page without it would be no chance.
        Stream.objects.update(deep_read_at=None, learned_hours=0)
        if status:
            fault = {
                "kind": "status",
                "status": status,
                "path": "gatedplace.rareplace.scarceplace/new",
            }
            reddit.control("faults", fault)

        before = len(asked_of(reddit))

        walked = walk_deep(bot.reddit_app)

        assert (walked.due, walked.read) == (4, 4)
        asked = [names for names in asked_of(reddit)[before:] if "openplace" not in names]
        together = "gatedplace+rareplace+scarceplace"
        assert asked[0] == together
        if status:
            assert set(asked) - {together} == {"gatedplace", "rareplace", "scarceplace"}
        else:
            assert asked == [together, "rareplace+scarceplace"]


class TestNoticedLater:
    """What was claimed meanwhile is in doubt when a request for it alone says that it is gated."""

    @pytest.fixture
    def bot(self, reddit, since):
        """Its known post lies deeper than sessions and deep walks go, so its silence says nothing."""
        bot = BotFactory(subreddits=NAMES)
        post(reddit, "gatedplace", now(reddit))
        fill(reddit, "openplace", number=400, each=600)
        run(bot)
        RedditPost.objects.update(first_seen_at=timezone.now() - timedelta(days=1))
        return bot

    def check_doubt(self, reddit, session, since):
        assert outcome(session) == "gated"
        assert session.gaps_opened == Gap.objects.count() == 1
        gap = Gap.objects.get()
        assert (gap.stream.subreddit.name, gap.reason) == ("gatedplace", "closed")
        check_claims(reddit, since)

    def gate_between_sessions(self, reddit, bot):
        gate(reddit)
        fill(reddit, *NAMES, number=40)
        assert outcome(run(bot)) == "empty"

    def test_by_a_deep_walk(self, bot, reddit, since):
        self.gate_between_sessions(reddit, bot)
        Stream.objects.update(deep_read_at=None)

        walked = walk_deep(bot.reddit_app)

        session = ScrapeSession.objects.latest()
        self.check_doubt(reddit, session, since)
        assert walked.gaps_opened == 1

    def test_by_a_backfill(self, bot, reddit, since):
        self.gate_between_sessions(reddit, bot)

        session = backfill_bot(bot, Stream.objects.first().complete_since - timedelta(days=1))

        self.check_doubt(reddit, session, since)

    def test_by_a_session_that_reads_it_alone(self, bot, reddit, since):
        self.gate_between_sessions(reddit, bot)
        bot.subreddits = ["gatedplace"]
        bot.save()

        self.check_doubt(reddit, run(bot), since)

    def test_by_a_deep_walk_of_both_kinds_once(self, bot, reddit, since):
        bot.comments = "stream"
        bot.save()
        run(bot)
        self.gate_between_sessions(reddit, bot)
        Stream.objects.update(deep_read_at=None)

        walk_deep(bot.reddit_app)

        gaps = Gap.objects.filter(stream__kind="posts", stream__subreddit__name="gatedplace")
        assert gaps.count() == 1

    def test_one_that_the_walk_itself_has_shown_is_in_no_doubt(self, bot, reddit, since):
        fill(reddit, *NAMES, number=40)
        fill(reddit, "openplace", number=120)
        run(bot)
        Stream.objects.update(deep_read_at=None)

        walk_deep(bot.reddit_app, on_page=after_page(2, lambda: gate(reddit)))

        assert outcome(ScrapeSession.objects.latest()) == "gated"
        assert not Gap.objects.exists()

    def test_what_a_session_lost_in_mid_walk_though_nothing_known_was_missing(
        self, bot, reddit, since
    ):
        """The newest item proves nothing of those below it: the walk that showed it may have lost them."""
        lost = now(reddit)
        fill(reddit, "openplace", number=240)
        post(reddit, "gatedplace", lost)
        post(reddit, "gatedplace", now(reddit) - 60)
        assert outcome(run(bot, on_progress=after_page(1, lambda: gate(reddit)))) == "ok"
        Stream.objects.update(deep_read_at=None)

        walk_deep(bot.reddit_app)

        self.check_doubt(reddit, ScrapeSession.objects.latest(), since)
        assert RedditPost.objects.filter(subreddit__name="gatedplace").count() == 2
