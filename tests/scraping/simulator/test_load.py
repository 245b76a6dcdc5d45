import gzip
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard

from scraping.simulator.load import LoadError, load
from scraping.simulator.server import SimulatorServer

from .api import Api

ROOT = Path(__file__).resolve().parents[3]


def post(identifier, **others):
    return {
        "id": identifier,
        "name": f"t3_{identifier}",
        "title": f"Title of {identifier}",
        "subreddit": "Kettles",
        "subreddit_id": "t5_kett1",
        "created_utc": 1_500_000_000 + int(identifier, 36) % 1000,
        "author": "ann",
        "score": -3,
        "edited": True,
        "odd": {"kept": [1, 2.50, None]},
    } | others


def comment(identifier, link, parent, **others):
    return {
        "id": identifier,
        "name": f"t1_{identifier}",
        "body": "b",
        "subreddit": "Kettles",
        "link_id": link,
        "parent_id": parent,
        "created_utc": 1_500_001_000 + int(identifier, 36) % 1000,
        "author": "Bob",
    } | others


def lines(*items):
    return "".join(
        (item if isinstance(item, str) else json.dumps(item)) + "\n" for item in items
    ).encode()


@pytest.fixture
def serve(tmp_path):
    running = []

    def start(content, name="items.ndjson"):
        path = tmp_path / name
        path.write_bytes(content)
        server = SimulatorServer(load=(path,), control=True, budget=None)
        server.start()
        running.append(server)
        return Api(server)

    yield start
    for server in running:
        server.stop()


@pytest.mark.parametrize("name", ["x.ndjson", "x.gz", "x.zst"])
def test_plain_and_compressed_files_are_served(serve, name):
    content = lines(post("a1"), post("a2"))
    if name.endswith("gz"):
        content = gzip.compress(content)
    elif name.endswith("zst"):
        content = zstandard.compress(content)
    api = serve(content, name)
    assert api.names("/r/kettles/new") == ["t3_a2", "t3_a1"]


def test_recorded_fields_come_back_unchanged(serve):
    odd = post("b1", created_utc="1500000000", edited=1_500_000_500, title="\x00 & <b>")
    api = serve(lines(odd))
    assert api.page("/r/Kettles/new")["children"][0]["data"] == odd
    assert api.page("/api/info", id="t3_b1")["children"][0]["data"] == odd
    assert api.get("/comments/b1")[0]["data"]["children"][0]["data"] == odd


def test_nan_and_lone_surrogates_come_back_as_recorded(serve):
    line = json.dumps(post("b2", ratio=math.nan, title="\ud83d alone"))
    api = serve(lines(line))
    data = json.loads(api.raw("/r/Kettles/new").text)["data"]["children"][0]["data"]
    assert math.isnan(data["ratio"])
    assert data["title"] == "\ud83d alone"


def test_what_the_api_always_has_is_added_where_a_dump_lacks_it(serve):
    bare = post("c1")
    reply = comment("d1", "t3_c1", "t3_c1")
    for item in (bare, reply):
        del item["name"]
    api = serve(lines(bare, reply))
    assert api.names("/r/kettles/new") == ["t3_c1"]
    served = api.page("/r/kettles/comments")["children"][0]["data"]
    assert served == reply | {"name": "t1_d1", "replies": ""}


def test_bad_lines_are_counted_and_the_rest_is_served(tmp_path):
    path = tmp_path / "mixed.ndjson"
    path.write_bytes(
        lines(
            post("e1"),
            "{broken",
            "[1, 2]",
            post("e2", created_utc=None),
            post("e3", id=7, name=None),
            {"id": "e4", "created_utc": 1},
            "",
            post("e5"),
            post("e5", score=9),
        )
        + b'{"title": "\xff"}\n'
    )
    world, report = load([path])
    assert (report.posts, report.comments, report.duplicates, report.rejected) == (2, 0, 1, 6)
    assert [problem.line for problem in report.problems] == [2, 3, 4, 5, 6, 10]
    reasons = " ".join(str(problem) for problem in report.problems)
    for part in ("not JSON", "a JSON list", "created_utc None", "id 7", "neither a post"):
        assert part in reasons
    assert {truth.fullname for truth in world.items()} == {"t3_e1", "t3_e5"}


def test_a_damaged_archive_gives_what_could_be_read(tmp_path):
    path = tmp_path / "cut.gz"
    whole = gzip.compress(lines(*(post(f"f{n}") for n in range(2000))))
    path.write_bytes(whole[: len(whole) // 2])
    world, report = load([path])
    assert 0 < report.posts < 2000
    assert "damaged" in report.problems[-1].reason
    assert len(list(world.items())) == report.posts


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(LoadError, match=r"nowhere\.ndjson"):
        load([tmp_path / "nowhere.ndjson"])


def test_the_command_reports_bad_lines(tmp_path):
    path = tmp_path / "bad.ndjson"
    path.write_bytes(lines(post("g1"), "nonsense"))
    command = [sys.executable, "-m", "scraping.simulator", "--port", "0", "--load", str(path)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline().startswith("Reddit simulator ready at http://")
        process.terminate()
        errors = process.communicate(timeout=10)[1]
    assert f"{path}, line 2: not JSON" in errors
    assert "1 bad lines" in errors


def test_trees_of_recorded_comments(serve):
    items = [
        comment("h3", "t3_h1", "t1_h2", created_utc=1),
        comment("h2", "t3_h1", "t3_h1"),
        post("h1"),
        comment("h4", "t3_h1", "t1_gone"),
        comment("h5", "t3_gone", "t3_gone"),
        comment("h6", "t3_h1", "t1_h6"),
    ]
    api = serve(lines(*items))
    tree = api.get("/comments/h1")[1]["data"]["children"]
    assert [child["data"]["name"] for child in tree] == ["t1_h2"]
    below = tree[0]["data"]["replies"]["data"]["children"]
    assert [(c["data"]["name"], c["data"]["depth"]) for c in below] == [("t1_h3", 1)]
    # Comments without their parent or post are in no tree, but they are there.
    assert set(api.names("/r/kettles/comments")) == {f"t1_h{n}" for n in (2, 3, 4, 5, 6)}
    assert api.names("/api/info", id="t1_h5,t1_h4") == ["t1_h5", "t1_h4"]
    assert api.raw("/comments/gone").status_code == 404


def test_an_item_without_a_subreddit_is_in_no_listing(serve):
    ad = post("i1")
    del ad["subreddit"], ad["subreddit_id"]
    api = serve(lines(ad, post("i2")))
    assert api.names("/r/all/new") == ["t3_i2"]
    assert api.page("/api/info", id="t3_i1")["children"][0]["data"] == ad


def test_recorded_items_can_be_deleted_edited_and_scored(serve):
    api = serve(lines(post("j1"), post("j2"), comment("j3", "t3_j1", "t3_j1")))
    api.sim.control("items/t3_j1", {"action": "delete"})
    assert api.names("/r/kettles/new") == ["t3_j2"]
    gone = api.page("/api/info", id="t3_j1")["children"][0]["data"]
    assert (gone["author"], gone["selftext"]) == ("[deleted]", "[deleted]")
    api.sim.control("items/t1_j3", {"action": "edit", "body": "new"})
    edited = api.page("/r/kettles/comments")["children"][0]["data"]
    assert (edited["body"], type(edited["edited"])) == ("new", float)
    api.sim.control("items/t3_j2", {"action": "score", "score": 41})
    assert api.page("/r/kettles/new")["children"][0]["data"]["score"] == 41
    assert api.page("/r/kettles/new")["children"][0]["data"]["odd"] == post("x")["odd"]


def test_a_recorded_author_can_go(serve):
    api = serve(lines(post("l1", author_fullname="t2_x")))
    api.sim.control("users", {"name": "ann", "status": "deleted"})
    data = api.page("/r/kettles/new")["children"][0]["data"]
    assert (data["author"], data["title"]) == ("[deleted]", "Title of l1")
    assert "author_fullname" not in data


def test_users_of_recorded_items(serve):
    api = serve(lines(post("k1"), comment("k2", "t3_k1", "t3_k1")))
    assert api.names("/user/ANN/submitted") == ["t3_k1"]
    assert api.names("/user/bob") == ["t1_k2"]


@pytest.mark.slow
def test_the_reference_recordings_are_served_as_they_are(reference):
    paths = (reference / "posts.ndjson.gz", reference / "comments.ndjson.gz")
    recorded = {}
    for path in paths:
        for line in gzip.decompress(path.read_bytes()).splitlines():
            data = json.loads(line)
            kind = "t1" if "body" in data else "t3"
            recorded[f"{kind}_{data['id']}"] = data
    with SimulatorServer(load=paths, control=True, budget=None) as sim:
        api = Api(sim)
        names = list(recorded)
        served = {}
        for start in range(0, len(names), 100):
            page = api.page("/api/info", id=",".join(names[start : start + 100]))
            for child in page["children"]:
                served[f"{child['kind']}_{child['data']['id']}"] = child["data"]
        assert served.keys() == recorded.keys()
        for name, data in recorded.items():
            added = set(served[name]) - set(data)
            assert added <= {"name", "replies"}
            assert {key: served[name][key] for key in data} == data


@pytest.mark.slow
def test_ten_thousand_recorded_posts_page_by_page(reference):
    path = reference / "volume" / "posts_2013_pddl.ndjson.gz"
    with SimulatorServer(load=(path,), control=True, budget=None) as sim:
        api = Api(sim)
        sizes = {}
        for item in api.truth(kind="t3"):
            sizes[item["subreddit"]] = sizes.get(item["subreddit"], 0) + 1
        assert sum(sizes.values()) == 99_499
        biggest = sorted(sizes, key=sizes.get)[-3:]
        for name in biggest:
            found = api.walk(f"/r/{name}/new")
            assert len(found) == min(1000, sizes[name])
            times = [item["created_utc"] for item in found]
            assert times == sorted(times, reverse=True)
