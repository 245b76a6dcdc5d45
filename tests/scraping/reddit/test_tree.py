"""Answers about comment trees are read whatever their shape: nothing is lost, nothing recurses."""

import json

import pytest

from scraping.reddit.errors import BadResponse
from scraping.reddit.tree import read_more_children, read_tree
from tests import needs
from tests.factories import CommentData, PostData


def listing(*things):
    return {"kind": "Listing", "data": {"children": list(things)}}


def comment(name, *replies):
    below = listing(*replies) if replies else ""
    return {"kind": "t1", "data": CommentData(id=name) | {"replies": below}}


def more(parent, *children, count=None):
    data = {
        "count": len(children) if count is None else count,
        "name": f"t1_{children[0]}" if children else "t1__",
        "id": children[0] if children else "_",
        "parent_id": parent,
        "children": list(children),
    }
    return {"kind": "more", "data": data}


def tree(*things):
    return [listing({"kind": "t3", "data": PostData()}), listing(*things)]


def names(answer):
    return [thing["data"]["id"] for thing in answer.comments]


def test_comments_come_in_reading_order_with_what_was_left_out():
    answer = read_tree(
        tree(
            comment("aa", comment("bb", more("t1_bb")), more("t1_aa", "cc", "dd")),
            comment("ee"),
            more("t3_zz", "ff"),
        )
    )

    assert names(answer) == ["aa", "bb", "ee"]
    assert answer.more == ["cc", "dd", "ff"]
    assert answer.continued == ["bb"]
    assert len(answer.posts) == 1


def test_all_stubs_share_a_name_and_are_told_apart_by_their_parents():
    stubs = [comment(name, more(f"t1_{name}")) for name in ("aa", "bb", "cc")]

    assert read_tree(tree(*stubs)).continued == ["aa", "bb", "cc"]


@pytest.mark.slow
def test_depth_has_no_bound():
    deep = comment("a0")
    for number in range(1, 20_000):
        deep = comment(f"a{number}", deep)

    assert len(names(read_tree(tree(deep)))) == 20_000


def test_what_is_no_comment_is_kept_for_whoever_counts_the_rejected():
    odd = [None, 3, "x", {"kind": "t1"}, {"kind": "t5", "data": {}}, {"kind": "more", "data": []}]

    assert read_tree(tree(*odd, comment("aa"))).comments[:-1] == odd


@pytest.mark.parametrize(
    "children",
    [None, "aa", [None, 5, "", "_", "A B", "../x", "a,b", "x" * 40], [["aa"]], {}],
)
def test_ids_that_are_none_are_not_asked_for(children):
    broken = more("t3_zz", "aa")
    broken["data"]["children"] = children

    answer = read_tree(tree(broken))

    assert (answer.more, answer.continued) == ([], [])


def test_a_stub_below_the_post_itself_leads_nowhere():
    assert read_tree(tree(more("t3_zz"))).continued == []


@pytest.mark.parametrize(
    "body",
    [None, "", 5, {}, [], [1], [listing()], [listing(), {}], [{}, listing()], listing(), [[], []]],
)
def test_a_tree_that_is_none_is_an_error(body):
    with pytest.raises(BadResponse, match="Expected a post and its comments"):
        read_tree(body)


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"json": None},
        {"json": {"errors": [["RATELIMIT", "slow down", "x"]]}},
        {"json": {"errors": [], "data": {"things": None}}},
    ],
)
def test_more_children_that_are_none_are_an_error(body):
    with pytest.raises(BadResponse, match="Expected more comments"):
        read_more_children(body)


def things_of(value, kind):
    """Every thing of a kind in an answer, however deep: another way to the same."""
    if isinstance(value, list):
        for entry in value:
            yield from things_of(entry, kind)
    elif isinstance(value, dict):
        if value.get("kind") == kind and isinstance(value.get("data"), dict):
            yield value["data"]
        for entry in value.values():
            yield from things_of(entry, kind)


@pytest.mark.slow
@needs.RECORDINGS.mark()
def test_recorded_trees_are_read_to_the_last_comment(subtests):
    folder = needs.RECORDINGS_FOLDER / "recordings"
    read = {"tree": 0, "more": 0}
    for entry in json.loads((folder / "INDEX.json").read_bytes()):
        way, path = entry["method"], entry["path"]
        if path.startswith("/comments/"):
            kind, reader = "tree", read_tree
        elif path.startswith("/api/morechildren"):
            kind, reader = "more", read_more_children
        else:
            continue
        if entry["status"] != 200:
            continue
        body = json.loads((folder / entry["file"]).read_bytes())
        read[kind] += 1
        with subtests.test(file=entry["file"], method=way):
            answer = reader(body)
            expected = [data["id"] for data in things_of(body, "t1")]
            assert sorted(names(answer)) == sorted(expected)
            mores = list(things_of(body, "more"))
            children = {child for data in mores for child in data["children"]}
            assert set(answer.more) == children
            assert len(answer.more) == len(children)
            assert set(answer.continued) == {
                data["parent_id"][3:] for data in mores if not data["children"]
            }
    assert all(read.values()), f"no recordings of some kind: {read}"
