"""HTML entities in the texts of dumps: Reddit writes three characters as entities unless asked not to.

A dump that was made without `raw_json=1` has these characters as entities everywhere, so it contains
none of the three bare. `docs/imports.md` explains how the reader tells the two kinds of dump apart.
"""

from collections.abc import Sequence
from typing import Any

# Reddit's entities for &, < and >.
ENTITIES = ("&amp;", "&lt;", "&gt;")


def with_special(columns: Sequence[Sequence[str | None]]) -> set[int]:
    """Return the places at which any of the columns has a text with one of the three characters."""
    found: set[int] = set()
    for column in columns:
        # Most columns have none of the three characters.
        together = "".join(filter(None, column))
        for character in "&<>":
            if character in together:
                found.update(
                    place for place, text in enumerate(column) if text and character in text
                )
    return found


def has_bare(texts: str) -> bool:
    """Whether one of the three characters is bare. Counting is much faster than a pattern."""
    if "<" in texts or ">" in texts:
        return True
    return texts.count("&") > sum(map(texts.count, ENTITIES))


def unescaped(value: Any) -> Any:
    """Write the three entities in all texts of a JSON value as the characters that they stand for."""
    if isinstance(value, str):
        # The ampersand last: "&amp;lt;" is how Reddit writes "&lt;".
        return value.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    if isinstance(value, list):
        return [unescaped(entry) for entry in value]
    if isinstance(value, dict):
        return {key: unescaped(entry) for key, entry in value.items()}
    return value
