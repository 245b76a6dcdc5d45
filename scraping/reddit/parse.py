"""Turn Reddit's things into rows, one by one: a bad thing raises `ParseError` and affects no other.

In a row, None means that the answer did not have the key, so that absence never overwrites a known
value. A text that Reddit gave as null is "".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from msgspec import Struct

from scraping.reddit.fast_fields import Columns, PlainParser
from scraping.reddit.fields import DELETED_AUTHOR, ParseError, ThingReader, clean_json, clean_text

__all__ = [
    "PARSERS",
    "PLAIN_KEYS",
    "ParseError",
    "ParsedComment",
    "ParsedItem",
    "ParsedPost",
    "clean_json",
    "clean_text",
    "comment_columns",
    "parse_comment",
    "parse_post",
    "post_columns",
]

DELETED_TEXT = "[deleted]"
REMOVED_TEXT = "[removed]"
# Values of `removed_by_category` for a deletion by the author, not by a moderator or by Reddit.
DELETED_CATEGORIES = frozenset({"deleted", "author"})

POST_EXTRA = ("gallery_data", "poll_data", "link_flair_template_id", "content_categories")
COMMENT_EXTRA = ("author_flair_template_id", "associated_award")


@dataclass(slots=True)
class ParsedItem:
    """The fields that posts and comments share, named like the columns."""

    fullname: str
    subreddit: str | None
    subreddit_fullname: str | None
    author: str | None
    author_fullname: str | None
    author_flair_text: str | None
    created_at: datetime
    edited: bool | None
    edited_at: datetime | None
    score: int | None
    score_hidden: bool | None
    distinguished: str | None
    stickied: bool | None
    locked: bool | None
    archived: bool | None
    permalink: str | None
    removal: str
    extra: dict[str, Any]


@dataclass(slots=True)
class ParsedPost(ParsedItem):
    """A post."""

    title: str
    selftext: str | None
    url: str | None
    domain: str | None
    link_flair_text: str | None
    num_comments: int | None
    num_crossposts: int | None
    upvote_ratio: float | None
    over_18: bool | None
    spoiler: bool | None
    is_self: bool | None
    is_video: bool | None
    quarantine: bool | None
    post_hint: str | None
    crosspost_parent: str | None
    removed_by_category: str | None


@dataclass(slots=True)
class ParsedComment(ParsedItem):
    """A comment."""

    body: str
    link_fullname: str | None
    parent_fullname: str | None
    is_submitter: bool | None
    controversiality: int | None


def _post_removal(category: str | None, author: str | None, selftext: str | None) -> str:
    if category in DELETED_CATEGORIES:
        return "deleted"
    if category or selftext == REMOVED_TEXT:
        return "removed"
    return "deleted" if author == DELETED_AUTHOR and selftext == DELETED_TEXT else ""


def _comment_removal(author: str | None, body: str) -> str:
    if body == REMOVED_TEXT:
        return "removed"
    return "deleted" if author == DELETED_AUTHOR and body == DELETED_TEXT else ""


def parse_post(data: Any) -> ParsedPost:
    """Turn the `data` of a t3 into a row; raise `ParseError` naming what is wrong."""
    reader = ThingReader(data, "t3")
    category = reader.text("removed_by_category")
    selftext = reader.text("selftext")
    return ParsedPost(
        **reader.common(
            removal=_post_removal(category, reader.text("author"), selftext),
            score_hidden=reader.flag("hide_score"),
            extra=POST_EXTRA,
        ),
        title=reader.required_text("title"),
        selftext=selftext,
        url=reader.text("url"),
        domain=reader.text("domain"),
        link_flair_text=reader.text("link_flair_text"),
        num_comments=reader.integer("num_comments"),
        num_crossposts=reader.integer("num_crossposts"),
        upvote_ratio=reader.real("upvote_ratio"),
        over_18=reader.flag("over_18"),
        spoiler=reader.flag("spoiler"),
        is_self=reader.flag("is_self"),
        is_video=reader.flag("is_video"),
        quarantine=reader.flag("quarantine"),
        post_hint=reader.text("post_hint"),
        crosspost_parent=reader.reference("crosspost_parent"),
        removed_by_category=category,
    )


def parse_comment(data: Any) -> ParsedComment:
    """Turn the `data` of a t1 into a row; raise `ParseError` naming what is wrong."""
    reader = ThingReader(data, "t1")
    body = reader.required_text("body")
    return ParsedComment(
        **reader.common(
            removal=_comment_removal(reader.text("author"), body),
            score_hidden=reader.flag("score_hidden"),
            extra=COMMENT_EXTRA,
        ),
        body=body,
        link_fullname=reader.reference("link_id"),
        parent_fullname=reader.reference("parent_id"),
        is_submitter=reader.flag("is_submitter"),
        controversiality=reader.integer("controversiality"),
    )


PARSERS = {"t3": parse_post, "t1": parse_comment}


def _finish_posts(columns: Columns) -> None:
    columns["removal"] = [
        *map(_post_removal, columns["removed_by_category"], columns["author"], columns["selftext"])
    ]
    _finish(columns)


def _finish_comments(columns: Columns) -> None:
    columns["removal"] = [*map(_comment_removal, columns["author"], columns["body"])]
    _finish(columns)


def _finish(columns: Columns) -> None:
    # An empty fullname is none.
    columns["subreddit_fullname"] = [name or None for name in columns["subreddit_fullname"]]
    if DELETED_AUTHOR in columns["author"]:
        columns["author_fullname"] = [
            "" if name is None and author == DELETED_AUTHOR else name
            for author, name in zip(columns["author"], columns["author_fullname"], strict=True)
        ]


_COMMON_KEYS = {
    "fullname": "name",
    "subreddit_fullname": "subreddit_id",
    "created_at": "created_utc",
}
_plain_posts = PlainParser(
    "t3",
    ParsedPost,
    keys=_COMMON_KEYS | {"score_hidden": "hide_score"},
    references=frozenset({"subreddit_fullname", "crosspost_parent"}),
    extra=POST_EXTRA,
    finish=_finish_posts,
)
_plain_comments = PlainParser(
    "t1",
    ParsedComment,
    keys=_COMMON_KEYS | {"link_fullname": "link_id", "parent_fullname": "parent_id"},
    references=frozenset({"subreddit_fullname", "link_fullname", "parent_fullname"}),
    extra=COMMENT_EXTRA,
    finish=_finish_comments,
)


# Keys of the things that `post_columns` and `comment_columns` take, with the types of their values: see
# `fast_fields.thing_type`.
PLAIN_KEYS = _plain_posts.keys | _plain_comments.keys

# Returns the JSON of the thing at a place, decoded in some other way.
Data = Callable[[int], Any]


def post_columns(things: Sequence[Struct], data: Data) -> tuple[Columns, dict[int, ParseError]]:
    """Turn t3 things into columns, one for each field of `ParsedPost`.

    The values are the same as those of `parse_post`, which takes many times as long. Only things that
    are not plain go through `parse_post`; in `things` they are empty. Also returns the errors of things
    that cannot be stored, by place; at these places, the values in the columns mean nothing.
    """
    return _columns(_plain_posts, parse_post, things, data)


def comment_columns(things: Sequence[Struct], data: Data) -> tuple[Columns, dict[int, ParseError]]:
    """Turn t1 things into columns, one for each field of `ParsedComment`: see `post_columns`."""
    return _columns(_plain_comments, parse_comment, things, data)


def _columns(
    plain: PlainParser, parse: Callable[[Any], ParsedItem], things: Sequence[Struct], data: Data
) -> tuple[Columns, dict[int, ParseError]]:
    columns, odd = plain(things)
    faults: dict[int, ParseError] = {}
    careful: dict[int, ParsedItem] = {}
    for place in odd:
        try:
            item = parse(data(place))
        except ParseError as fault:
            faults[place] = fault
        else:
            careful[place] = item
    if careful:
        columns = {name: _with(careful, name, column) for name, column in columns.items()}
    return columns, faults


def _with(careful: Mapping[int, ParsedItem], name: str, column: Sequence[Any]) -> list[Any]:
    """Return the column, with the values of items that were parsed on the careful path."""
    column = [*column]
    for place, item in careful.items():
        value = getattr(item, name)
        column[place] = value.timestamp() if isinstance(value, datetime) else value
    return column
