"""What a listing hides in mid-walk is not taken for read: items stay due, and gaps stay open."""

import pytest

from scraping.completing.backfill import backfill_bot
from scraping.completing.deep_walks import walk_deep
from scraping.coverage.gaps import SECOND
from scraping.models import Gap, RedditPost, Stream
from tests.scraping.bot_sessions import after_page
from tests.scraping.test_fault_matrix import (
    NAMES,
    bot,  # noqa: F401 - the fixtures
    check_all,
    check_claims,
    reddit,  # noqa: F401
    run,
    wait,  # noqa: F401
)

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

EMPTY = {"kind": "body", "body": {"kind": "Listing", "data": {"children": []}}}


@pytest.fixture
def since(bot, reddit):  # noqa: F811
    return reddit.control("")["now"]


def set_status(reddit, status, name="berlin"):  # noqa: F811
    reddit.control("subreddits", {"name": name, "status": status})


class TestDeepWalks:
    @pytest.fixture
    def hole(self, bot, reddit, wait, since):  # noqa: F811
        """Posts of the last hours that are not stored and lie in a gap of their own."""
        wait(3)
        run(bot)
        stream = Stream.objects.get(subreddit__name__iexact="berlin", kind="posts")
        newest = RedditPost.objects.filter(subreddit=stream.subreddit).order_by("-created_at")
        lost = list(newest[20:24])
        gap = Gap.objects.create(
            stream=stream,
            starts_at=lost[-1].created_at - SECOND,
            ends_at=lost[0].created_at + SECOND,
            reason=Gap.Reason.LISTING_CAP,
        )
        RedditPost.objects.filter(pk__in=[post.pk for post in lost]).delete()
        check_all(reddit, since)
        return gap

    def again(self, bot):  # noqa: F811
        Stream.objects.update(deep_read_at=None)
        return walk_deep(bot.reddit_app)

    def is_open(self, gap):
        gap.refresh_from_db()
        return gap.closed_at is None

    @pytest.mark.parametrize("names", [["berlin"], NAMES])
    @pytest.mark.parametrize("page", [0, 1])
    def test_an_empty_page_is_not_the_beginning_of_all(
        self,
        page,
        names,
        bot,  # noqa: F811
        reddit,  # noqa: F811
        since,
        hole,
    ):
        bot.subreddits = list(names)
        bot.save()
        reddit.control("faults", EMPTY | {"path": "/new", "skip": page})

        self.again(bot)

        assert self.is_open(hole)
        check_all(reddit, since)
        reddit.control("faults", method="DELETE")
        walk_deep(bot.reddit_app)
        assert not self.is_open(hole), "it is due again"
        check_all(reddit, since)

    @pytest.mark.parametrize("page", [0, 1])
    def test_nor_is_it_for_a_backfill(self, page, bot, reddit, since, hole):  # noqa: F811
        bot.subreddits = ["berlin"]
        bot.save()
        reddit.control("faults", EMPTY | {"path": "/new", "skip": page})

        session = backfill_bot(bot, hole.starts_at)

        assert self.is_open(hole)
        assert session.status != "completed"
        reddit.control("faults", method="DELETE")
        assert backfill_bot(bot, hole.starts_at).status == "completed"
        assert not self.is_open(hole)
        check_all(reddit, since)

    @pytest.mark.parametrize("page", [1, 4, 6, 7, 8, 10])
    def test_a_subreddit_is_closed_in_its_midst(self, page, bot, reddit, since, hole):  # noqa: F811
        Stream.objects.update(deep_read_at=None)
        walk_deep(
            bot.reddit_app,
            on_page=after_page(page, lambda: set_status(reddit, "private")),
        )

        assert self.is_open(hole)
        check_all(reddit, since)
        assert (
            hole.stream.subreddit.__class__.objects.get(name__iexact="berlin").status == "private"
        )


class TestSessions:
    @pytest.mark.parametrize("page", [0, 1, 2])
    def test_a_subreddit_is_closed_and_opened_before_the_sessions_end(
        self,
        page,
        bot,  # noqa: F811
        reddit,  # noqa: F811
        wait,  # noqa: F811
        since,
    ):
        """Its comments are read, of which none is hidden; by then nothing shows that its posts were."""
        wait(3)
        closed = []

        def watch(progress):
            pages = progress.requests_by_kind
            if pages.get("listing", 0) == page and not closed:
                set_status(reddit, "private")
                closed.append(True)
            if pages.get("comments", 0) == 1:
                set_status(reddit, "ok")

        if page == 0:
            watch(type("Progress", (), {"requests_by_kind": {}}))
        run(bot, on_progress=watch)

        assert closed
        check_claims(reddit, since)
        wait(1)
        set_status(reddit, "ok")
        wait(2)
        assert run(bot).status == "completed"
        check_all(reddit, since)

    @pytest.mark.parametrize("page", [1, 2])
    def test_a_subreddit_is_opened_in_mid_walk(self, page, bot, reddit, wait, since):  # noqa: F811
        wait(3)
        set_status(reddit, "private")
        run(bot, on_progress=after_page(page, lambda: set_status(reddit, "ok")))

        check_claims(reddit, since)
        wait(1)
        run(bot)
        check_all(reddit, since)
