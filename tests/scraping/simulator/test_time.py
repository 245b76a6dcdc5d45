"""What time does to a world, and that nothing else does."""

import pytest

from scraping.simulator.clock import VirtualClock
from scraping.simulator.server import SimulatorServer
from scraping.simulator.world import World

from .api import START, Api

HOUR = 3600.0


def contents(api):
    return [item for path in ("new", "comments") for item in api.walk(f"/r/python+berlin/{path}")]


def options(**others):
    return {
        "seed": 5,
        "start": START,
        "speed": 0.0,
        "subreddits": 6,
        "history_hours": 8,
        "control": True,
        "budget": None,
    } | others


@pytest.mark.slow
def test_the_same_seed_and_time_give_the_same_world():
    with SimulatorServer(**options()) as one, SimulatorServer(**options()) as two:
        first, second = Api(one), Api(two)
        # The order in which things are asked for must not matter, nor how the time went by.
        second.walk("/r/AskScience/comments")
        for _ in range(3):
            two.control("clock", {"advance": HOUR})
            second.walk("/r/berlin/new")
        one.control("clock", {"advance": 3 * HOUR})
        assert contents(first) == contents(second)
        one.control("clock", {"set": START})
        two.control("clock", {"set": START})
        assert contents(first) == contents(second)


def test_another_seed_gives_another_world():
    worlds = [
        World.generated(seed=seed, clock=VirtualClock(START, speed=0.0), subreddits=4)
        for seed in (1, 2)
    ]
    # Post ids follow the time, comment ids are drawn.
    names = [{truth.fullname for truth in world.items(kind="t1")} for world in worlds]
    assert len(names[0]) > 100
    assert not names[0] & names[1]


def test_time_only_adds_items_and_moves_states_forward(sim, own):
    order = {"unpublished": 0, "live": 1, "deleted": 2, "removed": 2}
    before = {item["fullname"]: item for item in own.truth()}
    sim.control("clock", {"advance": 2 * HOUR})
    after = {item["fullname"]: item for item in own.truth()}
    assert before.keys() < after.keys()
    changed = 0
    for name, item in before.items():
        assert order[item["state"]] <= order[after[name]["state"]]
        changed += item["state"] != after[name]["state"]
    assert changed
    fresh = [item for name, item in after.items() if name not in before]
    assert all(item["created_utc"] > START for item in fresh)


def test_truth_can_be_cut_by_time_kind_and_subreddit(own):
    everything = own.truth()
    some = own.truth(subreddit="python", kind="t3", since=START - 2 * HOUR, until=START - HOUR)
    assert some
    assert [i["fullname"] for i in some] == [
        i["fullname"]
        for i in everything
        if i["subreddit"] == "python"
        and i["kind"] == "t3"
        and START - 2 * HOUR <= i["created_utc"] < START - HOUR
    ]


def test_a_late_approved_post_appears_amid_the_others(sim, own):
    waiting = [i for i in own.truth(kind="t3") if i["state"] == "unpublished"]
    assert waiting
    late = waiting[0]
    assert own.names("/api/info", id=late["fullname"]) == []
    sim.control("clock", {"set": late["visible_from"] + 1})
    names = [item["name"] for item in own.walk(f"/r/{late['subreddit']}/new")]
    position = names.index(late["fullname"])
    newer = own.truth(subreddit=late["subreddit"], kind="t3", since=late["created_utc"] + 1)
    assert position == sum(item["state"] == "live" for item in newer)


def test_scores_drift_and_are_hidden_at_first(sim, own):
    post = max(own.walk("/r/python+AskScience/new")[:100], key=lambda item: item["score"])
    young = own.walk("/r/AskScience+python+berlin/comments")
    hidden = [item for item in young if item["score_hidden"]]
    assert hidden
    assert all(item["score"] == 1 for item in hidden)
    assert all(START - item["created_utc"] < HOUR for item in hidden)
    sim.control("clock", {"advance": 12 * HOUR})
    later = own.page("/api/info", id=post["name"])["children"][0]["data"]
    assert later["score"] > post["score"]
    shown = own.page("/api/info", id=hidden[0]["name"])["children"][0]["data"]
    assert shown["score_hidden"] is False


def test_edits_show_their_time_and_another_text(sim, own):
    before = {item["name"]: item for item in own.walk("/r/AskScience+python/comments")}
    sim.control("clock", {"advance": 4 * HOUR})
    edited = [
        item
        for item in own.walk("/r/AskScience+python/comments")
        if item["edited"] and item["name"] in before and not before[item["name"]]["edited"]
    ]
    assert edited
    for item in edited:
        old = before[item["name"]]
        assert isinstance(item["edited"], float)
        assert START < item["edited"] <= START + 4 * HOUR
        assert item["body"] != old["body"]
        assert item["body"].startswith(old["body"])


def test_deleted_and_removed_posts_take_the_recorded_forms(api):
    by_state = {"deleted": [], "removed": []}
    for item in api.truth(kind="t3"):
        by_state.get(item["state"], []).append(item["fullname"])
    deleted = api.page("/api/info", id=",".join(by_state["deleted"][:50]))["children"]
    assert deleted
    for data in (child["data"] for child in deleted):
        assert data["author"] == "[deleted]"
        assert "author_fullname" not in data
        assert data["selftext"] == "[deleted]"
        assert data["removed_by_category"] == "deleted"
        assert data["is_robot_indexable"] is False
    removed = api.page("/api/info", id=",".join(by_state["removed"][:50]))["children"]
    assert removed
    for data in (child["data"] for child in removed):
        assert data["removed_by_category"] == "moderator"
        assert data["author"] != "[deleted]"
        assert data["selftext"] == ("[removed]" if data["is_self"] else "")


def test_deleted_and_removed_comments_take_the_recorded_forms(api):
    wanted = {
        item["fullname"]: item["state"]
        for item in api.truth(subreddit="AskScience", kind="t1")
        if item["state"] in ("deleted", "removed")
    }
    children = api.page("/api/info", id=",".join(list(wanted)[:100]))["children"]
    assert {wanted[child["data"]["name"]] for child in children} == {"deleted", "removed"}
    for data in (child["data"] for child in children):
        assert data["body"] == f"[{wanted[data['name']]}]"
        assert data["author"] == "[deleted]"
        assert "author_fullname" not in data


@pytest.mark.parametrize("speed", [1000.0])
def test_a_fast_clock_runs_fast(speed):
    with SimulatorServer(**options(speed=speed)) as sim:
        one = sim.control("")["now"]
        two = sim.control("")["now"]
        assert two > one
        assert sim.control("clock", {"freeze": True})["speed"] == 0.0
        assert sim.control("")["now"] == sim.control("")["now"]


def test_the_clock_can_be_driven_by_hand():
    now = [0.0]
    clock = VirtualClock(100.0, speed=2.0, source=lambda: now[0])
    now[0] = 5.0
    assert clock.now() == 110.0
    clock.set_speed(0.5)
    now[0] = 7.0
    assert clock.now() == 111.0
    clock.advance(-11.0)
    assert clock.now() == 100.0
