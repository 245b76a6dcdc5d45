"""The rules of deletion: when an item counts as gone, and which columns are then emptied.

These rules need no table and no settings, because the process that reads dumps applies them, too.
docs/deletion.md explains them.
"""

from collections.abc import Mapping
from typing import Any

DELETED, REMOVED, GONE, ACCOUNT = "deleted", "removed", "gone", "account"

# Values of `removed_by_category` for posts that moderators or their robot removed. "" and None do not
# say who removed the post; dumps write "removed". All other categories are Reddit's own removals, for
# reasons such as a copyright.
MODERATORS = frozenset({None, "", "moderator", "automod_filtered", "removed"})

# The placeholder for an emptied text, as on Reddit.
MARKER = "MARKER"
MARKERS = {DELETED: "[deleted]", GONE: "[deleted]", REMOVED: "[removed]"}

# The columns that a purge empties, grouped by the word for them in a receipt. Each column has its empty
# value, in SQL.
POST_PARTS = {
    "title": {"title": MARKER},
    "body": {"selftext": MARKER},
    "url": {"url": "NULL", "domain": "NULL", "permalink": "NULL", "crosspost_parent": "NULL"},
    "flair": {"link_flair_text": "NULL", "author_flair_text": "NULL"},
    "media": {"extra": "'{}'", "post_hint": "NULL"},
    "author": {"author": "'[deleted]'", "author_fullname": "''", "distinguished": "NULL"},
    "numbers": {
        "score": "NULL",
        "num_comments": "NULL",
        "num_crossposts": "NULL",
        "upvote_ratio": "NULL",
    },
}
COMMENT_PARTS = {
    "body": {"body": MARKER},
    "url": {"permalink": "NULL"},
    "flair": {"author_flair_text": "NULL"},
    "media": {"extra": "'{}'"},
    "author": {
        "author": "'[deleted]'",
        "author_fullname": "''",
        "distinguished": "NULL",
        "is_submitter": "NULL",
    },
    "numbers": {"score": "NULL", "controversiality": "NULL"},
}
# Columns that a purge empties, too, but that a receipt does not name.
UNREPORTED_COLUMNS = {"edited": "NULL", "edited_at": "NULL"}


def reason_to_purge(removal: str, category: str | None, *, purge_removed: bool) -> str | None:
    """Return why an item must be purged: "deleted" or "removed"; None if it may be kept.

    `removal` is the item's column, `category` is Reddit's `removed_by_category`. `purge_removed` says
    whether items that moderators removed are purged, too (the setting REMOVED_CONTENT).
    """
    if removal == DELETED:
        return DELETED
    if removal == REMOVED and (purge_removed or category not in MODERATORS):
        return REMOVED
    return None


def emptied(parts: Mapping[str, Mapping[str, str]], reason: str) -> dict[str, Any]:
    """Return the columns that a purge for this reason empties, with their values afterwards."""
    values: dict[str, Any] = {
        MARKER: MARKERS[reason],
        "'[deleted]'": MARKERS[DELETED],
        "''": "",
        "'{}'": {},
        "NULL": None,
    }
    return {
        column: values[empty]
        for columns in (*parts.values(), UNREPORTED_COLUMNS)
        for column, empty in columns.items()
    }
