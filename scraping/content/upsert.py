"""Store items: new items by COPY straight into their table, known items by one upsert.

An unchanged item writes no row version. An absent value (NULL in staging) never overwrites a known
value. A dump never overwrites values from Reddit itself or from a later dump; it fills in values that
are not known.

All writers take rows in one order, so that they never deadlock. Each transaction first inserts new rows
in the order of their names, and then updates existing rows in the same order. While an insert waits for
other writers' rows, its transaction holds only rows that nobody else sees. An update never waits for an
insert.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, fields
from datetime import datetime

from django.db import connection, transaction
from django.utils import timezone
from django.utils.functional import cached_property
from psycopg2.errors import UniqueViolation

from scraping.content import deletion, retention, scores
from scraping.content.binary_copy import CopyFormat, CopySource
from scraping.content.rows import NO_COLUMNS, Items, PackedItems, PageItems
from scraping.models import Content, RedditComment, RedditPost
from scraping.reddit.parse import ParsedComment, ParsedItem, ParsedPost
from scraping.subreddits import ensure_subreddits

# The columns at the start of each row. The rest of a row can be packed where the item is parsed.
STORED = ("subreddit_id", "first_seen_at", "refreshed_at")

# For a removed item, Reddit shows placeholders in these columns: the stored values are kept.
REPLACED_BY_REMOVAL = frozenset(
    {"title", "selftext", "body", "url", "domain", "link_flair_text", "post_hint", "permalink"}
)

# Attempts to COPY new items. An attempt fails if another writer stores one of the items first. After
# the last attempt, the slower upsert stores them.
TRIES = 3


@dataclass
class IngestResult:
    """The result of storing items: fullnames of new and updated items, and how many were unchanged.

    `too_old` are items that were not stored, because they are older than the border of retention.
    """

    new: set[str] = field(default_factory=set)
    updated: set[str] = field(default_factory=set)
    too_old: set[str] = field(default_factory=set)
    unchanged: int = 0


class Table:
    """The statements that store one kind of item, made from its parsed form and its model."""

    def __init__(self, model: type[Content], parsed: type[ParsedItem]) -> None:
        self.model = model
        self.name = model._meta.db_table
        self.staging = f"staging_{self.name}"
        own = [column.name for column in fields(parsed) if column.name not in NO_COLUMNS]
        self.columns = [*own, "subreddit_id"]
        self._all = [*self.columns, "retrieved_at", "first_seen_at", "refreshed_at"]
        types = {column.column: column.get_internal_type() for column in model._meta.fields}
        self.types = {name: types[name] for name in self._all}
        self.format = CopyFormat(self.types)

    @cached_property
    def known(self) -> str:
        """The query for stored items; its parameter is one text of fullnames with spaces between them."""
        return f"""
            SELECT fullname FROM unnest(string_to_array(%s, ' ')) AS s (fullname)
            JOIN {self.name} USING (fullname)
        """  # noqa: S608  (a name of our own, no input)

    @cached_property
    def create_staging(self) -> str:
        """The statement that creates the connection's staging table, which each commit empties.

        The columns of the table allow NULL, because NULL stands for an absent value.
        """
        return (
            f"CREATE TEMP TABLE IF NOT EXISTS {self.staging} ON COMMIT DELETE ROWS AS "  # noqa: S608
            f"SELECT {', '.join(self._all)} FROM {self.name} WITH NO DATA"
        )

    @cached_property
    def upsert(self) -> str:
        """The upsert of values that Reddit returns now; returns each fullname and whether it is new."""
        # A page that was read before a purge must not bring the purged item back.
        return self._upsert(self._latest, "t.removal NOT IN ('deleted', 'gone')")

    @cached_property
    def fill(self) -> str:
        """The upsert of values from a dump; returns each fullname and whether it is new."""
        return self._upsert(
            self._filled,
            # Deleted and gone items stay as they are. A later dump may show a removed item as approved.
            # A line that shows an item as removed changes the row only if the dump is later.
            "(t.removal = '' AND {given}.removal = '' OR t.removal <> 'deleted' "
            "AND t.removal <> 'gone' AND {given}.retrieved_at > t.retrieved_at)",
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
        if column in REPLACED_BY_REMOVAL:
            return (
                f"CASE WHEN {given}.removal = 'removed' THEN COALESCE(t.{column}, {given}.{column}) "
                f"ELSE COALESCE({given}.{column}, t.{column}) END"
            )
        return f"COALESCE({given}.{column}, t.{column})"

    @classmethod
    def _filled(cls, column: str, given: str) -> str:
        # For values from Reddit itself, t.retrieved_at is NULL, so that no dump counts as later.
        kept = {
            "extra": f"{given}.extra || t.extra",
            "edited_at": f"CASE WHEN t.edited IS FALSE THEN NULL "
            f"ELSE COALESCE(t.edited_at, {given}.edited_at) END",
            "retrieved_at": "t.retrieved_at",
        }.get(column, f"COALESCE(t.{column}, {given}.{column})")
        later = cls._latest(column, given)
        return f"CASE WHEN {given}.retrieved_at > t.retrieved_at THEN {later} ELSE {kept} END"


def _edited_at(given: str) -> str:
    # "Not edited" clears a known time. "Edited" without a time, as in Reddit's early years, keeps it.
    return f"CASE WHEN {given}.edited IS FALSE THEN NULL ELSE COALESCE({given}.edited_at, t.edited_at) END"


POSTS = Table(RedditPost, ParsedPost)
COMMENTS = Table(RedditComment, ParsedComment)


def ingest_posts(posts: Iterable[ParsedPost], *, now: datetime | None = None) -> IngestResult:
    """Store posts that Reddit has just returned, in one transaction."""
    return _ingest(POSTS, posts, now or timezone.now())


def ingest_comments(
    comments: Iterable[ParsedComment], *, now: datetime | None = None
) -> IngestResult:
    """Store comments that Reddit has just returned, in one transaction."""
    return _ingest(COMMENTS, comments, now or timezone.now())


def ingest_dumped(
    table: Table, items: PackedItems, *, now: datetime | None = None, presume_new: bool = False
) -> IngestResult:
    """Store packed items of a dump, with the times of their retrieval, in one transaction.

    `table` is `POSTS` or `COMMENTS`. An item that is stored as deleted or gone stays as it is; an item
    that is stored as removed changes only by a later dump. With `presume_new`, the first attempt does
    not look for stored items, which is quicker if there are none.
    """
    if not items.fullnames:
        return IngestResult()
    with transaction.atomic():
        return _store(
            table,
            items,
            _subreddit_ids(items, refresh=False),
            now or timezone.now(),
            onto=table.fill,
            presume_new=presume_new,
            # These items are packed empty and fill nothing; the caller purges what is stored of them.
            insert_only=items.gone.keys(),
        )


def _ingest(table: Table, items: Iterable[ParsedItem], now: datetime) -> IngestResult:
    page = PageItems(table.format, items)
    if not page.items:
        return IngestResult()
    with transaction.atomic(savepoint=False):
        deletion.purge_gone(table.model, page.items, now=now)
        subreddits = _subreddit_ids(page, refresh=True)
        too_old = retention.too_old(
            [(i.fullname, subreddits.get(i.subreddit), i.created_at) for i in page.items]
        )
        page.leave_out(too_old)
        result = _store(table, page, subreddits, now, onto=table.upsert)
        result.too_old = too_old
        scores.note(table.model, result.updated, now=now)
        return result


def _subreddit_ids(items: Items, *, refresh: bool) -> dict[str | None, int | None]:
    """Return the ids of the items' subreddits, by the names that the items use."""
    names = items.subreddit_fullnames
    ids = ensure_subreddits(names, refresh=refresh) if names else {}
    return {None: None} | {name: ids[name.lower()] for name in names}


def _store(
    table: Table,
    items: Items,
    subreddits: dict[str | None, int | None],
    now: datetime,
    *,
    onto: str,
    presume_new: bool = False,
    insert_only: Collection[str] = (),
) -> IngestResult:
    """Insert items that are not stored yet, and merge the other items into their stored rows.

    `onto` is the statement that merges. Stored rows of items in `insert_only` stay as they are.
    """
    copier = _Copier(table, items, subreddits, now)
    names = set(items.fullnames)
    for attempt in range(TRIES):
        known = set() if presume_new and attempt == 0 else _known(table, names)
        try:
            with transaction.atomic():
                copier.copy(names - known, into=table.name)
        except UniqueViolation:
            continue
        break
    else:
        # The upsert copes with rows that other writers insert at the same time.
        known = names
    result = IngestResult(new=names - known)
    known = known.difference(insert_only)
    if known:
        for fullname, inserted in _merge(table, copier, known, onto):
            (result.new if inserted else result.updated).add(fullname)
    result.unchanged = len(names) - len(result.new) - len(result.updated)
    return result


def _known(table: Table, fullnames: Iterable[str]) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(table.known, [" ".join(fullnames)])
        return {fullname for (fullname,) in cursor.fetchall()}


class _Copier:
    """Copies items into a table, with the ids of their subreddits and the time of storing them."""

    def __init__(
        self,
        table: Table,
        items: Items,
        subreddits: dict[str | None, int | None],
        now: datetime,
    ) -> None:
        self._items = items
        self._columns = [*STORED, *items.columns]
        moment = table.format.field("first_seen_at", now)
        self._starts = {
            name: CopySource.start(
                table.format.field("subreddit_id", key) + moment + moment,
                columns=len(self._columns),
            )
            for name, key in subreddits.items()
        }

    def copy(self, wanted: Collection[str], *, into: str) -> None:
        """Copy the wanted items into the table `into`."""
        if wanted:
            starts = self._starts
            rows = ((starts[name], fields) for name, fields in self._items.rows(wanted))
            with connection.cursor() as cursor:
                cursor.copy_expert(
                    f"COPY {into} ({', '.join(self._columns)}) FROM STDIN (FORMAT binary)",
                    CopySource(rows),
                )


def _merge(
    table: Table, copier: _Copier, fullnames: Collection[str], statement: str
) -> list[tuple[str, bool]]:
    with connection.cursor() as cursor:
        cursor.execute(table.create_staging)
        copier.copy(fullnames, into=table.staging)
        cursor.execute(statement)
        written: list[tuple[str, bool]] = cursor.fetchall()
        # The caller's transaction may store another page before it commits.
        cursor.execute(f"DELETE FROM {table.staging}")  # noqa: S608
    return written
