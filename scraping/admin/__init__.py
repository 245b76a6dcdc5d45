"""The admin of collected content and of its collection."""

from scraping.admin import (  # noqa: F401 - each registers its models
    content,
    coverage,
    imports,
    matches,
    receipts,
    sessions,
    subreddits,
)
