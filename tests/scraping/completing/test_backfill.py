"""A backfill reads what Reddit still lists, and says truthfully how far it came."""

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from scraping.completing import backfill
from scraping.coverage import gaps
from scraping.models import BotItem, Gap, ScrapeSession, Stream
from scraping.sessions import lifecycle, services
from tests.factories import BotFactory
from tests.scraping.bot_sessions import fill
from tests.scraping.completing.walks import (
    HOUR,
    assert_missing_lies_in_gaps,
    listed,
    now,
    stored,
)

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def bot(reddit):
    """A bot that has read the newest hundred of 480 posts, one of each hour."""
    reddit.control("subreddits", {"name": "quietplace", "status": "ok"})
    fill(reddit, "quietplace", number=480, each=HOUR)
    bot = BotFactory(subreddits=["quietplace"], item_limit=100)
    services.scrape_bot(bot.pk, trigger="manual")
    assert len(stored("quietplace")) == 100
    return bot


def days_ago(reddit, days):
    return datetime.fromtimestamp(now(reddit), UTC) - timedelta(days=days)


def outcome(session, stream="r/quietplace posts"):
    return session.outcomes[stream]["outcome"], session.outcomes[stream]["detail"]


def busy(reddit):
    """A bot whose stream goes further back than Reddit lists."""
    reddit.control("subreddits", {"name": "busyplace", "status": "ok"})
    fill(reddit, "busyplace", number=1_200, each=600)
    bot = BotFactory(subreddits=["busyplace"], item_limit=100)
    services.scrape_bot(bot.pk, trigger="manual")
    return bot


class TestHowFar:
    def test_it_reads_back_to_the_day_and_no_further(self, bot, reddit):
        since = days_ago(reddit, 10)

        session = backfill.backfill_bot(bot, since)

        assert session.status == "completed"
        assert session.trigger == "backfill"
        assert outcome(session)[0] == "ok"
        wanted = {
            name for name, at in listed(reddit, "quietplace").items() if at > since.timestamp()
        }
        assert wanted <= stored("quietplace")
        assert len(stored("quietplace")) < 480
        stream = Stream.objects.get()
        assert stream.complete_since <= since
        assert session.matched == BotItem.objects.filter(bot=bot).count() - 100
        assert not Gap.objects.exists()

    def test_where_there_is_nothing_older_it_is_complete(self, bot, reddit):
        since = days_ago(reddit, 400)

        session = backfill.backfill_bot(bot, since)

        assert session.status == "completed"
        assert outcome(session)[1].startswith("its listing begins at 2026")
        assert set(listed(reddit, "quietplace")) <= stored("quietplace")
        assert Stream.objects.get().complete_since == since

    def test_what_reddit_lists_no_more_is_a_gap(self, reddit):
        bot = busy(reddit)
        since = days_ago(reddit, 30)

        session = backfill.backfill_bot(bot, since)

        assert (session.status, session.gaps_opened) == ("partial", 1)
        assert outcome(session, "r/busyplace posts")[0] == "gap"
        gap = Gap.objects.get()
        assert (gap.starts_at, gap.reason) == (since, "listing_cap")
        assert Stream.objects.get().complete_since == since
        assert set(listed(reddit, "busyplace")) - stored("busyplace")
        assert_missing_lies_in_gaps(reddit, "busyplace")

        again = backfill.backfill_bot(bot, since)

        assert outcome(again, "r/busyplace posts")[0] == "gap"
        assert (again.gaps_opened, Gap.objects.count()) == (0, 1)

        gaps.close([gaps.Cover(Stream.objects.get().pk, since, gap.ends_at)], by="an import")
        assert backfill.backfill_bot(bot, since).status == "completed"

    def test_streams_that_were_never_read_are_read(self, reddit):
        bot = BotFactory(subreddits=["python"], comments="stream")

        session = backfill.backfill_bot(bot, days_ago(reddit, 2))

        assert session.status == "completed"
        assert set(listed(reddit, "python")) <= stored("python")
        assert Stream.objects.exclude(watermark=None).count() == 2

    def test_gaps_on_the_way_are_closed(self, reddit):
        bot = BotFactory(subreddits=["python"], item_limit=100)
        services.scrape_bot(bot.pk, trigger="manual")
        fill(reddit, "python", number=250)
        services.scrape_bot(bot.pk, trigger="manual")
        assert Gap.objects.get().closed_at is None

        session = backfill.backfill_bot(bot, days_ago(reddit, 1))

        assert Gap.objects.get().closed_by == f"backfill of bot “{bot.name}”"
        assert session.gaps_closed == 1


class TestResuming:
    def test_one_that_was_killed_is_run_again_without_harm(self, bot, reddit):
        since = days_ago(reddit, 15)
        before = Stream.objects.values().get()

        class Killed(BaseException):
            pass

        def kill(progress):
            if progress.posts_seen > 150:
                raise Killed

        with pytest.raises(Killed):
            backfill.backfill_bot(bot, since, on_page=kill)

        assert ScrapeSession.objects.latest().status == "failed"
        assert Stream.objects.values().get() == before
        kept = stored("quietplace")
        assert len(kept) > 100

        session = backfill.backfill_bot(bot, since)

        assert session.status == "completed"
        assert kept < stored("quietplace")
        assert Stream.objects.get().complete_since <= since

    def test_what_is_complete_is_not_read_twice(self, bot, reddit):
        since = days_ago(reddit, 10)
        backfill.backfill_bot(bot, since)

        again = backfill.backfill_bot(bot, since)

        assert (again.status, again.requests) == ("completed", 0)
        assert outcome(again)[1].startswith("complete since")

    def test_two_of_one_bot_do_not_run_at_once(self, bot, reddit):
        from jobs import locks

        with (
            locks.hold(backfill.LOCK.format(bot_id=bot.pk)),
            pytest.raises(backfill.NothingToBackfill),
        ):
            backfill.backfill_bot(bot, days_ago(reddit, 10))

    def test_it_leaves_the_bots_own_session_running(self, bot, reddit):
        """And says nothing of how fresh its streams are."""
        running = lifecycle.start(bot, trigger="manual")
        bot.refresh_from_db()
        told = bot.last_session_at

        backfill.backfill_bot(bot, days_ago(reddit, 10))

        running.refresh_from_db()
        bot.refresh_from_db()
        assert running.status == "running"
        assert bot.last_session_at == told

    def test_a_session_of_the_bot_leaves_a_backfill_running(self, bot):
        running = lifecycle.start_backfill(bot, lock=backfill.LOCK.format(bot_id=bot.pk))

        services.scrape_bot(bot.pk, trigger="manual")

        running.refresh_from_db()
        assert running.status == "running"


def command(*arguments):
    out = StringIO()
    code = 0
    try:
        call_command("backfill", *arguments, stdout=out, stderr=out)
    except SystemExit as end:
        code = end.code
    return code, out.getvalue()


class TestCommand:
    def test_it_tells_what_came_of_each_stream(self, bot, reddit):
        day = f"{days_ago(reddit, 5):%Y-%m-%d}"

        code, output = command(bot.name, "--since", day)

        assert code == 0, output
        assert f"r/quietplace posts: ok: complete since {day}" in output
        assert "Completed:" in output

    def test_what_remains_is_told_and_the_exit_code_says_so(self, reddit):
        bot = busy(reddit)

        code, output = command(str(bot.pk), "--since", "2026-01-01")

        assert code == 1
        assert "r/busyplace posts: gap: reached 2026-" in output
        assert "Reddit lists no further back" in output

    @pytest.mark.parametrize(
        ("day", "why"),
        [
            ("yesterday", "is not a day"),
            ("2999-01-01", "not in the past"),
            ("1999-01-01", "before Reddit"),
        ],
    )
    def test_a_bad_day_is_refused(self, bot, day, why):
        with pytest.raises(CommandError, match=why):
            command(bot.name, "--since", day)

    def test_an_unknown_bot_is_refused_with_those_there_are(self, bot):
        with pytest.raises(CommandError, match=f"no such bot. Known: {bot.pk}") as refused:
            command("nobody", "--since", "2026-01-01")
        assert refused.value.returncode == 2

    def test_a_bot_of_samples_has_nothing_to_be_complete_of(self, reddit):
        bot = BotFactory(listing="hot")
        with pytest.raises(CommandError, match="takes samples only"):
            command(bot.name, "--since", "2026-01-01")
        assert not ScrapeSession.objects.exists()

    def test_a_closed_subreddit_is_told(self, bot, reddit):
        reddit.control("subreddits", {"name": "quietplace", "status": "private"})

        code, output = command(bot.name, "--since", "2026-01-01")

        assert code == 1
        assert "r/quietplace posts: private" in output
