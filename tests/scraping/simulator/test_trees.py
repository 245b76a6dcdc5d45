import functools
import threading

import pytest
import requests

from scraping.simulator.server import SimulatorServer

from .api import START, Api


@pytest.fixture(scope="module")
def busy():
    """Few posts with very many comments."""
    with SimulatorServer(
        seed=11,
        start=START,
        speed=0.0,
        control=True,
        subreddits=2,
        posts_per_hour=0.5,
        comments_per_post=400,
        history_hours=48,
        budget=None,
    ) as server:
        yield Api(server)


@functools.cache
def existing(api):
    """The truth about all comments, by post; the world stands still."""
    by_post = {}
    for item in api.truth(kind="t1"):
        by_post.setdefault(item["link_id"], {})[item["fullname"]] = item
    return by_post


def threads(api, fewest, most=10_000):
    """Posts with so many comments, the biggest first."""
    sizes = {post: len(comments) for post, comments in existing(api).items()}
    fitting = [post for post, size in sizes.items() if fewest <= size <= most]
    return sorted(fitting, key=lambda post: -sizes[post])


@functools.cache
def visible(api, post):
    """Every comment that a tree shows: those that stand, and those above one that does."""
    comments = existing(api)[post]
    shown = set()
    for name, item in comments.items():
        if item["state"] == "live":
            while name in comments and name not in shown:
                shown.add(name)
                name = comments[name]["parent_id"]
    return shown


def spread(things):
    """A tree or the things of morechildren, as comments and more nodes."""
    comments, mores = [], []
    waiting = list(things)
    while waiting:
        thing = waiting.pop()
        if thing["kind"] == "more":
            mores.append(thing["data"])
            continue
        comments.append(thing["data"])
        if thing["data"]["replies"]:
            waiting.extend(thing["data"]["replies"]["data"]["children"])
    return comments, mores


def walk_everything(api, post, **params):
    identifier = post.removeprefix("t3_")
    comments, mores = spread(api.get(f"/comments/{identifier}", **params)[1]["data"]["children"])
    requests = 1
    while mores:
        more = mores.pop()
        requests += 1
        if more["id"] == "_":
            parent = more["parent_id"].removeprefix("t1_")
            tree = api.get(f"/comments/{identifier}/_/{parent}", **params)[1]["data"]["children"]
            below, further = spread(tree[0]["data"]["replies"]["data"]["children"])
        else:
            children = more["children"]
            form = {"api_type": "json", "link_id": post, "children": ",".join(children[:100])}
            things = api.post("/api/morechildren", **form).json()["json"]["data"]["things"]
            below, further = spread(things)
            if children[100:]:
                mores.append(more | {"children": children[100:]})
        comments += below
        mores += further
    return comments, requests


@pytest.mark.slow
@pytest.mark.parametrize("params", [{"limit": 2048}, {}, {"limit": 5, "sort": "new"}])
def test_following_everything_finds_every_visible_comment_once(busy, params):
    posts = threads(busy, 550, 900)
    assert posts
    for post in posts[-1:]:
        comments, requests = walk_everything(busy, post, **params)
        names = [comment["name"] for comment in comments]
        assert len(names) == len(set(names))
        assert set(names) == visible(busy, post)
        assert requests > 1


def test_a_page_holds_about_five_hundred_at_most(busy):
    post = threads(busy, 1000)[0].removeprefix("t3_")
    answer = busy.get(f"/comments/{post}", limit=2048)
    assert [part["kind"] for part in answer] == ["Listing", "Listing"]
    assert [child["kind"] for child in answer[0]["data"]["children"]] == ["t3"]
    comments, mores = spread(answer[1]["data"]["children"])
    assert 470 <= len(comments) <= 530
    assert all(m["count"] >= len(m["children"]) > 0 for m in mores if m["id"] != "_")
    assert len(spread(busy.get(f"/comments/{post}")[1]["data"]["children"])[0]) == 200


def test_below_ten_levels_stands_continue_this_thread(busy):
    stubs = []
    for post in threads(busy, 100, 450):
        tree = busy.get(f"/comments/{post[3:]}", limit=2048)[1]["data"]["children"]
        comments, mores = spread(tree)
        assert max(comment["depth"] for comment in comments) <= 9
        stubs += mores
        levels = {comment["name"]: comment["depth"] for comment in comments}
        assert all(levels[more["parent_id"]] == 9 for more in mores)
    assert stubs
    for stub in stubs:
        shape = (stub["id"], stub["name"], stub["count"], stub["children"], stub["depth"])
        assert shape == ("_", "t1__", 0, [], 10)


def test_counts_of_more_add_up_to_what_is_not_shown(busy):
    post = threads(busy, 300, 500)[0]
    tree = busy.get(f"/comments/{post[3:]}", limit=20)[1]["data"]["children"]
    comments, mores = spread(tree)
    assert all(more["id"] != "_" for more in mores)
    assert len(comments) == 20
    assert sum(more["count"] for more in mores) == len(visible(busy, post)) - 20


@pytest.mark.slow
def test_one_comment_with_its_context(busy):
    post = threads(busy, 300, 500)[0]
    deep = max(walk_everything(busy, post)[0], key=lambda comment: comment["depth"])
    parents = {name: item["parent_id"] for name, item in existing(busy)[post].items()}
    path = f"/comments/{post[3:]}/_/{deep['id']}"
    alone = busy.get(path)[1]["data"]["children"]
    assert [child["data"]["name"] for child in alone] == [deep["name"]]
    around = busy.get(path, context=2)[1]["data"]["children"]
    parent = parents[deep["name"]]
    assert around[0]["data"]["name"] == parents[parent]
    assert around[0]["data"]["depth"] == 0
    line = around[0]["data"]["replies"]["data"]["children"]
    assert [child["data"]["name"] for child in line] == [parent]


def test_sorts(busy):
    post = threads(busy, 300)[0][3:]

    def roots(sort):
        tree = busy.get(f"/comments/{post}", limit=400, sort=sort)[1]["data"]["children"]
        return [child["data"] for child in tree if child["kind"] == "t1"]

    new = [root["created_utc"] for root in roots("new")]
    assert new == sorted(new, reverse=True)
    assert new != [root["created_utc"] for root in roots("old")]


def test_all_addresses_of_a_thread_lead_to_it(busy):
    post = threads(busy, 300)[0][3:]
    plain = busy.get(f"/comments/{post}")
    permalink = plain[0]["data"]["children"][0]["data"]["permalink"]
    assert busy.get(permalink) == plain
    assert busy.get("/".join(permalink.split("/")[:5])) == plain
    comment = plain[1]["data"]["children"][0]["data"]
    assert busy.get(comment["permalink"])[1]["data"]["children"][0]["data"]["id"] == comment["id"]


def test_morechildren_leaves_out_what_is_gone(busy):
    post = threads(busy, 300, 500)[0]
    leaves = [name[3:] for name in existing(busy)[post].keys() - visible(busy, post)]
    assert leaves
    form = {"link_id": post, "children": ",".join([*leaves[:20], "zzzzzz"])}
    assert busy.post("/api/morechildren", **form).json()["json"]["data"]["things"] == []


def test_morechildren_of_any_number_of_ids(busy):
    post = threads(busy, 1000)[0]
    wanted = [name.removeprefix("t1_") for name in sorted(visible(busy, post))]
    form = {"api_type": "json", "link_id": post, "children": ",".join(wanted)}
    answer = busy.post("/api/morechildren", **form).json()["json"]
    comments, mores = spread(answer["data"]["things"])
    assert answer["errors"] == []
    assert len(comments) == 100
    assert all(comment["replies"] == "" for comment in comments)
    assert mores
    by_get = busy.get("/api/morechildren", link_id=post, children=wanted[0])["json"]["data"]
    assert by_get["things"][0]["data"]["id"] == wanted[0]


def test_one_morechildren_at_a_time(busy):
    post = threads(busy, 300, 500)[0]
    child = next(iter(visible(busy, post)))[3:]
    statuses = []
    sessions = [Api.__new__(Api) for _ in range(6)]
    for session in sessions:
        session.sim, session.session = busy.sim, requests.Session()
        session.session.headers.update(busy.session.headers)
    calls = [
        threading.Thread(
            target=lambda s=s: statuses.append(
                s.post("/api/morechildren", link_id=post, children=child).status_code
            )
        )
        for s in sessions
    ]
    for call in calls:
        call.start()
    for call in calls:
        call.join()
    assert set(statuses) == {200, 429}
    assert busy.post("/api/morechildren", link_id=post, children=child).status_code == 200


def test_num_comments_counts_what_stands(busy):
    posts = busy.walk("/r/AskScience+python/new")
    assert posts
    for post in posts:
        comments = existing(busy).get(post["name"], {}).values()
        assert post["num_comments"] == sum(item["state"] == "live" for item in comments)


def test_a_deleted_comment_with_replies_stays_as_a_shell(busy):
    post = threads(busy, 300, 500)[0]
    comments, _ = walk_everything(busy, post)
    truth = existing(busy)[post]
    shells = [comment for comment in comments if truth[comment["name"]]["state"] != "live"]
    assert shells
    for shell in shells:
        assert shell["author"] == "[deleted]"
        assert shell["body"] in ("[deleted]", "[removed]")
        assert "author_fullname" not in shell
