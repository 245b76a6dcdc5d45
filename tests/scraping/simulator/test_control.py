import json

import pytest
import requests

from scraping.simulator.server import SimulatorServer

from .api import START, Api


@pytest.mark.parametrize(
    ("path", "payload", "field"),
    [
        ("faults", {"kind": "nonsense"}, "kind"),
        ("faults", {"kind": "status", "status": 99}, "status"),
        ("faults", {"kind": "status", "status": "500"}, "status"),
        ("faults", {"kind": "status", "status": 500, "seconds": 1}, "seconds"),
        ("faults", {"kind": "latency", "seconds": -1}, "seconds"),
        ("faults", {"kind": "latency", "seconds": True}, "seconds"),
        ("faults", {"kind": "reset", "path": "("}, "path"),
        ("faults", {"kind": "reset", "every": 0}, "every"),
        ("faults", {"kind": "reset", "times": 0}, "times"),
        ("faults", {"kind": "reset", "probability": 2}, "probability"),
        ("faults", {"kind": "rate_headers", "case": "x"}, "case"),
        ("faults", {"kind": "body"}, "body"),
        ("faults", [1], "body"),
        ("clock", {"advance": "1h"}, "advance"),
        ("clock", {"speed": -1}, "speed"),
        ("clock", {"forward": 1}, "forward"),
        ("subreddits", {"name": "python", "status": "closed"}, "status"),
        ("subreddits", {"status": "ok"}, "name"),
        ("tokens/expire", {"client": 7}, "client"),
        ("users", {"name": "nobody_at_all", "status": "ok"}, "name"),
        ("users", {"name": "x", "status": "asleep"}, "status"),
        ("items", {"subreddit": "nowhere"}, "subreddit"),
        ("items", {"subreddit": "python", "created_utc": 4e9}, "created_utc"),
        ("items", {"parent_id": "t3_zzz"}, "parent_id"),
        ("items", {"subreddit": "python", "colour": "red"}, "colour"),
        ("items", {"items": {}}, "items"),
        ("items", {"items": [7]}, "items"),
        ("items", {"items": [{"subreddit": "nowhere"}]}, "subreddit"),
        ("items/t3_zzz", {"action": "delete"}, "fullname"),
        ("truth?kind=t9", None, "kind"),
        ("truth?subreddit=nowhere", None, "subreddit"),
        ("truth?since=yesterday", None, "since"),
        ("requests?limit=many", None, "limit"),
    ],
)
def test_what_cannot_be_obeyed_is_explained(frozen, path, payload, field):
    with pytest.raises(ValueError, match="remedy") as refused:
        frozen.control(path, payload)
    explained = json.loads(str(refused.value))["error"]
    assert explained["field"] == field
    assert explained["remedy"]


def test_bad_actions_on_items_are_explained(api):
    name = api.names("/r/python/new", limit=1)[0]
    for payload, field in (
        ({"action": "explode"}, "action"),
        ({"action": "score"}, "score"),
        ({"action": "remove", "by": "magic"}, "by"),
    ):
        with pytest.raises(ValueError, match=field):
            api.sim.control(f"items/{name}", payload)
    assert api.sim.control("faults")["faults"] == []


def test_no_json_is_no_request(frozen):
    answer = requests.post(f"{frozen.url}/control/clock", data="{advance")
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, "body")


def test_without_the_option_there_is_no_control():
    with SimulatorServer(start=START, subreddits=1) as sim:
        assert requests.get(f"{sim.url}/control").status_code == 401
        api = Api(sim)
        assert api.raw("/control/truth").status_code == 404
        assert api.post("/control/clock", advance=1).status_code == 404


def test_a_new_post_is_on_top(own, sim):
    made = sim.control(
        "items",
        {
            "subreddit": "python",
            "title": "Hello <world>",
            "selftext": "a & b",
            "author": "Zoë_1",
            "fields": {"over_18": True, "link_flair_text": "X"},
        },
    )
    data = own.page("/r/python/new", limit=1)["children"][0]["data"]
    assert data["name"] == made["fullname"]
    assert (data["title"], data["selftext"], data["author"]) == ("Hello <world>", "a & b", "Zoë_1")
    assert "a &amp; b" in data["selftext_html"]
    assert (data["over_18"], data["link_flair_text"], data["is_self"]) == (True, "X", True)
    assert data["created_utc"] == int(START)
    assert made["fullname"] in {item["fullname"] for item in own.truth(subreddit="python")}
    link = sim.control("items", {"subreddit": "python", "url": "https://a.example/x", "title": "L"})
    data = own.page("/api/info", id=link["fullname"])["children"][0]["data"]
    assert (data["url"], data["is_self"], data["selftext"]) == ("https://a.example/x", False, "")


def test_many_items_are_added_by_one_request(own, sim):
    item = {"subreddit": "python", "title": "One of many", "created_utc": START}
    made = sim.control("items", {"items": [item] * 3})["items"]
    names = [item["fullname"] for item in made]
    assert len(set(names)) == 3
    assert set(own.names("/r/python/new", limit=3)) == set(names)


def test_a_late_approved_post_is_put_where_it_belongs(own, sim):
    before = own.names("/r/python/new", limit=100)
    created = own.page("/r/python/new", limit=100)["children"][20]["data"]["created_utc"] + 0.5
    late = sim.control("items", {"subreddit": "python", "title": "Late", "created_utc": created})
    after = own.names("/r/python/new", limit=100)
    assert late["visible_from"] == START
    assert late["fullname"] in after[19:22]
    assert [name for name in after if name != late["fullname"]] == before[:99]


def test_new_comments_join_the_thread(own, sim):
    post = sim.control("items", {"subreddit": "python", "title": "T"})["fullname"]
    first = sim.control("items", {"link_id": post, "body": "one"})["fullname"]
    sim.control("clock", {"advance": 10})
    second = sim.control("items", {"parent_id": first, "body": "two", "author": "x"})
    assert second["link_id"] == post
    assert own.names("/r/python/comments", limit=1) == [second["fullname"]]
    tree = own.get(f"/comments/{post[3:]}")
    assert tree[0]["data"]["children"][0]["data"]["num_comments"] == 2
    root = tree[1]["data"]["children"][0]["data"]
    reply = root["replies"]["data"]["children"][0]["data"]
    assert (root["body"], reply["body"], reply["depth"]) == ("one", "two", 1)


def test_items_change_and_come_back(own, sim):
    name = own.names("/r/python/new", limit=5)[3]

    def data():
        return own.page("/api/info", id=name)["children"][0]["data"]

    before = data()
    sim.control(f"items/{name}", {"action": "edit", "selftext": "changed"})
    assert (data()["selftext"], data()["edited"]) == ("changed", float(int(START)))
    assert "changed" in data()["selftext_html"]
    sim.control(f"items/{name}", {"action": "score", "score": -12})
    assert (data()["score"], data()["ups"]) == (-12, -12)
    removed = sim.control(f"items/{name}", {"action": "remove", "by": "reddit"})
    assert removed["state"] == "removed"
    assert data()["removed_by_category"] == "reddit"
    assert name not in own.names("/r/python/new", limit=10)
    sim.control(f"items/{name}", {"action": "approve"})
    assert data()["title"] == before["title"]
    assert own.names("/r/python/new", limit=5)[3] == name
    deleted = sim.control(f"items/{name}", {"action": "delete"})
    assert (deleted["state"], deleted["deleted_at"]) == ("deleted", START)
    assert data()["author"] == "[deleted]"


def test_a_deleted_account_takes_its_name_along(own, sim):
    comment = own.page("/r/python/comments", limit=1)["children"][0]["data"]
    name = comment["author"]
    assert own.raw(f"/user/{name}").status_code == 200
    sim.control("users", {"name": name.upper(), "status": "deleted"})
    shown = own.page("/r/python/comments", limit=1)["children"][0]["data"]
    assert (shown["name"], shown["body"]) == (comment["name"], comment["body"])
    assert shown["author"] == "[deleted]"
    assert "author_fullname" not in shown
    assert own.raw(f"/user/{name}").status_code == 404
    assert own.raw(f"/user/{name}/about").status_code == 404
    sim.control("users", {"name": name, "status": "suspended"})
    assert own.get(f"/user/{name}/about")["data"]["is_suspended"] is True
    sim.control("users", {"name": name, "status": "ok"})
    assert own.page("/r/python/comments", limit=1)["children"][0]["data"] == comment


def test_a_new_subreddit_is_empty_until_something_is_posted(own, sim):
    sim.control("subreddits", {"name": "BrandNew", "status": "ok"})
    assert own.names("/r/brandnew/new") == []
    made = sim.control("items", {"subreddit": "BRANDNEW", "title": "First"})
    assert own.names("/r/brandnew/new") == [made["fullname"]]
    assert own.get("/r/brandnew/about")["data"]["display_name"] == "BrandNew"
    assert own.names("/api/info", id=made["fullname"]) == [made["fullname"]]


def test_requests_are_counted_by_client_kind_and_status(own, sim):
    sim.control("reset", {})
    other = Api(sim, "other")
    own.names("/r/python/new", limit=3)
    own.names("/r/python+berlin/comments")
    own.raw("/r/nowhere/new")
    other.names("/api/info", id="t3_1")
    journal = sim.control("requests")
    assert journal["total"] == 5
    assert journal["clients"]["tester"] == {
        "new": {"200": 1, "302": 1},
        "comments": {"200": 1},
    }
    assert journal["clients"]["other"] == {"info": {"200": 1}, "token": {"200": 1}}
    assert [entry["path"] for entry in journal["latest"]][1:3] == [
        "/r/python/new",
        "/r/python+berlin/comments",
    ]
    assert "limit=3" in journal["latest"][1]["query"]
    assert len(sim.control("requests?limit=2")["latest"]) == 2


def test_reset_forgets_faults_requests_and_statuses(own, sim):
    sim.control("faults", {"kind": "status", "status": 500})
    sim.control("subreddits", {"name": "python", "status": "banned"})
    assert own.raw("/r/python/new").status_code == 500
    sim.control("reset", {})
    assert sim.control("requests")["total"] == 0
    assert own.raw("/r/python/new").status_code == 200


def test_reset_works_after_a_subreddit_was_renamed(own, sim):
    sim.control("subreddits", {"name": "python", "status": "ok", "renamed_to": "python3"})
    sim.control("reset", {})
    assert own.raw("/r/python3/new").status_code == 200


def test_state_tells_time_statuses_and_budget(frozen):
    state = frozen.control("")
    assert (state["now"], state["speed"]) == (START, 0.0)
    assert state["subreddits"]["TeamBackroom"] == "private"
    assert state["budget"] == {"requests": None, "window": 600.0}
