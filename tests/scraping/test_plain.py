"""The quick way to a row gives what the careful way gives, or leaves the item to it."""

import gzip
import os
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraping.reddit import parse
from scraping.reddit.parse import (
    ParseError,
    parse_comment,
    parse_comment_carefully,
    parse_post,
    parse_post_carefully,
)
from tests.factories import CommentData, PostData

REFERENCE = os.environ.get("REDDIT_REFERENCE")
WAYS = {
    "post": (PostData, parse_post, parse_post_carefully),
    "comment": (CommentData, parse_comment, parse_comment_carefully),
}
KEYS = sorted(
    {*PostData(number=1), *CommentData(number=1), "author_flair_text", "link_flair_text", "spoiler"}
    | {"post_hint", "crosspost_parent", "removed_by_category", "num_crossposts", "is_video"}
    | {"quarantine", "is_submitter", "controversiality", "poll_data", "gallery_data"}
    | {"author_flair_template_id", "associated_award", "content_categories"}
)
VALUES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["[deleted]", "[removed]", "deleted", "moderator", "", "t3_abc", "t3_", "abc",
                       "t1_abc", "t5_2qh0y", "t3_a c", "u_name", "x" * 101, "1768478400", "12.5",
                       "nan", "\ud83d", "a\0b", "\u00e9", "t3_" + "a" * 60, 2**63, -(2**63), 2**63 - 1,
                       1768478400, 1768478400.5, 4e9, -1, 0, 1, 1.0])
    | st.lists(st.integers(), max_size=2) | st.dictionaries(st.text(max_size=3), st.text(max_size=3))
)  # fmt: skip


def outcome(way, data):
    try:
        return repr(way(data))
    except ParseError as error:
        return f"refused: {error}"


@pytest.mark.parametrize("kind", WAYS)
@given(changes=st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4),
       without=st.sets(st.sampled_from(KEYS), max_size=4))  # fmt: skip
def test_both_ways_agree_on_anything(kind, changes, without):
    make, quick, careful = WAYS[kind]
    data = {key: value for key, value in (make(number=1) | changes).items() if key not in without}

    assert outcome(quick, data) == outcome(careful, data)


@pytest.mark.parametrize("data", [None, [], "text", 1, {}])
@pytest.mark.parametrize("kind", WAYS)
def test_what_is_no_object_is_refused_by_both(kind, data):
    _, quick, careful = WAYS[kind]
    assert outcome(quick, data) == outcome(careful, data)
    assert outcome(quick, data).startswith("refused")


@pytest.mark.parametrize("kind", WAYS)
def test_a_common_item_does_take_the_quick_way(kind, monkeypatch):
    make, quick, _ = WAYS[kind]

    def refuse(data):
        raise AssertionError("the careful way was taken")

    monkeypatch.setattr(parse, f"parse_{kind}_carefully", refuse)

    assert quick(make(number=1)).fullname == make(number=1)["name"]
    assert quick(make(number=1, author="[deleted]", edited=1768478400.0)).edited is True


def test_shapes_beyond_number_do_not_pile_up(monkeypatch):
    monkeypatch.setattr("scraping.reddit.plain.SHAPES_KEPT", 10)
    for number in range(1 << 7):
        flags = [None if number >> bit & 1 else True for bit in range(7)]
        names = ("stickied", "locked", "archived", "over_18", "spoiler", "is_self", "is_video")
        parse_post(PostData(number=1, **dict(zip(names, flags, strict=True))))

    assert len(parse._plain_post._recipes) <= 10


@pytest.mark.skipif(not REFERENCE, reason="REDDIT_REFERENCE does not name a folder of recordings")
@pytest.mark.parametrize(("kind", "name"), [("post", "posts"), ("comment", "comments")])
def test_both_ways_agree_on_what_was_recorded(kind, name):
    _, quick, careful = WAYS[kind]
    with gzip.open(Path(REFERENCE) / f"{name}.ndjson.gz") as lines:
        for line in lines:
            data = orjson.loads(line)
            assert outcome(quick, data) == outcome(careful, data)
