"""Signals of changes to bots, and the fields whose changes matter to others."""

from django.dispatch import Signal

# Sent with `bot_ids`, in the transaction of the change, when the matches of bots may change.
matching_changed = Signal()

# Sent with `bot_ids`, in the transaction of a bulk write that may change the schedules of bots.
scheduling_changed = Signal()

# Sent with `bot_ids`, in the transaction of a queryset's `delete`, before it deletes the bots.
bots_removed = Signal()

# The fields that decide which items a bot matches.
MATCHING_FIELDS = frozenset(
    {
        "subreddits",
        "include_terms",
        "exclude_terms",
        "match_in",
        "case_sensitive",
        "whole_words",
        "min_score",
        "min_comments",
        "is_active",
    }
)

# The fields that decide a bot's schedule or its description.
SCHEDULING_FIELDS = frozenset(
    {
        "name",
        "subreddits",
        "schedule",
        "every",
        "period",
        "crontab",
        "timezone",
        "is_active",
        "auto_scrape_enabled",
        "paused_at",
    }
)
