"""Whatever Reddit ever sent becomes a row, or an error that names the item: nothing else."""

import json
import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraping.reddit.parse import ParseError, parse_comment, parse_post
from tests.factories import CREATED_UTC, CommentData, PostData

CREATED_AT = datetime(2026, 1, 15, 12, tzinfo=UTC)

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("t3_abc")
    | st.sampled_from(["", "0", "1768478400", "1e3", "nan", "\0", "\ud800", 2**70, -1, 1e300])
)  # fmt: skip
JSON_VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def post(*absent, **changes):
    data = PostData(number=0, **changes)
    return parse_post({key: value for key, value in data.items() if key not in absent})


def comment(*absent, **changes):
    data = CommentData(number=0, **changes)
    return parse_comment({key: value for key, value in data.items() if key not in absent})


class TestAPost:
    def test_every_column_comes_from_its_key(self):
        parsed = post(num_crossposts=2, is_video=True, link_flair_text="News", quarantine=False)

        assert parsed.fullname == "t3_zz0000"
        assert (parsed.subreddit, parsed.subreddit_fullname) == ("python", "t5_2qh0y")
        assert (parsed.author, parsed.author_fullname) == ("someone", "t2_abc")
        assert parsed.created_at == CREATED_AT
        assert (parsed.title, parsed.selftext) == ("A title", "A text")
        assert (parsed.score, parsed.num_comments, parsed.num_crossposts) == (7, 3, 2)
        assert parsed.upvote_ratio == 0.97
        assert (parsed.is_self, parsed.is_video, parsed.quarantine) == (True, True, False)
        assert parsed.link_flair_text == "News"
        assert parsed.removal == ""

    def test_what_is_absent_is_unknown_and_what_is_null_is_empty(self):
        assert post("selftext", "author", "over_18").selftext is None
        assert post("author").author is None
        assert post("over_18").over_18 is None
        assert post(selftext=None).selftext == ""
        assert post(distinguished=None).distinguished == ""

    def test_an_ad_has_no_subreddit(self):
        parsed = post("subreddit", "subreddit_id")

        assert (parsed.subreddit, parsed.subreddit_fullname) == (None, None)

    @pytest.mark.parametrize("name", ["reddit.com", "u_someone-with-25-letters", "AskReddit"])
    def test_names_of_subreddits_keep_their_case(self, name):
        assert post(subreddit=name).subreddit == name

    @pytest.mark.parametrize(
        "ours", [{"removed_by_category": "deleted"}, {"removed_by_category": "author"},
                 {"author": "[deleted]", "selftext": "[deleted]"}]
    )  # fmt: skip
    def test_what_its_author_deleted_is_deleted(self, ours):
        assert post(**ours).removal == "deleted"

    @pytest.mark.parametrize(
        "ours",
        [{"removed_by_category": "moderator"}, {"removed_by_category": "reddit"},
         {"removed_by_category": "automod_filtered"}, {"selftext": "[removed]"}],
    )  # fmt: skip
    def test_what_others_removed_is_removed(self, ours):
        assert post(**ours).removal == "removed"

    def test_a_deleted_account_is_forgotten_with_its_id(self):
        parsed = post("author_fullname", author="[deleted]", selftext="Still here")

        assert (parsed.author, parsed.author_fullname) == ("[deleted]", "")
        assert parsed.removal == ""


class TestAComment:
    def test_every_column_comes_from_its_key(self):
        parsed = comment(is_submitter=True, controversiality=1, score_hidden=True, score=-7122)

        assert parsed.fullname == "t1_yy0000"
        assert parsed.body == "A comment"
        assert (parsed.link_fullname, parsed.parent_fullname) == ("t3_zz0001", "t3_zz0001")
        assert (parsed.is_submitter, parsed.controversiality) == (True, 1)
        assert (parsed.score, parsed.score_hidden) == (-7122, True)

    @pytest.mark.parametrize(
        ("changes", "removal"),
        [
            ({"body": "[removed]"}, "removed"),
            ({"body": "[deleted]", "author": "[deleted]"}, "deleted"),
            ({"body": "[deleted]", "author": "someone"}, ""),
            ({"body": "I was [deleted]", "author": "[deleted]"}, ""),
        ],
    )
    def test_its_removal_is_read_from_its_text(self, changes, removal):
        assert comment(**changes).removal == removal


class TestIdentity:
    def test_a_line_of_a_dump_has_an_id_only(self):
        assert post("name").fullname == "t3_zz0000"

    def test_the_name_stands_above_the_id(self):
        assert post(name="t3_other").fullname == "t3_other"

    @pytest.mark.parametrize("name", [None, 7, "", "t1_abc", "t3_", "t3_" + "x" * 3_000, "t3_a\0b"])
    def test_a_name_that_cannot_be_one_gives_way_to_the_id(self, name):
        assert post(name=name).fullname == "t3_zz0000"

    @pytest.mark.parametrize("identifier", [None, 7, "", "x" * 3_000, "a\0b", "\ud800", "a b"])
    def test_without_either_there_is_no_item(self, identifier):
        with pytest.raises(ParseError, match="neither name nor id") as refused:
            post("name", id=identifier)
        assert refused.value.fullname == "?"

    @pytest.mark.parametrize("data", [None, [], "t3_abc", 7, True])
    def test_what_is_no_object_is_no_item(self, data):
        with pytest.raises(ParseError, match="expected an object"):
            parse_post(data)


class TestWhatAnItemCannotDoWithout:
    @pytest.mark.parametrize("value", [None, "soon", True, [], {}, math.nan, math.inf, 1e20, ""])
    def test_the_time_it_was_written(self, value):
        with pytest.raises(ParseError, match="t3_zz0000: created_utc") as refused:
            post(created_utc=value)
        assert refused.value.fullname == "t3_zz0000"

    def test_its_text(self):
        with pytest.raises(ParseError, match="t3_zz0000: title: expected text, got nothing"):
            post("title")
        with pytest.raises(ParseError, match="t1_yy0000: body: expected text, got 7"):
            comment(body=7)

    def test_an_empty_text_is_one(self):
        assert post(title="").title == ""
        assert comment(body=None).body == ""


class TestNumbers:
    @pytest.mark.parametrize(
        "value", [CREATED_UTC, float(CREATED_UTC), str(CREATED_UTC), f"{CREATED_UTC}.0"]
    )
    def test_times_come_as_int_float_and_text(self, value):
        assert post(created_utc=value).created_at == CREATED_AT

    def test_created_is_never_used(self):
        assert post(created=CREATED_UTC + 8 * 3600).created_at == CREATED_AT

    @pytest.mark.parametrize(
        ("value", "score"),
        [(7, 7), ("7", 7), (7.0, 7), (-3, -3), (2**40, 2**40), (2**63, None), (10**400, None),
         (math.nan, None), ("many", None), ([], None), (True, None), (None, None)],
    )  # fmt: skip
    def test_counts_fit_their_column_or_are_left_out(self, value, score):
        assert post(score=value).score == score

    @pytest.mark.parametrize(
        ("value", "ratio"), [(1, 1.0), (0.5, 0.5), ("0.5", 0.5), (math.inf, None), (10**400, None)]
    )
    def test_the_ratio_is_int_or_float(self, value, ratio):
        assert post(upvote_ratio=value).upvote_ratio == ratio


class TestEdited:
    @pytest.mark.parametrize("value", [CREATED_UTC, float(CREATED_UTC), str(CREATED_UTC)])
    def test_a_time_is_when_it_was_edited(self, value):
        parsed = post(edited=value)

        assert (parsed.edited, parsed.edited_at) == (True, CREATED_AT)

    @pytest.mark.parametrize(
        ("value", "edited"), [(False, False), (True, True), (None, None), ("never", None)]
    )
    def test_anything_else_gives_no_time(self, value, edited):
        parsed = post(edited=value)

        assert (parsed.edited, parsed.edited_at) == (edited, None)

    def test_absence_says_nothing(self):
        assert post("edited").edited is None


class TestText:
    @pytest.mark.parametrize(
        ("sent", "kept"),
        [
            ("a\0b", "a\ufffdb"),
            ("\ud83d alone, \ude00 too", "\ufffd alone, \ufffd too"),
            ("\ud83d\ude00 halves", "😀 halves"),
            ("Z\u0321\u0356a\u034dlgo", "Z\u0321\u0356a\u034dlgo"),
            ("&amp; is left alone", "&amp; is left alone"),
            ("line\r\nline\ttab\\N \\.", "line\r\nline\ttab\\N \\."),
            ("x" * 432_872, "x" * 432_872),
        ],
        ids=["NUL", "lone halves", "two halves", "zalgo", "entity", "escapes", "longest"],
    )
    def test_only_what_postgresql_refuses_is_replaced(self, sent, kept):
        assert comment(body=sent).body == kept
        assert post(selftext=sent).selftext == kept

    def test_a_field_of_another_type_costs_that_field(self, caplog):
        parsed = post(author={"name": "someone"}, over_18="yes")

        assert (parsed.author, parsed.over_18, parsed.title) == (None, None, "A title")
        assert "t3_zz0000: author: expected text" in caplog.text
        assert "t3_zz0000: over_18: expected true or false" in caplog.text

    @pytest.mark.parametrize("name", ["x" * 5_000, "sübreddit", "a\0b"])
    def test_a_name_that_no_subreddit_can_have_costs_the_name(self, name, caplog):
        assert post(subreddit=name).subreddit is None
        assert "t3_zz0000: subreddit" in caplog.text

    def test_a_reference_too_long_to_be_one_is_left_out(self):
        assert comment(link_id="t3_" + "x" * 5_000).link_fullname is None


class TestExtra:
    def test_structured_fields_are_kept_storable(self):
        parsed = post(
            poll_data={
                "voting_end_timestamp": 1_768_478_400_000,
                "huge": 10**30,
                "odd": math.nan,
                "te\0xt": "\ud800",
            }
        )

        assert parsed.extra["poll_data"] == {
            "voting_end_timestamp": 1_768_478_400_000,
            "huge": 10**30,
            "odd": None,
            "te\ufffdxt": "\ufffd",
        }

    def test_absent_and_null_ones_are_left_out(self):
        assert post(gallery_data=None).extra == {}

    def test_no_depth_is_too_deep(self):
        deep = []
        for _ in range(900):
            deep = [deep]

        assert json.dumps(post(gallery_data=deep).extra)


class TestAnything:
    """For any JSON value there are two ends: a row, or an error with the item's name."""

    @given(JSON_VALUES)
    def test_any_value_parses_or_is_a_parse_error(self, value):
        for parse in (parse_post, parse_comment):
            try:
                parsed = parse(value)
            except ParseError as error:
                str(error).encode()
                continue
            assert parsed.fullname

    @given(
        st.sampled_from([*sorted(PostData(number=0)), "gallery_data", "poll_data", "hide_score"]),
        JSON_VALUES,
    )
    def test_any_value_of_any_key_of_a_post_does(self, key, value):
        try:
            parsed = post(**{key: value})
        except ParseError as error:
            str(error).encode()
            assert key in ("name", "id", "title", "created_utc")
            return
        assert parsed.fullname.startswith("t3_")

    @given(st.sampled_from(sorted(CommentData(number=0))), JSON_VALUES)
    def test_any_value_of_any_key_of_a_comment_does(self, key, value):
        try:
            parsed = comment(**{key: value})
        except ParseError as error:
            str(error).encode()
            assert key in ("name", "id", "body", "created_utc")
            return
        assert parsed.fullname.startswith("t1_")
