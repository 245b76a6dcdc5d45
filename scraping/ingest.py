"""Pages into tables: COPY into a staging table, then one upsert that tells new from changed.

An unchanged item writes no row version. Absence (NULL in staging) never overwrites knowledge.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from io import StringIO
from typing import Any

from django.db import connection, transaction
from django.utils import timezone
from django.utils.functional import cached_property

from scraping.models import Content, RedditComment, RedditPost
from scraping.reddit.parse import ParsedComment, ParsedItem, ParsedPost
from scraping.subreddits import ensure_subreddits

# What COPY's text format escapes.
# https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS
COPY_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
COPY_NULL = "\\N"


@dataclass
class IngestResult:
    """What became of a page: fullnames of the new and the changed, and how many stayed as they were."""

    new: set[str] = field(default_factory=set)
    updated: set[str] = field(default_factory=set)
    unchanged: int = 0


class Table:
    """The statements that store one kind of item, made from its parsed form and its model."""

    def __init__(self, model: type[Content], parsed: type[ParsedItem]) -> None:
        self.name = model._meta.db_table
        self.staging = f"staging_{self.name}"
        self.columns = [
            column.name
            for column in fields(parsed)
            if column.name not in ("subreddit", "subreddit_fullname")
        ] + ["subreddit_id"]

    @cached_property
    def create_staging(self) -> str:
        """A table of this connection, emptied by each commit. NULLs are absence, so they may be."""
        columns = ", ".join(self.columns)
        return (
            f"CREATE TEMP TABLE IF NOT EXISTS {self.staging} ON COMMIT DELETE ROWS AS "  # noqa: S608
            f"SELECT {columns} FROM {self.name} WITH NO DATA"
        )

    @cached_property
    def copy(self) -> str:
        """The COPY that fills the staging table."""
        return f"COPY {self.staging} ({', '.join(self.columns)}) FROM STDIN"

    @cached_property
    def upsert(self) -> str:
        """One statement for a page; takes `now`, returns fullname and whether it is new.

        Rows are taken in the order of their names, so that two workers on one page cannot deadlock.
        """
        merged = {
            column: f"COALESCE(s.{column}, t.{column})"
            for column in self.columns
            if column not in ("fullname", "extra")
        } | {"edited_at": _edited_at("s"), "extra": "t.extra || s.extra"}
        columns = ["fullname", *merged]
        return f"""
            INSERT INTO {self.name} AS t ({", ".join(columns)}, first_seen_at, refreshed_at)
            SELECT s.fullname, {", ".join(_fresh(s, merged[s]) for s in merged)}, %(now)s, %(now)s
            FROM {self.staging} s LEFT JOIN {self.name} t USING (fullname)
            WHERE t.fullname IS NULL
               OR ({", ".join(f"t.{column}" for column in merged)})
                  IS DISTINCT FROM ({", ".join(merged.values())})
            ORDER BY s.fullname
            ON CONFLICT (fullname) DO UPDATE SET
                {", ".join(f"{column} = {_onto(column)}" for column in merged)},
                refreshed_at = EXCLUDED.refreshed_at
            RETURNING fullname, xmax = 0
        """  # noqa: S608  (names of our own columns, no input)


def _edited_at(given: str) -> str:
    # "Not edited" takes a known time back; "edited" alone, as of the early years, leaves it.
    return f"CASE WHEN {given}.edited IS FALSE THEN NULL ELSE COALESCE({given}.edited_at, t.edited_at) END"


def _fresh(column: str, merged: str) -> str:
    # For a row that is not there yet, `t` is all NULL: jsonb's || would make that NULL too.
    return "COALESCE(t.extra, '{}'::jsonb) || s.extra" if column == "extra" else merged


def _onto(column: str) -> str:
    # Also when the row came from another worker after the join looked for it.
    if column == "extra":
        return "t.extra || EXCLUDED.extra"
    if column == "edited_at":
        return _edited_at("EXCLUDED")
    return f"COALESCE(EXCLUDED.{column}, t.{column})"


POSTS = Table(RedditPost, ParsedPost)
COMMENTS = Table(RedditComment, ParsedComment)


def ingest_posts(posts: Iterable[ParsedPost], *, now: datetime | None = None) -> IngestResult:
    """Store posts in one transaction."""
    return _ingest(POSTS, posts, now or timezone.now())


def ingest_comments(
    comments: Iterable[ParsedComment], *, now: datetime | None = None
) -> IngestResult:
    """Store comments in one transaction."""
    return _ingest(COMMENTS, comments, now or timezone.now())


def _ingest(table: Table, items: Iterable[ParsedItem], now: datetime) -> IngestResult:
    # A page can hold an item twice (pinned and in its place): the last one is the freshest.
    unique = {item.fullname: item for item in items}
    if not unique:
        return IngestResult()
    with transaction.atomic(), connection.cursor() as cursor:
        subreddit_ids = ensure_subreddits(
            {
                item.subreddit: item.subreddit_fullname
                for item in unique.values()
                if item.subreddit is not None
            }
        )
        cursor.execute(table.create_staging)
        cursor.copy_expert(table.copy, _copy_rows(table.columns, unique.values(), subreddit_ids))
        cursor.execute(table.upsert, {"now": now})
        written = cursor.fetchall()
        # The transaction may be a caller's, with another page to come before its commit.
        cursor.execute(f"DELETE FROM {table.staging}")  # noqa: S608
    new = {fullname for fullname, inserted in written if inserted}
    updated = {fullname for fullname, inserted in written if not inserted}
    return IngestResult(new, updated, len(unique) - len(written))


def _copy_rows(
    columns: Sequence[str], items: Iterable[ParsedItem], subreddit_ids: dict[str, int]
) -> StringIO:
    own = [column for column in columns if column != "subreddit_id"]
    rows = StringIO()
    for item in items:
        values = [_copy_value(getattr(item, column)) for column in own]
        subreddit = item.subreddit
        values.append(str(subreddit_ids[subreddit.lower()]) if subreddit else COPY_NULL)
        rows.write("\t".join(values) + "\n")
    rows.seek(0)
    return rows


def _copy_value(value: Any) -> str:
    if value is None:
        return COPY_NULL
    if isinstance(value, str):
        return value.translate(COPY_ESCAPES)
    if value is True:
        return "t"
    if value is False:
        return "f"
    if isinstance(value, dict):
        # Not orjson, which refuses integers beyond 64 bits; jsonb takes any.
        return json.dumps(value, ensure_ascii=False).translate(COPY_ESCAPES)
    return value.isoformat() if isinstance(value, datetime) else str(value)
