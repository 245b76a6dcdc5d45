"""The clients that people use, against the simulator."""

import asyncio

import asyncpraw
import praw
import prawcore
import pytest

from scraping.simulator.server import SimulatorServer

from .api import START, Api

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world():
    with SimulatorServer(
        seed=21,
        start=START,
        speed=0.0,
        control=True,
        subreddits=24,
        posts_per_hour=1.0,
        comments_per_post=60,
        history_hours=24,
        budget=None,
    ) as server:
        yield server


def options(server, **others):
    return {
        "client_id": "praw",
        "client_secret": "secret",
        "user_agent": "test:lurker:0 (by /u/tester)",
        "oauth_url": server.url,
        "reddit_url": server.url,
        "check_for_updates": False,
    } | others


@pytest.fixture(scope="module")
def reddit(world):
    return praw.Reddit(**options(world))


def test_praw_lists_posts_and_comments(world, reddit):
    api = Api(world)
    for names in ("python", "python+berlin"):
        subreddit = reddit.subreddit(names)
        posts = [post.fullname for post in subreddit.new(limit=None)]
        assert posts == [item["name"] for item in api.walk(f"/r/{names}/new")]
        comments = [comment.fullname for comment in subreddit.comments(limit=None)]
        assert comments == [item["name"] for item in api.walk(f"/r/{names}/comments")]
    for listing in (subreddit.hot, subreddit.rising, subreddit.top, subreddit.controversial):
        assert next(iter(listing(limit=3))).title


def test_praw_reads_whole_threads(world, reddit):
    api = Api(world)
    sizes = {}
    for item in api.truth(kind="t1"):
        sizes[item["link_id"]] = sizes.get(item["link_id"], 0) + 1
    read = 0
    for post in sorted(sizes, key=lambda name: -sizes[name]):
        if read or sizes[post] > 400:
            continue
        submission = reddit.submission(post[3:])
        try:
            submission.comments.replace_more(limit=None)
        except prawcore.PrawcoreException:
            continue  # the post's subreddit is closed
        read += 1
        found = {comment.fullname for comment in submission.comments.list()}
        comments = [item for item in api.truth(kind="t1") if item["link_id"] == post]
        live = {item["fullname"] for item in comments if item["state"] == "live"}
        assert live <= found <= {item["fullname"] for item in comments}
        assert submission.num_comments == len(live)
    assert read


def test_praw_finds_things(reddit):
    post = next(iter(reddit.subreddit("python").new(limit=1)))
    comment = next(iter(reddit.subreddit("python").comments(limit=1)))
    found = list(reddit.info(fullnames=[post.fullname, comment.fullname, post.subreddit_id]))
    assert [thing.fullname for thing in found] == [
        post.fullname,
        comment.fullname,
        post.subreddit_id,
    ]
    assert reddit.subreddit("PYTHON").id == post.subreddit_id.removeprefix("t5_")
    assert reddit.submission(post.id).title == post.title
    assert reddit.comment(comment.id).body == comment.body
    comment.refresh()
    assert comment.submission.id == comment.link_id.removeprefix("t3_")
    word = next(word for word in post.title.split() if word.isalnum())
    results = reddit.subreddit("python").search(word, sort="new", time_filter="all")
    assert post.fullname in [result.fullname for result in results]


def test_praw_reads_users(reddit):
    comment = next(iter(reddit.subreddit("python+berlin").comments(limit=1)))
    redditor = comment.author
    assert redditor.fullname == comment.author_fullname
    assert comment.fullname in [c.fullname for c in redditor.comments.new(limit=None)]
    assert {post.author.name for post in redditor.submissions.new()} <= {redditor.name}
    assert comment.fullname in [item.fullname for item in redditor.new(limit=None)]


def test_praw_understands_closed_subreddits(reddit):
    for name, expected in (
        ("TeamBackroom", prawcore.Forbidden),
        ("ForbiddenFarm", prawcore.NotFound),
        ("FringeTheories", prawcore.Forbidden),
        ("NoSuchPlace", prawcore.Redirect),
    ):
        with pytest.raises(expected):
            list(reddit.subreddit(name).new(limit=1))


def test_praw_follows_the_rate_headers(world):
    reddit = praw.Reddit(**options(world, client_id="limited"))
    next(iter(reddit.subreddit("python").new(limit=1)))
    assert reddit.auth.limits["used"] == 1
    assert reddit.auth.limits["remaining"] == 1_000_000


def test_praw_gets_a_new_token_when_its_own_ends(world):
    reddit = praw.Reddit(**options(world, client_id="expiring"))
    first = [post.id for post in reddit.subreddit("python").new(limit=3)]
    assert world.control("tokens/expire", {"client": "expiring"}) == {"expired": 1}
    assert [post.id for post in reddit.subreddit("python").new(limit=3)] == first


def test_praw_signs_in_in_every_way(world):
    for extra in (
        {"username": "ann", "password": "p&w"},
        {"refresh_token": "anything"},
        {"client_secret": None},
    ):
        reddit = praw.Reddit(**options(world, **extra))
        assert next(iter(reddit.subreddit("python").new(limit=1))).id
    with SimulatorServer(start=START, subreddits=1, users=("ann:right",)) as strict:
        wrong = praw.Reddit(**options(strict, username="ann", password="wrong"))
        with pytest.raises(prawcore.OAuthException, match="invalid_grant"):
            list(wrong.subreddit("AskScience").new())


def test_asyncpraw_does_the_same(world):
    async def session():
        async with asyncpraw.Reddit(**options(world)) as reddit:
            subreddit = await reddit.subreddit("python")
            posts = [post async for post in subreddit.new(limit=None)]
            comments = [comment.fullname async for comment in subreddit.comments(limit=150)]
            biggest = max(posts, key=lambda post: post.num_comments)
            submission = await reddit.submission(biggest.id)
            await submission.comments.replace_more(limit=None)
            thread = [comment.fullname for comment in submission.comments.list()]
            names = [posts[0].fullname, comments[0]]
            info = [thing.fullname async for thing in reddit.info(fullnames=names)]
            return [post.fullname for post in posts], comments, biggest, thread, (names, info)

    posts, comments, biggest, thread, (names, info) = asyncio.run(session())
    api = Api(world)
    assert posts == [item["name"] for item in api.walk("/r/python/new")]
    assert comments == [item["name"] for item in api.walk("/r/python/comments")][:150]
    truth = [i for i in api.truth(kind="t1") if i["link_id"] == biggest.fullname]
    assert {i["fullname"] for i in truth if i["state"] == "live"} <= set(thread)
    assert info == names
