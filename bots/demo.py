"""Bots for a first look, which collect from the bundled simulator."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from accounts.models import User
from bots.models import BotConfig, RedditApp

CLIENT_ID = "demo"

# Subreddits of the simulator's own world; the last bot watches a private one on purpose.
BOTS: list[dict[str, Any]] = [
    {
        "name": "Many languages",
        "subreddits": ["france", "Polska", "Hindi", "arabs", "hanguk"],
        "comments": BotConfig.Comments.STREAM,
    },
    {
        "name": "Photos and recipes",
        "subreddits": ["gardening", "SlowCooking", "nightphotography"],
        "comments": BotConfig.Comments.STREAM,
        "include_terms": ["photo", "recipe", "re:question|help"],
    },
    {
        "name": "Science, a locked door",
        "subreddits": ["AskScience", "python", "TeamBackroom"],
        "comments": BotConfig.Comments.NONE,
    },
]


def seed(
    owner: User, *, every: timedelta, subreddits: Sequence[str] | None = None
) -> list[BotConfig]:
    """Save the demonstration's app and bots; those that exist are brought back to what they were.

    `subreddits` replaces what the bots watch, dealt out one by one. Raises ValidationError for what
    the admin would refuse.
    """
    app = RedditApp.objects.filter(
        service=RedditApp.Service.SIMULATOR, client_id=CLIENT_ID
    ).first() or RedditApp(service=RedditApp.Service.SIMULATOR, client_id=CLIENT_ID, owner=owner)
    app.name = "Simulator"
    app.user_agent = "any:org.example.lurker:demo (by /u/lurker)"
    app.client_secret = "demo"  # noqa: S105  (the simulator takes any)
    app.full_clean()
    app.save()
    return [
        _save(owner, app, values | _dealt(subreddits, index), every)
        for index, values in enumerate(BOTS)
        if subreddits is None or index < len(subreddits)
    ]


def _dealt(subreddits: Sequence[str] | None, index: int) -> dict[str, Any]:
    if subreddits is None:
        return {}
    return {"subreddits": list(subreddits[index :: len(BOTS)]), "include_terms": []}


def _save(owner: User, app: RedditApp, values: dict[str, Any], every: timedelta) -> BotConfig:
    bot = BotConfig.objects.filter(owner=owner, name=values["name"]).first() or BotConfig(
        owner=owner
    )
    defaults = {
        "reddit_app": app,
        "schedule": BotConfig.Schedule.INTERVAL,
        "every": int(every.total_seconds()),
        "period": BotConfig.Period.SECONDS,
        "is_active": True,
        "auto_scrape_enabled": True,
    }
    for name, value in (defaults | values).items():
        setattr(bot, name, value)
    bot.full_clean()
    bot.save()
    return bot
