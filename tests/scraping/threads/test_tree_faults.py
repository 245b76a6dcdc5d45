"""Whatever goes wrong in the middle of a comment tree: what it shows is stored, or is still asked for.

The matrix of `test_fault_matrix`, for trees. Right after the fault each comment that is not stored is,
or hangs below, one that the next walk asks for; and when the fault has passed that walk brings it.
"""

import pytest

from bots.models import RedditApp
from scraping.models import CommentThread, RedditComment, RequestBudget
from scraping.reddit import client
from scraping.simulator import trees
from scraping.simulator.server import SimulatorServer
from scraping.threads import thread_walk
from tests.scraping.comment_threads import again, asked, matched, read, threads_bot
from tests.scraping.faults import ANSWERS, ANSWERS_OF_TREES, hits, hurry_with
from tests.scraping.truth import reckon_tree

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

FAULTS = ANSWERS | ANSWERS_OF_TREES
TREE = "/comments/[a-z0-9]+$"
CONTINUED = "/comments/[a-z0-9]+/_/"
STEPS = {
    "the token": {"path": "access_token"},
    "the tree": {"path": TREE},
    "the first more": {"path": "/morechildren"},
    "a later more": {"path": "/morechildren", "skip": 2},
    "the first continued thread": {"path": CONTINUED},
    "a later continued thread": {"path": CONTINUED, "skip": 1},
}
# Comments of one level, and the levels of a chain of answers.
WIDTH, DEPTH = 30, 28


@pytest.fixture(scope="module")
def world():
    """One post with many comments and a deep chain of them, in a world that stands still."""
    with SimulatorServer(
        port=0, control=True, seed=3, speed=0, history_hours=1, posts_per_hour=1, budget=None
    ) as server:
        server.control("subreddits", {"name": "threadplace", "status": "ok"})
        created = server.control("")["now"] - 600
        item = {"subreddit": "threadplace", "title": "A post", "created_utc": created}
        server.post = server.control("items", item)["fullname"]

        def reply(parent):
            item = {"parent_id": parent, "body": "An answer", "created_utc": created + 1}
            return server.control("items", item)["fullname"]

        for _ in range(WIDTH):
            reply(server.post)
        above = server.post
        for _ in range(DEPTH):
            above = reply(above)
        yield server


@pytest.fixture
def reddit(world, settings, monkeypatch):
    """Answers hold few comments, so that a small tree takes many requests."""
    monkeypatch.setattr(client, "TREE_SIZE", 10)
    monkeypatch.setattr(thread_walk, "MORE_CHILDREN", 6)
    monkeypatch.setattr(trees, "MOST_CHILDREN", 8)
    settings.SIMULATOR_URL = world.url
    settings.REDDIT_BUDGET_WAIT_SECONDS = 5
    yield world
    world.control("faults", method="DELETE")


@pytest.fixture
def bot(reddit):
    bot = threads_bot(subreddits=["threadplace"])
    matched(bot, reddit.post)
    return bot


def forget(post):
    """As if nobody had ever looked at the tree."""
    RedditComment.objects.filter(link_fullname=post).delete()
    CommentThread.objects.all().delete()
    reset_refusals()


def reset_refusals():
    """What was taken for bad credentials or a spent budget is asked again in time."""
    RedditApp.objects.update(refused_at=None)
    RequestBudget.objects.all().delete()


def test_without_a_fault_each_step_is_taken(bot, reddit):
    session = read(bot)

    assert session.status == "completed", session.outcomes
    reckon_tree(reddit, reddit.post).check()
    assert len(reckon_tree(reddit, reddit.post).stored) == WIDTH + DEPTH
    kinds = [entry["kind"] for entry in reddit.control("requests")["latest"]]
    assert kinds.count("more") + kinds.count("morechildren") > 3
    assert kinds.count("tree") > 2
    assert asked(reddit) > 6


@pytest.mark.parametrize("answer", FAULTS)
def test_a_fault_for_a_whole_session(answer, bot, reddit, settings, no_pauses):
    for step, where in STEPS.items():
        forget(reddit.post)
        if step == "the token":
            reddit.control("tokens/expire", {})
        reddit.control("faults", FAULTS[answer] | where)

        with hurry_with(FAULTS[answer], settings):
            session = read(bot)

        assert hits(reddit), f"{step} was never asked for"
        balance = reckon_tree(reddit, reddit.post)
        balance.check()
        told = {outcome["outcome"] for outcome in session.outcomes.values()}
        assert (told == {"ok"}) == (not balance.in_gaps), (step, session.outcomes)
        assert (session.status == "completed") == (not balance.in_gaps)

        reddit.control("faults", method="DELETE")
        reset_refusals()
        again(reddit.post)
        last = read(bot)

        assert last.status == "completed", (step, last.error, last.outcomes)
        balance = reckon_tree(reddit, reddit.post)
        balance.check()
        assert len(balance.stored) == WIDTH + DEPTH, step
