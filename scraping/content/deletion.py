"""Purge items that are gone on Reddit: one statement for any number of items, with receipts.

A purged item keeps its row, with only its name, its times and its place in the tree. The row prevents
any listing, answer or dump from bringing the item back. docs/deletion.md explains the rules.

A purge, its receipts, and the page or answer that shows the deletion are one transaction. A purge acts
on what the row holds: a second purge of the same items finds nothing and writes nothing.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from scraping.content import emptying
from scraping.content.emptying import COMMENT_PARTS, MARKER, POST_PARTS, UNREPORTED_COLUMNS
from scraping.content.rows import Gone
from scraping.models import Content, DeletionReceipt, RedditComment, RedditPost
from scraping.reddit.fields import DELETED_AUTHOR
from scraping.reddit.parse import ParsedItem, ParsedPost

Reason = DeletionReceipt.Reason

# Final reasons: after them, nothing that arrives about the item counts. A removal is not final, because
# moderators may approve the item again.
FINAL = (Reason.DELETED, Reason.GONE)

# The most items that one statement purges.
BATCH = 2_000

PARTS: dict[type[Content], dict[str, dict[str, str]]] = {
    RedditPost: POST_PARTS,
    RedditComment: COMMENT_PARTS,
}
KINDS = {RedditPost: DeletionReceipt.Kind.POST, RedditComment: DeletionReceipt.Kind.COMMENT}


def reason_to_purge(item: ParsedItem) -> Reason | None:
    """Return why an item must be purged, as Reddit shows it now; None if it may be kept."""
    category = item.removed_by_category if isinstance(item, ParsedPost) else None
    reason = emptying.reason_to_purge(
        item.removal, category, purge_removed=settings.REMOVED_CONTENT == "purge"
    )
    return None if reason is None else Reason(reason)


def purge_gone(model: type[Content], items: Iterable[ParsedItem], *, now: datetime) -> None:
    """Purge items that Reddit shows as gone, before their page is stored.

    Also empties the given objects that are gone, so that nobody stores their content.
    """
    gone: dict[str, Reason] = {}
    authorless: dict[str, Reason] = {}
    for item in items:
        reason = reason_to_purge(item)
        if reason is not None:
            gone[item.fullname] = reason
            strip(item, reason)
        elif item.author == DELETED_AUTHOR:
            # Reddit names no author of a removed comment, so we cannot tell whether the account still
            # exists.
            authorless[item.fullname] = Reason.REMOVED if item.removal else Reason.ACCOUNT
    if gone:
        purge(gone, seen_at=dict.fromkeys(gone, now), now=now)
    if authorless:
        forget_authors(model, authorless, now=now)


def strip(item: ParsedItem, reason: Reason) -> None:
    """Empty an item as a purge would empty its row."""
    parts = POST_PARTS if isinstance(item, ParsedPost) else COMMENT_PARTS
    for column, value in emptying.emptied(parts, reason).items():
        setattr(item, column, value)


def purge(
    reasons: Mapping[str, Reason],
    *,
    seen_at: Mapping[str, datetime],
    now: datetime | None = None,
) -> int:
    """Purge items and return how many of them held anything.

    `reasons` gives the reason for each fullname, `seen_at` when the item was first seen to be gone.
    Matches lose their terms, and posts lose their score history. Each item that held anything gets a
    receipt.
    """
    now = now or timezone.now()
    purged = 0
    for model, kind in KINDS.items():
        prefix = "t3_" if model is RedditPost else "t1_"
        names = sorted(name for name in reasons if name.startswith(prefix))
        for start in range(0, len(names), BATCH):
            some = names[start : start + BATCH]
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(
                    _purge_statement(model),
                    {
                        "names": some,
                        "reasons": [reasons[name].value for name in some],
                        "seen": [seen_at[name] for name in some],
                        "now": now,
                        "kind": kind.value,
                        "final": [reason.value for reason in FINAL],
                    },
                )
                purged += cursor.fetchone()[0]
    return purged


def purge_dumped(model: type[Content], gone: Mapping[str, Gone], *, now: datetime) -> int:
    """Purge stored items that lines of a dump show as gone; return how many held anything.

    A deletion by the author is final, whichever source reports it. A removed item may have been
    approved since: its removal counts only if the dump read the line after the stored values were read,
    and never against values from Reddit itself.
    """
    removed = [name for name, seen in gone.items() if seen.reason == emptying.REMOVED]
    proven = set(gone).difference(removed)
    if removed:
        with connection.cursor() as cursor:
            cursor.execute(
                f"""
                SELECT t.fullname FROM {model._meta.db_table} t
                JOIN unnest(%s::text[], %s::float8[]) AS g (fullname, seen_at) USING (fullname)
                WHERE t.retrieved_at < to_timestamp(g.seen_at)
                """,  # noqa: S608  (a name of our own, no input)
                [removed, [gone[name].seen_at for name in removed]],
            )
            proven |= {fullname for (fullname,) in cursor.fetchall()}
    return purge(
        {name: Reason(gone[name].reason) for name in proven},
        seen_at={name: datetime.fromtimestamp(gone[name].seen_at, UTC) for name in proven},
        now=now,
    )


def forget_authors(
    model: type[Content], reasons: Mapping[str, Reason], *, now: datetime | None = None
) -> int:
    """Purge the name, id and flair of authors whom Reddit no longer names; return how many items had one."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            _forget_statement(model),
            {
                "names": list(reasons),
                "reasons": [reason.value for reason in reasons.values()],
                "nobody": DELETED_AUTHOR,
                "now": now or timezone.now(),
                "kind": KINDS[model].value,
            },
        )
        forgotten: int = cursor.fetchone()[0]
    return forgotten


_MARKER_OF_REASON = "CASE d.reason WHEN 'removed' THEN '[removed]' ELSE '[deleted]' END"


@cache
def _purge_statement(model: type[Content]) -> str:
    table = model._meta.db_table
    parts = PARTS[model]
    held = ", ".join(
        f"CASE WHEN {' OR '.join(map(_holds, columns))} THEN '{part}' END"
        for part, columns in parts.items()
    )
    emptied = ", ".join(
        f"{column} = {_MARKER_OF_REASON if empty == MARKER else empty}"
        for columns in (*parts.values(), UNREPORTED_COLUMNS)
        for column, empty in columns.items()
    )
    return f"""
        WITH asked AS (
            SELECT * FROM unnest(%(names)s::text[], %(reasons)s::text[], %(seen)s::timestamptz[])
                AS a (fullname, reason, seen_at)
        ), locked AS (
            SELECT t.fullname, a.reason, a.seen_at, t.removal,
                   array_remove(ARRAY[{held}]::text[], NULL) AS parts
            FROM {table} t JOIN asked a USING (fullname)
            ORDER BY t.fullname COLLATE "C" FOR UPDATE OF t
        ), doomed AS (
            SELECT * FROM locked
            WHERE cardinality(parts) > 0 OR removal NOT IN (reason, 'deleted', 'gone')
        ), content AS (
            UPDATE {table} t SET {emptied}, refreshed_at = %(now)s,
                removal = CASE WHEN t.removal = ANY(%(final)s) THEN t.removal ELSE d.reason END
            FROM doomed d WHERE t.fullname = d.fullname
        ), matches AS (
            UPDATE scraping_botitem i SET matched_terms = '[]',
                state = CASE WHEN i.state = 'pending' THEN 'missed' ELSE i.state END
            FROM asked a WHERE i.fullname = a.fullname
                AND (i.matched_terms <> '[]' OR i.state = 'pending')
            RETURNING i.fullname
        ), history AS (
            DELETE FROM scraping_postscore s USING asked a WHERE s.post_id = a.fullname
            RETURNING s.post_id
        ), checks AS (
            DELETE FROM scraping_itemcheck c USING asked a
            WHERE c.fullname = a.fullname AND a.reason = ANY(%(final)s)
        ), receipts AS (
            INSERT INTO scraping_deletionreceipt (fullname, kind, reason, seen_at, purged_at, parts)
            SELECT fullname, %(kind)s, reason, seen_at, %(now)s,
                   parts || CASE WHEN fullname IN (SELECT fullname FROM matches)
                                 THEN '{{matches}}'::text[] ELSE '{{}}' END
                         || CASE WHEN fullname IN (SELECT post_id FROM history)
                                 THEN '{{history}}'::text[] ELSE '{{}}' END
            FROM doomed WHERE cardinality(parts) > 0
            ON CONFLICT DO NOTHING
            RETURNING 1
        )
        SELECT count(*) FROM receipts
    """  # noqa: S608  (names of our own columns, no input)


@cache
def _forget_statement(model: type[Content]) -> str:
    table = model._meta.db_table
    return f"""
        WITH known AS (
            SELECT t.fullname, a.reason FROM {table} t
            JOIN unnest(%(names)s::text[], %(reasons)s::text[]) AS a (fullname, reason)
                USING (fullname)
            WHERE t.author <> %(nobody)s OR t.author_fullname <> '' OR t.author_flair_text <> ''
            ORDER BY t.fullname COLLATE "C" FOR UPDATE OF t
        ), content AS (
            UPDATE {table} t SET author = %(nobody)s, author_fullname = '', author_flair_text = NULL,
                refreshed_at = %(now)s
            FROM known k WHERE t.fullname = k.fullname
        ), matches AS (
            -- A term that was found in the author's name tells the name.
            UPDATE scraping_botitem i SET matched_terms = '[]'
            FROM known k, bots_botconfig b
            WHERE i.fullname = k.fullname AND b.id = i.bot_id AND i.matched_terms <> '[]'
                AND b.match_in && '{{author,flair}}'::varchar[]
        ), receipts AS (
            INSERT INTO scraping_deletionreceipt (fullname, kind, reason, seen_at, purged_at, parts)
            SELECT fullname, %(kind)s, reason, %(now)s, %(now)s, '{{author}}' FROM known
            ON CONFLICT DO NOTHING
            RETURNING 1
        )
        SELECT count(*) FROM receipts
    """  # noqa: S608  (names of our own columns, no input)


def _holds(column: str) -> str:
    """Return SQL for whether a column of `t` holds content; Reddit's placeholders are no content."""
    if column == "extra":
        return "t.extra <> '{}'"
    if column in ("title", "selftext", "body", "author"):
        return f"t.{column} NOT IN ('', '[deleted]', '[removed]')"
    if column in ("score", "num_comments", "num_crossposts", "upvote_ratio", "controversiality"):
        return f"t.{column} IS NOT NULL"
    return f"t.{column}::text <> ''"
