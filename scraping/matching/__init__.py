"""Matching: find the items that bots look for, all bots of a subreddit in one pass, at no API cost.

`find` and `store_matches` serve items as they come in, `rematch` stored items after a bot has changed,
and `preview` a bot that is not saved yet. Patterns run on RE2, so that no pattern can hang.
"""

from scraping.matching.fleet import Fleet, Match, find, fleets_of
from scraping.matching.store import end_matches, store_matches, watched_matches
from scraping.matching.stored import (
    Example,
    Preview,
    Rematched,
    find_stored,
    preview,
    rematch,
    standing,
    with_stored_items,
)

__all__ = [
    "Example",
    "Fleet",
    "Match",
    "Preview",
    "Rematched",
    "end_matches",
    "find",
    "find_stored",
    "fleets_of",
    "preview",
    "rematch",
    "standing",
    "store_matches",
    "watched_matches",
    "with_stored_items",
]
