"""Items into tables: what is not there yet by COPY straight into its table, the rest by one upsert.

An unchanged item writes no row version. Absence (NULL in staging) never overwrites knowledge. What
a dump tells never overwrites what Reddit itself or a later dump told; it fills what they did not.

Rows are taken in one order, so that no writers deadlock: each transaction inserts rows that are not
there, in the order of their names, and then updates rows that are, in that order again. One that
inserts waits for others' rows while it holds only such as nobody else sees; one that updates never
waits for one that inserts.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from operator import attrgetter
from typing import Any

from django.db import connection, transaction
from django.utils import timezone
from django.utils.functional import cached_property
from psycopg2.errors import UniqueViolation

from scraping import retention
from scraping.copying import CopyFormat
from scraping.models import Content, RedditComment, RedditPost
from scraping.reddit.parse import ParsedComment, ParsedItem, ParsedPost
from scraping.subreddits import ensure_subreddits

# An item's values, the id of its subreddit, and when a dump read it; the moments of storing are
# common to all.
Row = tuple[Any, ...]

# So often another writer may be first with one of the new items before they take the slower way.
TRIES = 3


@dataclass
class IngestResult:
    """What became of a page: fullnames of the new and the changed, and how many stayed as they were.

    `too_old` are those that were not stored, as retention has deleted what is older than its border.
    """

    new: set[str] = field(default_factory=set)
    updated: set[str] = field(default_factory=set)
    too_old: set[str] = field(default_factory=set)
    unchanged: int = 0


class Table:
    """The statements that store one kind of item, made from its parsed form and its model."""

    def __init__(self, model: type[Content], parsed: type[ParsedItem]) -> None:
        self.name = model._meta.db_table
        self.staging = f"staging_{self.name}"
        own = [
            column.name
            for column in fields(parsed)
            if column.name not in ("subreddit", "subreddit_fullname")
        ]
        self.values: Callable[[ParsedItem], Row] = attrgetter(*own)
        self.columns = [*own, "subreddit_id"]
        self._all = [*self.columns, "retrieved_at", "first_seen_at", "refreshed_at"]
        columns = {column.column: column for column in model._meta.fields}
        self.format = CopyFormat([columns[name] for name in self._all])

    @cached_property
    def known(self) -> str:
        """Which of the names, given as one text with spaces between them, are stored."""
        return f"""
            SELECT fullname FROM unnest(string_to_array(%s, ' ')) AS s (fullname)
            JOIN {self.name} USING (fullname)
        """  # noqa: S608  (a name of our own, no input)

    @cached_property
    def create_staging(self) -> str:
        """A table of this connection, emptied by each commit. NULLs are absence, so they may be."""
        return (
            f"CREATE TEMP TABLE IF NOT EXISTS {self.staging} ON COMMIT DELETE ROWS AS "  # noqa: S608
            f"SELECT {', '.join(self._all)} FROM {self.name} WITH NO DATA"
        )

    @cached_property
    def copy(self) -> str:
        """The COPY of rows that are not there yet. It fails where one of them is."""
        return f"COPY {self.name} ({', '.join(self._all)}) FROM STDIN (FORMAT binary)"

    @cached_property
    def copy_to_staging(self) -> str:
        """The COPY that fills the staging table."""
        return f"COPY {self.staging} ({', '.join(self._all)}) FROM STDIN (FORMAT binary)"

    @cached_property
    def upsert(self) -> str:
        """What Reddit says now, onto what is stored; returns fullname and whether it is new."""
        return self._upsert(self._latest, "TRUE")

    @cached_property
    def fill(self) -> str:
        """What a dump says, onto what is stored; returns fullname and whether it is new."""
        return self._upsert(
            self._filled,
            # What is known to be gone stays so; nor does a line that says "gone" fill anything.
            "t.removal = '' AND ({given}.removal = '' OR {given}.retrieved_at > t.retrieved_at)",
        )

    def _upsert(self, merge: Callable[[str, str], str], condition: str) -> str:
        columns = [
            column
            for column in self._all
            if column not in ("fullname", "first_seen_at", "refreshed_at")
        ]
        onto = {column: merge(column, "EXCLUDED") for column in columns}
        return f"""
            INSERT INTO {self.name} AS t ({", ".join(self._all)})
            SELECT {", ".join(f"s.{column}" for column in self._all)}
            FROM {self.staging} s LEFT JOIN {self.name} t USING (fullname)
            WHERE t.fullname IS NULL OR (({", ".join(f"t.{column}" for column in columns)})
                  IS DISTINCT FROM ({", ".join(merge(column, "s") for column in columns)})
                  AND {condition.format(given="s")})
            ORDER BY s.fullname COLLATE "C"
            ON CONFLICT (fullname) DO UPDATE SET
                {", ".join(f"{column} = {onto[column]}" for column in columns)},
                refreshed_at = EXCLUDED.refreshed_at
            WHERE {condition.format(given="EXCLUDED")}
            RETURNING fullname, xmax = 0
        """  # noqa: S608  (names of our own columns, no input)

    @staticmethod
    def _latest(column: str, given: str) -> str:
        if column == "extra":
            return f"t.extra || {given}.extra"
        if column == "edited_at":
            return _edited_at(given)
        if column == "retrieved_at":
            return f"{given}.retrieved_at"
        return f"COALESCE({given}.{column}, t.{column})"

    @classmethod
    def _filled(cls, column: str, given: str) -> str:
        # Where Reddit itself told us, t.retrieved_at is NULL and nothing is later.
        kept = {
            "extra": f"{given}.extra || t.extra",
            "edited_at": f"CASE WHEN t.edited IS FALSE THEN NULL "
            f"ELSE COALESCE(t.edited_at, {given}.edited_at) END",
            "retrieved_at": "t.retrieved_at",
        }.get(column, f"COALESCE(t.{column}, {given}.{column})")
        later = cls._latest(column, given)
        return f"CASE WHEN {given}.retrieved_at > t.retrieved_at THEN {later} ELSE {kept} END"


def _edited_at(given: str) -> str:
    # "Not edited" takes a known time back; "edited" alone, as of the early years, leaves it.
    return f"CASE WHEN {given}.edited IS FALSE THEN NULL ELSE COALESCE({given}.edited_at, t.edited_at) END"


POSTS = Table(RedditPost, ParsedPost)
COMMENTS = Table(RedditComment, ParsedComment)


def ingest_posts(posts: Iterable[ParsedPost], *, now: datetime | None = None) -> IngestResult:
    """Store posts that Reddit has just told us, in one transaction."""
    return _ingest(POSTS, posts, now or timezone.now())


def ingest_comments(
    comments: Iterable[ParsedComment], *, now: datetime | None = None
) -> IngestResult:
    """Store comments that Reddit has just told us, in one transaction."""
    return _ingest(COMMENTS, comments, now or timezone.now())


def ingest_dumped(
    table: Table, items: Iterable[tuple[ParsedItem, datetime]], *, now: datetime | None = None
) -> IngestResult:
    """Store items out of a dump, each with the time of its retrieval, in one transaction.

    `table` is `POSTS` or `COMMENTS`. An item that is stored as deleted or removed stays as it is.
    """
    latest: dict[str, tuple[ParsedItem, datetime]] = {}
    for item, retrieved_at in items:
        known = latest.get(item.fullname)
        if known is None or known[1] <= retrieved_at:
            latest[item.fullname] = (item, retrieved_at)
    if not latest:
        return IngestResult()
    now = now or timezone.now()
    with transaction.atomic():
        subreddits = _subreddit_ids((item for item, _ in latest.values()), refresh=False)
        rows = {
            fullname: (*table.values(item), subreddits.get(item.subreddit), retrieved_at)
            for fullname, (item, retrieved_at) in latest.items()
        }
        return _store(table, rows, now, onto=table.fill)


def _ingest(table: Table, items: Iterable[ParsedItem], now: datetime) -> IngestResult:
    # A page can hold an item twice (pinned and in its place): the last one is the freshest.
    unique = {item.fullname: item for item in items}
    if not unique:
        return IngestResult()
    with transaction.atomic(savepoint=False):
        subreddits = _subreddit_ids(unique.values(), refresh=True)
        too_old = retention.too_old(
            [(i.fullname, subreddits.get(i.subreddit), i.created_at) for i in unique.values()]
        )
        rows = {
            fullname: (*table.values(item), subreddits.get(item.subreddit), None)
            for fullname, item in unique.items()
            if fullname not in too_old
        }
        result = _store(table, rows, now, onto=table.upsert) if rows else IngestResult()
        result.too_old = too_old
        return result


def _subreddit_ids(items: Iterable[ParsedItem], *, refresh: bool) -> dict[str | None, int]:
    """The ids of the items' subreddits, by the names as the items have them."""
    names = {item.subreddit: item.subreddit_fullname for item in items}
    names.pop(None, None)
    if not names:
        return {}
    ids = ensure_subreddits(names, refresh=refresh)
    return {name: ids[name.lower()] for name in names}


def _store(table: Table, rows: Mapping[str, Row], now: datetime, *, onto: str) -> IngestResult:
    """Insert the rows that are not there; put those that are onto what is stored."""
    for _ in range(TRIES):
        known = _known(table, rows)
        try:
            with transaction.atomic():
                _insert(table, rows, known, now)
        except UniqueViolation:
            continue
        break
    else:
        # One statement that takes whatever it meets.
        known = set(rows)
    result = IngestResult(new=rows.keys() - known)
    if known:
        for fullname, inserted in _merge(table, (rows[name] for name in known), now, onto):
            (result.new if inserted else result.updated).add(fullname)
    result.unchanged = len(rows) - len(result.new) - len(result.updated)
    return result


def _known(table: Table, rows: Mapping[str, Row]) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(table.known, [" ".join(rows)])
        return {fullname for (fullname,) in cursor.fetchall()}


def _insert(table: Table, rows: Mapping[str, Row], known: set[str], now: datetime) -> None:
    new = sorted(rows.keys() - known)
    if new:
        with connection.cursor() as cursor:
            cursor.copy_expert(
                table.copy, table.format.packed((rows[name] for name in new), (now, now))
            )


def _merge(
    table: Table, rows: Iterable[Row], now: datetime, statement: str
) -> list[tuple[str, bool]]:
    with connection.cursor() as cursor:
        cursor.execute(table.create_staging)
        cursor.copy_expert(table.copy_to_staging, table.format.packed(rows, (now, now)))
        cursor.execute(statement)
        written = cursor.fetchall()
        # The transaction may be a caller's, with another page to come before its commit.
        cursor.execute(f"DELETE FROM {table.staging}")  # noqa: S608
    return written
