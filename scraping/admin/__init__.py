"""The admin of what was collected, and of how."""

from scraping.admin import (  # noqa: F401 - each registers its models
    content,
    coverage,
    imports,
    matches,
    receipts,
    sessions,
    subreddits,
)
