"""The equation itself: it holds for what was collected, and tells what was not."""

from datetime import UTC, datetime

import pytest

from scraping.models import Gap, RedditComment, RedditPost, Stream
from scraping.sessions import services
from tests.factories import BotFactory
from tests.scraping.still_reddit import START
from tests.scraping.truth import reckon

pytestmark = pytest.mark.django_db(transaction=True)

SINCE = START - 3600
NAMES = ("python", "berlin")


@pytest.fixture
def collected(reddit):
    bot = BotFactory(subreddits=list(NAMES), comments="stream")
    services.scrape_bot(bot.pk, trigger="manual")
    return reckon(reddit, NAMES, since=SINCE)


def test_what_was_collected_balances(reddit, collected):
    collected.check()
    assert collected.exist > 10
    assert all(stream.stored == stream.exist.keys() for stream in collected)


def test_an_item_that_is_not_stored_is_missing_and_named(reddit, collected):
    lost = next(stream for stream in collected if stream.label == "r/python posts")
    fullname = max(lost.exist)
    RedditPost.objects.filter(pk=fullname).delete()
    with pytest.raises(
        AssertionError, match=rf"r/python posts: .* 1 missing\n  missing: {fullname}"
    ):
        reckon(reddit, NAMES, since=SINCE).check()


def test_an_open_gap_excuses_what_lies_in_it_and_a_closed_one_does_not(reddit, collected):
    comment = RedditComment.objects.filter(
        subreddit__name="python", created_at__gte=datetime.fromtimestamp(SINCE, UTC)
    ).first()
    lost = comment.pk
    comment.delete()
    stream = Stream.objects.get(subreddit__name="python", kind="comments")
    gap = Gap.objects.create(
        stream=stream,
        starts_at=comment.created_at,
        ends_at=datetime.fromtimestamp(START, UTC),
        reason="listing_cap",
    )
    balance = reckon(reddit, NAMES, since=SINCE)
    balance.check()
    assert sum(len(stream.in_gaps) for stream in balance) == 1
    gap.closed_at = gap.ends_at
    gap.save()
    assert [item["fullname"] for item in reckon(reddit, NAMES, since=SINCE).missing] == [lost]


def test_what_never_existed_is_told(reddit, collected):
    post = RedditPost.objects.filter(subreddit__name="python").latest("created_at")
    post.pk = "t3_nobody"
    post.save()
    with pytest.raises(AssertionError, match="t3_nobody never existed"):
        reckon(reddit, NAMES, since=SINCE).check()


def test_what_stood_too_briefly_is_not_asked_for(reddit, collected):
    made = reddit.control("items", {"subreddit": "python", "title": "brief"})["fullname"]
    reddit.control("clock", {"advance": 100})
    reddit.control(f"items/{made}", {"action": "delete"})
    reddit.control("clock", {"advance": 100})

    def missing(**options):
        found = reckon(reddit, ["python"], since=START, kinds=["posts"], **options).missing
        return made in {item["fullname"] for item in found}

    assert missing(stood_for=100)
    assert not missing(stood_for=101)
    assert not missing()
