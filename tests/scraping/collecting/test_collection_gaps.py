"""What a listing does not reach any more is recorded as a gap, and as one gap."""

import pytest

from scraping.models import Gap, Stream
from tests.factories import BotFactory
from tests.scraping.bot_sessions import HOUR, advance, fill, listed, outcomes, run, stored

# Pages are committed one by one, as in a worker.
pytestmark = pytest.mark.django_db(transaction=True)


class TestGaps:
    def test_what_the_limit_left_out_is_a_gap(self, bot, reddit):
        run(bot)
        watermark = Stream.objects.get(subreddit__name="python", kind="posts").watermark
        fill(reddit, "python", number=250)
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

    @pytest.mark.slow
    def test_the_next_session_does_not_find_the_gap_again(self, bot, reddit):
        self.test_what_the_limit_left_out_is_a_gap(bot, reddit)
        advance(reddit, HOUR)

        session = run(bot)

        assert session.status == "completed"
        assert Gap.objects.filter(stream__kind="posts").count() == 1

    def test_a_listing_that_leads_back_to_itself_is_a_gap(self, bot, reddit):
        run(bot)
        fill(reddit, "python", number=250)
        reddit.control("faults", {"kind": "alternate_after", "path": "/new"})

        session = run(bot)

        assert outcomes(session)["r/python posts"] == "gap"
        assert Gap.objects.filter(reason="broken_listing").exists()


@pytest.mark.slow
def test_a_quiet_member_does_not_hide_what_a_busy_one_lost(reddit):
    """Of a merged listing Reddit shows 1,000 items of each member; the quiet one's go further."""
    reddit.control("subreddits", {"name": "busyplace", "status": "ok"})
    bot = BotFactory(subreddits=["busyplace", "python"])
    reddit.control("items", {"subreddit": "busyplace", "title": "The first"})
    advance(reddit, HOUR)
    run(bot)
    fill(reddit, "busyplace", number=1_100, each=2)

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
