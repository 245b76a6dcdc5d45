"""Deep walks close the gaps within their reach, and record those beyond it."""

import json

import pytest

from scraping.coverage.gaps import SECOND
from scraping.dumps.importer import import_dump
from scraping.models import (
    Gap,
    ScrapeSession,
    Stream,
)
from tests.factories import BotFactory, PostData
from tests.scraping.bot_sessions import fill
from tests.scraping.completing.walks import (
    assert_missing_lies_in_gaps,
    listed,
    make_due,
    scrape,
    stored,
    walk_deep,
)

# Pages are committed one by one, as in a worker.
pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


class TestGaps:
    def test_one_left_by_a_limit_is_closed(self, reddit):
        bot = BotFactory(subreddits=["python"], item_limit=100)
        scrape(bot)
        fill(reddit, "python", number=250)
        assert scrape(bot).outcomes["r/python posts"]["outcome"] == "gap"

        walked = walk_deep(bot)

        gap = Gap.objects.get()
        assert gap.closed_at is not None
        assert gap.closed_by == "a deep walk"
        assert walked.gaps_closed == 1
        assert set(listed(reddit, "python")) <= stored("python")

    def test_one_beyond_the_cap_stays_and_is_not_tried_again_and_again(self, reddit):
        bot = BotFactory(subreddits=["busyplace"])
        reddit.control("subreddits", {"name": "busyplace", "status": "ok"})
        fill(reddit, "busyplace", number=5)
        scrape(bot)
        fill(reddit, "busyplace", number=1_300, each=20)
        scrape(bot)
        (before,) = Gap.objects.values_list("starts_at", "ends_at")

        first, second = walk_deep(bot), walk_deep(bot)
        make_due()
        third = walk_deep(bot)

        assert Gap.objects.values_list("starts_at", "ends_at").get() == before
        assert (first.gaps_closed, second.due, third.due) == (0, 0, 1)
        assert_missing_lies_in_gaps(reddit, "busyplace")

    def test_one_that_it_meets_itself_is_opened_and_told(self, reddit):
        bot = BotFactory(subreddits=["busyplace"])
        reddit.control("subreddits", {"name": "busyplace", "status": "ok"})
        fill(reddit, "busyplace", number=5)
        scrape(bot)
        fill(reddit, "busyplace", number=1_300, each=20)
        make_due()

        walked = walk_deep(bot)

        assert Gap.objects.get().reason == "listing_cap"
        assert (walked.gaps_opened, walked.gaps_closed) == (1, 0)
        session = ScrapeSession.objects.latest()
        assert (session.gaps_opened, session.gaps_closed) == (1, 0)
        assert session.outcomes["r/busyplace posts"]["outcome"] == "gap"
        assert_missing_lies_in_gaps(reddit, "busyplace")

    def test_what_lies_beyond_the_cap_an_import_closes(self, reddit, tmp_path):
        bot = BotFactory(subreddits=["busyplace"])
        reddit.control("subreddits", {"name": "busyplace", "status": "ok"})
        fill(reddit, "busyplace", number=5)
        scrape(bot)
        fill(reddit, "busyplace", number=1_200, each=20)
        scrape(bot)
        walk_deep(bot)
        gap = Gap.objects.get()
        dump = tmp_path / "dump.ndjson"
        posts = listed(reddit, "busyplace").items()
        dump.write_text(
            "\n".join(
                json.dumps(PostData(name=name, id=name[3:], subreddit="busyplace", created_utc=at))
                for name, at in posts
            )
        )

        report = import_dump(dump, complete=(gap.starts_at, gap.ends_at))

        gap.refresh_from_db()
        assert report.closed.total_closed == 1
        assert str(dump) in gap.closed_by
        assert set(listed(reddit, "busyplace")) <= stored("busyplace")

    def test_of_one_that_reaches_beyond_the_cap_the_rest_stays(self, reddit):
        bot = BotFactory(subreddits=["busyplace"], item_limit=100)
        reddit.control("subreddits", {"name": "busyplace", "status": "ok"})
        fill(reddit, "busyplace", number=5)
        scrape(bot)
        fill(reddit, "busyplace", number=1_300, each=20)
        scrape(bot)
        whole = Gap.objects.get()

        walked = walk_deep(bot)

        opened = Gap.objects.get(closed_at=None)
        done = Gap.objects.exclude(closed_at=None).get()
        assert walked.gaps_narrowed == 1
        assert opened.starts_at == whole.starts_at
        assert opened.ends_at == done.starts_at == Stream.objects.get().deep_read_since + SECOND
        assert done.ends_at == whole.ends_at
        assert set(listed(reddit, "busyplace")) - stored("busyplace")
        assert_missing_lies_in_gaps(reddit, "busyplace")

    def test_an_outage_within_reach_leaves_none_and_a_longer_one_says_so(self, reddit, no_pauses):
        bot = BotFactory(subreddits=["busyplace"])
        reddit.control("subreddits", {"name": "busyplace", "status": "ok"})
        fill(reddit, "busyplace", number=10)
        scrape(bot)
        reddit.control("faults", {"kind": "status", "status": 503})
        fill(reddit, "busyplace", number=200, each=20)
        assert scrape(bot).outcomes["r/busyplace posts"]["outcome"] == "unavailable"
        reddit.control("faults", method="DELETE")
        scrape(bot)
        assert not Gap.objects.exists()
        last = Stream.objects.get().last_fetch_at

        reddit.control("faults", {"kind": "status", "status": 503})
        fill(reddit, "busyplace", number=1_200, each=20)
        scrape(bot)
        reddit.control("faults", method="DELETE")
        scrape(bot)

        gap = Gap.objects.get()
        assert (gap.reason, gap.unread_since) == ("listing_cap", last)
        assert_missing_lies_in_gaps(reddit, "busyplace")
