"""Deep walks for tests: what they start from, and what Reddit lists beside what is stored."""

from datetime import timedelta

from django.utils import timezone

from scraping.completing import deep_walks
from scraping.models import Gap, RedditPost, Stream
from scraping.sessions import services

HOUR = 3600


def scrape(bot):
    return services.scrape_bot(bot.pk, trigger="manual")


def walk_deep(bot):
    return deep_walks.walk_deep(bot.reddit_app)


def make_due(**streams):
    """As if the last deep walk of these streams were four days ago."""
    chosen = Stream.objects.filter(**streams)
    chosen.update(deep_read_at=timezone.now() - timedelta(days=4))


def post(reddit, name="python", **fields):
    return reddit.control("items", {"subreddit": name, "title": "A post", **fields})["fullname"]


def comment(reddit, link_id, **fields):
    data = {"link_id": link_id, "body": "A comment", **fields}
    return reddit.control("items", data)["fullname"]


def now(reddit):
    return reddit.control("")["now"]


def listed(reddit, name, kind="t3"):
    items = reddit.control(f"truth?subreddit={name}&kind={kind}")["items"]
    return {item["fullname"]: item["created_utc"] for item in items if item["state"] == "live"}


def stored(name, model=RedditPost):
    rows = model.objects.filter(subreddit__name__iexact=name)
    return set(rows.values_list("fullname", flat=True))


def assert_missing_lies_in_gaps(reddit, name):
    """What the simulator says exists = what is stored + what is recorded as a gap."""
    gaps = Gap.objects.filter(closed_at=None, stream__subreddit__name=name, stream__kind="posts")
    spans = [(gap.starts_at.timestamp(), gap.ends_at.timestamp()) for gap in gaps]
    for fullname, created in listed(reddit, name).items():
        if fullname not in stored(name):
            assert any(starts <= created <= ends for starts, ends in spans), fullname
