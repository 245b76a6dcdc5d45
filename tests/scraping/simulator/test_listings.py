import itertools

import pytest

from scraping.simulator.server import SimulatorServer

from .api import START, Api, live


def newest_first(items):
    return [item["fullname"] for item in sorted(items, key=lambda i: -i["created_utc"])]


@pytest.mark.parametrize(
    ("given", "served"), [({}, 25), ({"limit": 7}, 7), ({"limit": 0}, 1), ({"limit": 999}, 100)]
)
def test_limit_is_clamped(api, given, served):
    page = api.page("/r/python/new", **given)
    assert len(page["children"]) == page["dist"] == served


def test_a_listing_has_the_shape_of_a_listing(api):
    whole = api.get("/r/python/new", limit=3)
    assert whole["kind"] == "Listing"
    assert set(whole["data"]) == {"after", "before", "dist", "modhash", "geo_filter", "children"}
    assert {child["kind"] for child in whole["data"]["children"]} == {"t3"}
    assert whole["data"]["before"] is None
    assert whole["data"]["after"] == whole["data"]["children"][-1]["data"]["name"]


@pytest.mark.parametrize(("path", "kind"), [("new", "t3"), ("comments", "t1")])
@pytest.mark.parametrize("name", ["SLOWcooking", "nightphotography", "tiny_harbour"])
def test_walking_finds_exactly_what_exists(api, name, path, kind):
    truth = live(api.truth(subreddit=name, kind=kind))
    found = [item["name"] for item in api.walk(f"/r/{name}/{path}")]
    assert len(found) == len(set(found))
    assert len(truth) < 1000
    assert set(found) == truth


def test_items_come_newest_first_by_creation_time(api):
    for path in ("/r/python/new", "/r/python+berlin+france/comments"):
        times = [item["created_utc"] for item in api.walk(path)]
        assert times == sorted(times, reverse=True)


def test_comment_ids_say_nothing_about_time(api):
    ids = [int(item["id"], 36) for item in api.walk("/r/python/comments")]
    steps = [a > b for a, b in itertools.pairwise(ids)]
    assert 0.3 < sum(steps) / len(steps) < 0.7


def test_slashes_and_json_suffixes_do_not_matter(api):
    plain = api.get("/r/python/new", limit=5)
    assert api.get("/r/python/new/", limit=5) == plain
    assert api.get("/r/python/new.json", limit=5) == plain


def test_names_are_case_insensitive_and_keep_their_spelling(api):
    page = api.page("/r/ASKscience/new", limit=5)
    assert {child["data"]["subreddit"] for child in page["children"]} == {"AskScience"}


def test_a_sum_merges_its_members_by_time(api):
    merged = api.walk("/r/python+berlin/new")
    assert {item["subreddit"] for item in merged} == {"python", "berlin"}
    parts = api.walk("/r/python/new") + api.walk("/r/berlin/new")
    assert {item["name"] for item in merged} == {item["name"] for item in parts}
    assert len(merged) == len(parts)


def test_before_gives_what_is_just_newer(api):
    names = api.names("/r/python/new", limit=50)
    page = api.page("/r/python/new", before=names[30], limit=10)
    assert [child["data"]["name"] for child in page["children"]] == names[20:30]
    assert page["before"] == names[20]
    top = api.page("/r/python/new", before=names[4], limit=10)
    assert [child["data"]["name"] for child in top["children"]] == names[:4]
    assert top["before"] is None
    assert api.names("/r/python/new", before=names[0]) == []


def test_after_gives_what_is_just_older(api):
    names = api.names("/r/python/new", limit=50)
    page = api.page("/r/python/new", after=names[9], limit=5)
    assert [child["data"]["name"] for child in page["children"]] == names[10:15]
    assert page["before"] == names[10]


@pytest.mark.parametrize("action", ["delete", "remove"])
def test_an_anchor_that_has_left(own, sim, action):
    names = own.names("/r/python/new", limit=30)
    sim.control(f"items/{names[10]}", {"action": action})
    # Before: the same answer as when nothing is new.
    assert own.names("/r/python/new", before=names[10]) == []
    # After: goes on behind the place where the item was.
    assert own.names("/r/python/new", after=names[10], limit=5) == names[11:16]
    assert names[10] not in own.names("/r/python/new", limit=30)


def test_an_anchor_that_never_was_gives_nothing(api):
    for cursor in ("after", "before"):
        page = api.page("/r/python/new", **{cursor: "t3_zzzzzzzz"})
        assert (page["children"], page["after"]) == ([], None)


def test_an_anchor_from_elsewhere_is_vanished_too(api):
    other = api.names("/r/berlin/new", limit=5)[2]
    assert api.names("/r/python/new", before=other) == []


def test_hot_has_its_stickied_posts_beyond_the_limit(api):
    page = api.page("/r/python/hot", limit=100)["children"]
    assert [child["data"]["stickied"] for child in page[:3]] == [True, True, False]
    names = [child["data"]["name"] for child in page]
    assert len(names) == len(set(names))
    assert len(names) in (100, 101, 102)


@pytest.mark.parametrize("where", ["hot", "rising", "top", "controversial"])
def test_rankings_page_through_without_repeats(api, where):
    found = [item["name"] for item in api.walk(f"/r/python+berlin/{where}", t="all")]
    assert len(found) == len(set(found))
    assert set(found) <= live(api.truth(kind="t3"))
    assert len(found) > 20


def test_top_is_by_score_within_its_period(api):
    top = api.walk("/r/python/top", t="day")
    scores = [item["score"] for item in top]
    assert scores == sorted(scores, reverse=True)
    assert min(item["created_utc"] for item in top) >= START - 86_400
    assert len(api.walk("/r/python/top", t="all")) > len(top)


def test_all_holds_the_open_subreddits(api):
    shown, after = set(), None
    for _ in range(10):
        page = api.page("/r/all/new", limit=100, **({"after": after} if after else {}))
        shown |= {child["data"]["subreddit"] for child in page["children"]}
        after = page["after"]
    assert {"python", "berlin", "AskScience"} <= shown
    assert not shown & {"TeamBackroom", "ForbiddenFarm", "FringeTheories", "HarshFootage"}


@pytest.mark.slow
def test_a_listing_ends_after_a_thousand_of_each_member():
    with SimulatorServer(
        seed=2,
        start=START,
        speed=0.0,
        control=True,
        subreddits=2,
        posts_per_hour=60,
        comments_per_post=0.5,
        history_hours=24,
        budget=None,
    ) as sim:
        api = Api(sim)
        newest = {}
        for name in ("AskScience", "python"):
            truth = [i for i in api.truth(subreddit=name, kind="t3") if i["state"] == "live"]
            assert len(truth) > 1000
            newest[name] = newest_first(truth)[:1000]
            assert len(api.walk(f"/r/{name}/new")) == 1000
        both = {item["name"] for item in api.walk("/r/python+AskScience/new")}
        assert both == set(newest["python"]) | set(newest["AskScience"])
        # What the cap has pushed out is a vanished anchor.
        pushed = newest_first(
            [i for i in api.truth(subreddit="python", kind="t3") if i["state"] == "live"]
        )[1000]
        assert api.names("/r/python/new", before=pushed) == []
        assert api.names("/r/python/new", after=pushed) == []
