"""Content from a seed: hour by hour and subreddit by subreddit, always the same.

An hour's posts are drawn from a generator seeded by (world, subreddit, hour), together with all their
comments and everything that will ever happen to them. The answer to a request then depends only on the
time. So neither the number nor the order of requests nor the speed of the clock changes the content of
a world.
"""

import math
from bisect import insort
from collections.abc import MutableMapping
from operator import attrgetter
from random import Random

from .ids import COMMENT_SERIALS, comment_number, post_number
from .model import NEVER, Comment, Item, Post, Subreddit
from .roster import stable_seed

HOUR = 3600
AUTHORS = 20_000
_BY_AGE = attrgetter("created", "number")
_STYLES = (
    ("self", 0.45),
    ("link", 0.28),
    ("image", 0.15),
    ("gallery", 0.05),
    ("crosspost", 0.05),
    ("video", 0.02),
)
_STYLE_NAMES = [name for name, _ in _STYLES]
_STYLE_WEIGHTS = [weight for _, weight in _STYLES]
_LONGEST_THREAD_HOURS = 36
_MOST_COMMENTS = 5000


def poisson(rng: Random, mean: float) -> int:
    """Return a random number of events, when ``mean`` events are expected."""
    if mean > 60:
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    limit, count, product = math.exp(-mean), 0, rng.random()
    while product > limit:
        count += 1
        product *= rng.random()
    return count


def rhythm(hour: int, busiest: int) -> float:
    """Return the traffic at an hour of the day (UTC), relative to the day's mean: 0.3 to 1.7."""
    return 1.0 + 0.7 * math.cos((hour % 24 - busiest) / 24 * 2 * math.pi)


def _author(rng: Random) -> int:
    # Squaring the draw makes some authors many times as active as most.
    return int(rng.random() ** 2 * AUTHORS)


def _fate(rng: Random, item: Item, *, deleted: float, removed: float, edited: float) -> None:
    """Decide whether and when the item is deleted, removed or edited."""
    deleted_at = removed_at = NEVER
    chance = rng.random()
    if chance < deleted:
        deleted_at = item.created + 30 + rng.expovariate(1 / (5 * HOUR))
    elif chance < deleted + removed:
        removed_at = item.created + 15 + rng.expovariate(1 / (0.6 * HOUR))
    if deleted_at != NEVER or removed_at != NEVER:
        item.schedule_end(deleted_at=deleted_at, removed_at=removed_at)
    if rng.random() < edited:
        item.edited_at = float(int(item.created + 60 + rng.expovariate(1 / (2 * HOUR))))


def _comments(
    rng: Random, sub: Subreddit, post: Post, index: MutableMapping[str, Item]
) -> list[Comment]:
    """Return every comment that the post will get, oldest first."""
    sigma = 1.1
    mean = sub.comments_per_post
    expected = mean * math.exp(rng.gauss(-sigma * sigma / 2, sigma)) if mean > 0 else 0.0
    count = min(poisson(rng, expected), _MOST_COMMENTS)
    if not count:
        return []
    random = rng.random
    horizon = _LONGEST_THREAD_HOURS * HOUR
    delays = sorted(
        min(20 + math.exp(rng.gauss(8.4, 1.3)), horizon * (0.9 + 0.1 * random()))
        for _ in range(count)
    )
    made: list[Comment] = []
    base = post.visible_from
    for delay in delays:
        parent = None
        chance = random()
        if made and chance > 0.35:
            # Now and then a reply to the latest comment, so that threads get deeper than ten levels.
            parent = made[-1] if chance > 0.72 else made[int(random() * len(made))]
        created = float(int(base + delay))
        if parent is not None and created <= parent.created:
            created = parent.created + 1.0
        while True:
            number = comment_number(int(random() * COMMENT_SERIALS), sub.index)
            comment = Comment(
                post=post,
                parent=None,
                sub=sub,
                number=number,
                created=created,
                author=_author(rng),
                seed=int(random() * 2**48),
            )
            name = "t1_" + comment.id
            if name not in index:
                break
        if parent is not None:
            comment.attach(parent)
        index[name] = comment
        comment.final_score = 1 + int(rng.paretovariate(0.9)) - (1 if random() < 0.7 else 6)
        _fate(rng, comment, deleted=0.03, removed=0.025, edited=0.04)
        made.append(comment)
    made.sort(key=_BY_AGE)
    return made


def _post(rng: Random, sub: Subreddit, created: float, index: MutableMapping[str, Item]) -> Post:
    number, attempt = post_number(created, sub.index, 0), 0
    post = Post(
        sub=sub, number=number, created=created, author=_author(rng), seed=int(rng.random() * 2**48)
    )
    while "t3_" + post.id in index:
        attempt += 1
        post.renumber(post_number(created, sub.index, attempt))
    index["t3_" + post.id] = post
    post.style = rng.choices(_STYLE_NAMES, _STYLE_WEIGHTS)[0]
    if sub.flairs and rng.random() < 0.6:
        post.flair = rng.randrange(len(sub.flairs))
    post.final_score = max(0, int(8 * rng.paretovariate(0.75)) - 8)
    if post.final_score > 90_000:
        post.final_score = 90_000 + post.final_score % 9_973
    if rng.random() < 0.025:
        # A filter holds the post back until it is approved: it appears amid older and newer posts.
        post.visible_from = created + rng.uniform(5 * 60, 3 * HOUR)
    _fate(rng, post, deleted=0.035, removed=0.045, edited=0.05)
    if post.gone_at <= post.visible_from:
        post.schedule_end()
    return post


def generate_hour(
    *, seed: int, sub: Subreddit, hour: int, index: MutableMapping[str, Item]
) -> None:
    """Add one hour (hours since the epoch) to a subreddit. Hours must come in order."""
    rng = Random(stable_seed(seed, "hour", sub.name, hour))  # noqa: S311
    count = poisson(rng, sub.posts_per_hour * rhythm(hour, sub.busiest_hour))
    start = hour * HOUR
    posts = [
        _post(rng, sub, created, index)
        for created in sorted(float(start + int(rng.random() * HOUR)) for _ in range(count))
    ]
    pinned = sum(post.stickied for post in sub.posts[:100])
    for post in posts:
        if pinned < sub.stickied and post.gone_at == NEVER and post.visible_from == post.created:
            post.stickied = True
            pinned += 1
        post.comments = _comments(rng, sub, post, index)
        for comment in post.comments:
            sub.pending.setdefault(int(comment.created) // HOUR, []).append(comment)
    if sub.posts and posts and posts[0].created < sub.posts[-1].created:
        for post in posts:  # a control request has put posts into this hour before
            insort(sub.posts, post, key=_BY_AGE)
    else:
        sub.posts.extend(posts)
    due = sorted(sub.pending.pop(hour, ()), key=_BY_AGE)
    if sub.comments and due and due[0].created < sub.comments[-1].created:
        for comment in due:
            insort(sub.comments, comment, key=_BY_AGE)
    else:
        sub.comments.extend(due)
    sub.generated = hour
