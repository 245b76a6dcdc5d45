"""Comment threads for tests: posts with trees of comments, bots that read them, what of them is stored."""

import functools

from django.utils import timezone

from scraping.budget.clients import client_for
from scraping.content.upsert import ingest_posts
from scraping.models import BotItem, CommentThread, RedditComment
from scraping.reddit.parse import parse_post
from scraping.sessions import services
from tests.factories import BotFactory
from tests.scraping.truth import shown_in_tree

KINDS = ("tree", "morechildren")


def threads_bot(**fields):
    return BotFactory(comments="threads", **fields)


def matched(bot, *posts):
    """Store posts as Reddit shows them now, and mark them as the bot's."""
    with client_for(bot.reddit_app, permits=None) as client:
        page = client.info(fullnames=posts)
    ingest_posts([parse_post(thing["data"]) for thing in page.things])
    matched_only(bot, *posts)


def matched_only(bot, *posts):
    BotItem.objects.bulk_create(
        [BotItem(bot=bot, fullname=post, matched_at=timezone.now()) for post in posts],
        ignore_conflicts=True,
    )


def read(bot, **options):
    return services.read_threads(bot.pk, trigger="schedule", **options)


def again(*fullnames):
    """Make threads due, as their next look is an hour away."""
    now = timezone.now()
    CommentThread.objects.filter(pk__in=fullnames).update(look_at=now, looked_at=now)


def visible(reddit, post):
    """Every comment that a tree shows, by the simulator's own account."""
    return set(shown_in_tree(reddit, post))


def asked(reddit):
    """How many requests for trees and parts of them a simulator has answered."""
    kinds = reddit.control("requests")["clients"].values()
    return sum(sum(told.get(kind, {}).values()) for told in kinds for kind in KINDS)


@functools.cache
def by_size(reddit):
    """Of a world that stands still, posts and how many comments each has, the biggest first."""
    sizes = {}
    for item in reddit.control("truth?kind=t1")["items"]:
        sizes[item["link_id"]] = sizes.get(item["link_id"], 0) + 1
    return sorted(sizes.items(), key=lambda pair: -pair[1])


def with_comments(reddit, fewest, most):
    return [post for post, size in by_size(reddit) if fewest <= size <= most][-1]


def stored(post):
    rows = RedditComment.objects.filter(link_fullname=post)
    return set(rows.values_list("fullname", flat=True))


def outcome_of(session, post):
    return next(told for label, told in session.outcomes.items() if label.endswith(post))


def new_post(reddit, title="A post"):
    """A post of ten minutes ago, so that there is time for a chain of answers, a second each."""
    created = reddit.control("")["now"] - 600
    item = {"subreddit": "threadplace", "title": title, "created_utc": created}
    return reddit.control("items", item)["fullname"]


def reply(reddit, parent, text="An answer", ago=600):
    created = reddit.control("")["now"] - ago
    item = {"parent_id": parent, "body": text, "created_utc": created}
    return reddit.control("items", item)["fullname"]


def deep_thread(reddit, depth):
    post = new_post(reddit)
    chain = [reply(reddit, post)]
    while len(chain) < depth:
        chain.append(reply(reddit, chain[-1]))
    return post, chain
