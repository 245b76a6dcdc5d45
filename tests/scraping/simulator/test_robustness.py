"""Whatever is asked, the answer is one that Reddit could give."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scraping.simulator.clock import VirtualClock
from scraping.simulator.pages import escape_entities
from scraping.simulator.search import parse
from scraping.simulator.service import Reddit
from scraping.simulator.world import World

from .api import START

KNOWN = {200, 302, 400, 403, 404}


@pytest.fixture(scope="module")
def reddit():
    world = World.generated(
        clock=VirtualClock(START, speed=0.0), subreddits=4, history_hours=3, posts_per_hour=4
    )
    return Reddit(world)


NAMES = [
    "limit",
    "after",
    "before",
    "t",
    "sort",
    "q",
    "id",
    "url",
    "sr_name",
    "restrict_sr",
    "link_id",
    "children",
    "depth",
    "context",
]
WHERE = ["new", "hot", "top", "rising", "controversial", "comments"]
odd_text = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["", "t3_", "t1__", "t3_\u0661", "t5_x", "-1", "1e9", "9" * 5000, "_", "+", "a+"]
    ),
)
params = st.dictionaries(
    st.sampled_from(NAMES),
    odd_text,
    max_size=5,
)


def check(answer):
    assert answer.status in KNOWN
    if answer.status == 200:
        orjson.loads(answer.body)
        orjson.loads(escape_entities(answer.body))


@settings(max_examples=60, deadline=None)
@given(odd_text, st.sampled_from(WHERE), params)
def test_listings(reddit, names, where, query):
    check(reddit.listing(names, where, query))
    check(reddit.listing("python+AskScience", where, query))


@settings(max_examples=60, deadline=None)
@given(odd_text, odd_text, params)
def test_things(reddit, one, two, query):
    post = next(iter(reddit.world.items(kind="t3"))).fullname
    check(reddit.comments(one, two, query))
    check(reddit.comments(post[3:], two, query))
    check(reddit.morechildren(query))
    check(reddit.morechildren({"link_id": post, "children": one}))
    check(reddit.info(query))
    check(reddit.info({"id": f"{one},{two}"}))
    check(reddit.about(one))
    check(reddit.user(one, "overview", query))


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60))
def test_searches(reddit, query):
    check(reddit.search("python", {"q": query, "restrict_sr": "1"}))


def test_queries_are_taken_apart():
    terms = parse('title:"a b" -c OR (author:D NOT e) x:y')
    assert [[(t.field, t.text, t.negated) for t in group] for group in terms] == [
        [("title", "a b", False), (None, "c", True)],
        [("author", "d", False), (None, "e", True), (None, "x:y", False)],
    ]
