"""When an item counts as gone, and what is emptied of it then.

These rules know no table and no settings: the process that reads dumps applies them, too. The rules
are explained in docs/deletion.md.
"""

from collections.abc import Mapping
from typing import Any

DELETED, REMOVED, GONE, ACCOUNT = "deleted", "removed", "gone", "account"

# `removed_by_category` of posts that moderators took out, themselves or by their robot; "" and None
# do not say who, and dumps write "removed". All other categories are Reddit's own, for reasons such
# as a copyright.
MODERATORS = frozenset({None, "", "moderator", "automod_filtered", "removed"})

# What stands in place of a text, as on Reddit.
MARKER = "MARKER"
MARKERS = {DELETED: "[deleted]", GONE: "[deleted]", REMOVED: "[removed]"}

# What is emptied, by the word that stands for it in a receipt. The names of the columns, each with
# its value when nothing is held, in SQL.
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
# Emptied, too, but a receipt does not name them.
UNREPORTED_COLUMNS = {"edited": "NULL", "edited_at": "NULL"}


def reason_to_purge(removal: str, category: str | None, *, purge_removed: bool) -> str | None:
    """Return why an item must be purged: "deleted" or "removed"; None if it may be kept.

    `removal` is the item's column, `category` Reddit's `removed_by_category`. `purge_removed` says
    whether what moderators removed is purged, too (the setting REMOVED_CONTENT).
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
