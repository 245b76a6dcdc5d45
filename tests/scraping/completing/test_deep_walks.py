"""Now and then streams are read further down: late approvals are found and gaps closed."""

from datetime import timedelta

import pytest
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from bots.models import RedditApp
from jobs.errors import Cancelled
from jobs.schedules import system
from scraping import tasks
from scraping.completing import deep_walks
from scraping.completing.deep_reader import SPREAD, Depth, packs
from scraping.models import (
    BotItem,
    Gap,
    RedditComment,
    ScrapeSession,
    Stream,
    Subreddit,
)
from scraping.subreddits import ensure_streams
from tests.factories import BotFactory, RedditAppFactory
from tests.scraping.bot_sessions import advance, fill
from tests.scraping.completing.walks import (
    HOUR,
    assert_missing_lies_in_gaps,
    comment,
    listed,
    make_due,
    now,
    post,
    scrape,
    stored,
    walk_deep,
)

# Pages are committed one by one, as in a worker.
pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def bot(reddit):
    return BotFactory(subreddits=["python", "berlin"], comments="stream")


class TestLateApprovals:
    def test_a_post_let_through_hours_later_is_found_and_matched(self, reddit):
        bot = BotFactory(subreddits=["python", "berlin"])
        scrape(bot)
        advance(reddit, 5 * HOUR)
        fill(reddit, "python", number=150, each=20)
        scrape(bot)
        late = post(reddit, created_utc=now(reddit) - 3 * HOUR)
        advance(reddit, 60)
        scrape(bot)
        assert late not in stored("python")  # it stands where no ordinary walk looks
        make_due()

        walked = walk_deep(bot)

        assert late in stored("python")
        assert BotItem.objects.filter(bot=bot, fullname=late).exists()
        assert (walked.due, walked.read, walked.new) == (2, 2, 1)

    def test_comments_too(self, reddit):
        bot = BotFactory(subreddits=["python"], comments="stream")
        parent = post(reddit)
        advance(reddit, 5 * HOUR)
        written = {"link_id": parent, "body": "A comment", "created_utc": now(reddit) - HOUR}
        reddit.control("items", {"items": [written] * 150})
        scrape(bot)
        late = comment(reddit, parent, created_utc=now(reddit) - 4 * HOUR)
        scrape(bot)
        assert late not in stored("python", RedditComment)
        make_due()

        walk_deep(bot)

        assert late in stored("python", RedditComment)

    def test_it_goes_no_further_down_than_is_sensible(self, reddit):
        bot = BotFactory(subreddits=["quietplace"])
        reddit.control("subreddits", {"name": "quietplace", "status": "ok"})
        fill(reddit, "quietplace", number=480, each=HOUR)
        scrape(bot)
        make_due()

        walked = walk_deep(bot)

        stream = Stream.objects.get()
        assert walked.read == 1
        assert stream.deep_read_since < stream.watermark - deep_walks.DEPTH
        # A day and a half are 36 posts, and the page that is wholly older ends it: two of five.
        assert stream.deep_read_since > stream.complete_since
        assert walked.requests <= 2


class TestTruth:
    def test_one_that_is_cut_short_changes_nothing_untrue(self, reddit, no_pauses):
        bot = BotFactory(subreddits=["python"], item_limit=100)
        scrape(bot)
        fill(reddit, "python", number=350)
        scrape(bot)
        before = Gap.objects.values().get(), Stream.objects.values().get()
        reddit.control("faults", {"kind": "status", "status": 503, "path": "/new", "skip": 2})

        walked = walk_deep(bot)

        assert walked.read == 0
        assert (Gap.objects.values().get(), Stream.objects.values().get()) == before
        assert_missing_lies_in_gaps(reddit, "python")

        reddit.control("faults", method="DELETE")
        assert walk_deep(bot).gaps_closed == 1
        assert set(listed(reddit, "python")) <= stored("python")

    def test_one_that_is_killed_too(self, reddit):
        bot = BotFactory(subreddits=["python"], item_limit=100)
        scrape(bot)
        fill(reddit, "python", number=350)
        scrape(bot)
        before = Gap.objects.values().get(), Stream.objects.values().get()

        def kill(progress):
            raise Cancelled("asked to")

        with pytest.raises(Cancelled):
            deep_walks.walk_deep(bot.reddit_app, on_page=kill)

        assert (Gap.objects.values().get(), Stream.objects.values().get()) == before
        assert ScrapeSession.objects.latest().status == "cancelled"

    def test_a_member_that_closed_is_noticed_and_proves_nothing(self, bot, reddit):
        scrape(bot)
        make_due()
        Gap.objects.create(
            stream=Stream.objects.get(subreddit__name="python", kind="posts"),
            starts_at=Stream.objects.first().watermark - timedelta(hours=3),
            ends_at=Stream.objects.first().watermark - timedelta(hours=2),
            reason="item_limit",
        )
        reddit.control("subreddits", {"name": "python", "status": "private"})

        walk_deep(bot)

        assert Gap.objects.get().closed_at is None
        assert Subreddit.objects.get(name="python").status == "private"
        session = ScrapeSession.objects.latest()
        assert session.status == "partial"
        assert session.outcomes["r/python posts"]["outcome"] == "private"
        assert session.outcomes["r/berlin posts"]["outcome"] == "ok"

    @pytest.fixture
    def both_with_gaps(self, reddit):
        """A bot of two subreddits with a gap each, within the reach of one deep walk of several pages."""
        bot = BotFactory(subreddits=["python", "berlin"], item_limit=100)
        scrape(bot)
        fill(reddit, "python", "berlin", number=600, each=15)
        scrape(bot)
        assert Gap.objects.filter(closed_at=None).count() == 2
        Stream.objects.update(deep_read_at=None)
        return bot

    @pytest.mark.parametrize("page", [1, 3])
    @pytest.mark.parametrize("state", ["private", "quarantined", "banned", "missing"])
    def test_a_member_that_closes_in_mid_walk_proves_nothing(
        self, reddit, both_with_gaps, state, page
    ):
        pages = 0

        def close(progress):
            nonlocal pages
            pages += 1
            if pages == page:
                reddit.control("subreddits", {"name": "python", "status": state})

        walked = deep_walks.walk_deep(both_with_gaps.reddit_app, on_page=close)

        assert pages > page
        assert_missing_lies_in_gaps(reddit, "python")
        gaps = {gap.stream.subreddit.name: gap for gap in Gap.objects.all()}
        assert (gaps["python"].closed_at, gaps["berlin"].closed_by) == (None, "a deep walk")
        assert (walked.read, walked.gaps_closed) == (1, 1)
        session = ScrapeSession.objects.latest()
        assert session.outcomes["r/python posts"]["outcome"] == state
        assert session.outcomes["r/berlin posts"]["outcome"] == "ok"
        # It is still to be read deep, when it can be.
        assert Stream.objects.get(subreddit__name="python").deep_read_at is None

    def test_one_that_the_last_page_does_not_show_is_asked_about_and_was_read(self, reddit):
        for name in ("quietplace", "busyplace"):
            reddit.control("subreddits", {"name": name, "status": "ok"})
        bot = BotFactory(subreddits=["quietplace", "busyplace"])
        fill(reddit, "busyplace", number=300, each=HOUR)
        post(reddit, "quietplace")
        scrape(bot)
        Stream.objects.update(deep_read_at=None)

        walked = walk_deep(bot)

        assert (walked.due, walked.read) == (2, 2)
        # Two pages, and one that shows it again.
        session = ScrapeSession.objects.latest()
        assert session.requests_by_kind == {"listing": 3}
        assert Stream.objects.exclude(deep_read_at=None).count() == 2

    def test_a_quiet_member_is_read_by_itself(self, reddit):
        reddit.control("subreddits", {"name": "quietplace", "status": "ok"})
        bot = BotFactory(subreddits=["quietplace", "python"])
        scrape(bot)
        make_due()

        walked = walk_deep(bot)

        assert (walked.due, walked.read) == (2, 2)
        assert walk_deep(bot).due == 0

    def test_a_listing_that_leads_back_to_itself_closes_nothing(self, reddit):
        bot = BotFactory(subreddits=["python"], item_limit=100)
        scrape(bot)
        fill(reddit, "python", number=250)
        scrape(bot)
        reddit.control("faults", {"kind": "alternate_after", "path": "/new"})

        walked = walk_deep(bot)

        assert walked.gaps_closed == walked.gaps_narrowed == 0


class TestWhatIsDue:
    def test_comments_have_their_turn_every_third_time(self, reddit):
        scrape(BotFactory(subreddits=["python"], comments="stream"))
        two_days_ago = timezone.now() - timedelta(days=2)
        Stream.objects.update(deep_read_at=two_days_ago)
        app = RedditApp.objects.get()
        assert [stream.kind for stream in deep_walks.due_streams(app)] == ["posts"]
        make_due()
        assert len(deep_walks.due_streams(app)) == 2

    def test_nothing_is_asked_when_nothing_is(self, bot):
        scrape(bot)
        make_due()
        walk_deep(bot)
        sessions = ScrapeSession.objects.count()

        again = walk_deep(bot)

        assert (again.due, again.requests) == (0, 0)
        assert ScrapeSession.objects.count() == sessions

    def test_what_no_active_bot_wants_is_left_alone(self, bot):
        scrape(bot)
        make_due()
        bot.is_active = False
        bot.save()

        assert walk_deep(bot).due == 0

    def test_the_oldest_come_first_and_new_gaps_before_them(self, reddit):
        names = ["python", "berlin", "france"]
        bot = BotFactory(subreddits=names)
        long_ago = timezone.now() - timedelta(days=9)
        for number, stream in enumerate(ensure_streams(names, "posts")):
            Stream.objects.filter(pk=stream.pk).update(
                watermark=long_ago, deep_read_at=long_ago - number * timedelta(days=1)
            )
        python = Stream.objects.get(subreddit__name="python")
        assert [s.subreddit.name for s in deep_walks.due_streams(bot.reddit_app)] == names[::-1]

        Gap.objects.create(
            stream=python, starts_at=long_ago - timedelta(days=1), ends_at=long_ago,
            reason="item_limit",
        )  # fmt: skip

        due = deep_walks.due_streams(bot.reddit_app)
        assert [s.subreddit.name for s in due] == ["python", "france", "berlin"]

    def test_pages_are_bounded_and_the_rest_has_its_turn_later(self, bot, settings):
        scrape(bot)
        make_due()
        settings.DEEP_WALK_PAGES = 1

        turns = [walk_deep(bot).read for _ in range(6)]

        assert max(turns[:4]) < 4
        assert sum(turns) == 4
        assert turns[-1] == 0

    def test_questions_about_silent_members_count_as_pages(self, reddit, settings):
        names = ["quietplace", "busyplace", "emptyplace"]
        for name in names:
            reddit.control("subreddits", {"name": name, "status": "ok"})
        bot = BotFactory(subreddits=names)
        fill(reddit, "busyplace", number=300, each=HOUR)
        post(reddit, "quietplace")
        scrape(bot)
        Stream.objects.update(deep_read_at=None)
        settings.DEEP_WALK_PAGES = 3

        first, second = walk_deep(bot), walk_deep(bot)

        # Two pages and a question, and nothing is left for the one that has to be read by itself.
        assert (first.due, first.read, first.requests) == (3, 2, 3)
        assert first.ended_early == "3 pages were read"
        assert (second.due, second.read) == (1, 1)

    def test_a_spent_budget_ends_it_truthfully(self, bot, reddit, no_pauses):
        scrape(bot)
        make_due()
        reddit.control("faults", {"kind": "status", "status": 429, "path": "/comments"})

        walked = walk_deep(bot)

        assert walked.read < walked.due
        assert "429" in walked.ended_early or "spent" in walked.ended_early
        assert ScrapeSession.objects.latest().status == "partial"

    def test_streams_of_very_different_depths_do_not_share_a_listing(self):
        python, berlin, france = ensure_streams(["python", "berlin", "france"], "posts")
        top = timezone.now()

        made = packs(
            [Depth(python, top), Depth(berlin, top - SPREAD), Depth(france, top - 2 * SPREAD)]
        )

        names = [[depth.stream.subreddit.name for depth in pack] for pack in made]
        assert names == [["france", "berlin"], ["python"]]


def test_it_is_scheduled_and_tells_what_each_app_did(bot):
    scrape(bot)
    make_due()
    RedditAppFactory()
    system.install()

    result = tasks.deep_walk.run()

    assert PeriodicTask.objects.get(name="deep-walk").task == "scraping.deep_walk"
    assert list(result) == [str(bot.reddit_app)]
    assert result[str(bot.reddit_app)]["read"] == 4
