from bots.models.bot_config import (
    LISTING_CAP,
    MAX_INTERVAL,
    MAX_RETENTION_DAYS,
    MIN_INTERVAL,
    BotConfig,
    BotConfigQuerySet,
    title_and_body,
)
from bots.models.changes import (
    MATCHING_FIELDS,
    SCHEDULING_FIELDS,
    bots_removed,
    matching_changed,
    scheduling_changed,
)
from bots.models.reddit_app import REDDIT_REQUESTS_PER_MINUTE, RedditApp

__all__ = [
    "LISTING_CAP",
    "MATCHING_FIELDS",
    "MAX_INTERVAL",
    "MAX_RETENTION_DAYS",
    "MIN_INTERVAL",
    "REDDIT_REQUESTS_PER_MINUTE",
    "SCHEDULING_FIELDS",
    "BotConfig",
    "BotConfigQuerySet",
    "RedditApp",
    "bots_removed",
    "matching_changed",
    "scheduling_changed",
    "title_and_body",
]
