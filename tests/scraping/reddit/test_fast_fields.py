"""The quick way to a row gives what the careful way gives, or leaves the item to it."""

import gzip
import json
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraping.dumps.lines import PlainLine, decode_plain
from scraping.reddit import parse
from scraping.reddit.parse import (
    ParsedComment,
    ParsedPost,
    ParseError,
    comment_columns,
    parse_comment,
    parse_post,
    post_columns,
)
from tests import needs
from tests.factories import CommentData, PostData

WAYS = {
    "post": (PostData, post_columns, parse_post, ParsedPost),
    "comment": (CommentData, comment_columns, parse_comment, ParsedComment),
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


def one_by_one(kind, things):
    """What the careful way makes of each, in words that can be compared."""
    _, _, parse_one, _ = WAYS[kind]

    def outcome(data):
        try:
            return repr(parse_one(data))
        except ParseError as error:
            return f"refused: {error}"

    return [outcome(data) for data in things]


def all_at_once(kind, things):
    """The columns of the quick way."""
    plain = [decode_plain(json.dumps(thing).encode()) for thing in things]
    return WAYS[kind][1](
        [PlainLine() if thing is None else thing for thing in plain], things.__getitem__
    )


def together(kind, things):
    """The same of the quick way."""
    item = WAYS[kind][3]
    columns, faults = all_at_once(kind, things)
    for name in ("created_at", "edited_at"):
        columns[name] = [
            None if seconds is None else datetime.fromtimestamp(seconds, UTC)
            for seconds in columns[name]
        ]
    return [
        f"refused: {faults[place]}"
        if place in faults
        else repr(item(**{name: column[place] for name, column in columns.items()}))
        for place in range(len(things))
    ]


def changed(kind):
    make = WAYS[kind][0]
    changes = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4)
    return st.builds(
        lambda changes, without: {
            key: value for key, value in (make(number=1) | changes).items() if key not in without
        },
        changes,
        st.sets(st.sampled_from(KEYS), max_size=4),
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", WAYS)
@given(data=st.data())
def test_both_ways_agree_on_anything(kind, data):
    things = data.draw(st.lists(changed(kind), min_size=1, max_size=4))

    assert together(kind, things) == one_by_one(kind, things)


@pytest.mark.parametrize("kind", WAYS)
def test_what_is_no_object_is_refused_by_both_and_costs_no_other(kind):
    things = [None, WAYS[kind][0](number=1), [], "text", 1, {}]
    outcomes = together(kind, things)

    assert outcomes == one_by_one(kind, things)
    assert [text.startswith("refused") for text in outcomes] == [True, False, *[True] * 4]


@pytest.mark.parametrize("kind", WAYS)
def test_only_what_is_odd_takes_the_careful_way(kind, monkeypatch):
    make, _, parse_one, _ = WAYS[kind]
    careful = []

    def note(data):
        careful.append(data["name"])
        return parse_one(data)

    monkeypatch.setattr(parse, f"parse_{kind}", note)
    odd = make(number=2, permalink="a\0b")
    columns, faults = all_at_once(
        kind, [make(number=1), odd, make(number=3, author="[deleted]", edited=1768478400.0)]
    )

    assert careful == [odd["name"]]
    assert columns["permalink"][1] == "a\ufffdb"
    assert (columns["edited"][2], faults) == (True, {})


@pytest.mark.slow
@needs.RECORDINGS.mark()
@pytest.mark.parametrize(("kind", "name"), [("post", "posts"), ("comment", "comments")])
def test_both_ways_agree_on_what_was_recorded(kind, name):
    with gzip.open(needs.RECORDINGS_FOLDER / f"{name}.ndjson.gz") as lines:
        things = [orjson.loads(line) for line in lines]
    for start in range(0, len(things), 100):
        some = things[start : start + 100]
        assert together(kind, some) == one_by_one(kind, some)
