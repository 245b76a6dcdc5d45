"""Demonstration bots that collect from the bundled simulator."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Model

from accounts.models import User
from accounts.ownership import OwnedForm
from bots.forms import BotConfigForm, RedditAppForm
from bots.models import REDDIT_REQUESTS_PER_MINUTE, BotConfig, RedditApp

CLIENT_ID = "demo"

# Subreddits of the simulator's generated world; the last bot watches a private one on purpose.
BOTS: list[dict[str, Any]] = [
    {
        "name": "Many languages",
        "subreddits": "france, Polska, Hindi, arabs, hanguk",
        "comments": BotConfig.Comments.STREAM,
    },
    {
        "name": "Photos and recipes",
        "subreddits": "gardening, SlowCooking, nightphotography",
        "comments": BotConfig.Comments.STREAM,
        "include_terms": "photo\nrecipe\nre:question|help",
    },
    {
        "name": "Science, locked door",
        "subreddits": "AskScience, python, TeamBackroom",
        "comments": BotConfig.Comments.NONE,
    },
]


def seed(
    owner: User, *, every: timedelta, subreddits: Sequence[str] | None = None
) -> list[BotConfig]:
    """Save the demonstration app and bots; reset existing ones to their original settings.

    The values go through the admin's own forms. `subreddits` replaces the subreddits of the bots
    and is dealt out one by one. Raises ValidationError if a form refuses a value.
    """
    app = _submit(
        RedditAppForm,
        owner,
        RedditApp.objects.filter(service=RedditApp.Service.SIMULATOR, client_id=CLIENT_ID).first(),
        {
            "name": "Simulator",
            "service": RedditApp.Service.SIMULATOR,
            "client_id": CLIENT_ID,
            "client_secret": "demo",  # the simulator accepts any secret
            "user_agent": "any:org.example.lurker:demo (by /u/lurker)",
            "requests_per_minute": REDDIT_REQUESTS_PER_MINUTE,
        },
    )
    bots = BOTS if subreddits is None else _recorded(subreddits)
    return [
        _submit(
            BotConfigForm,
            owner,
            BotConfig.objects.filter(owner=owner, name=bot["name"]).first(),
            bot
            | {
                "reddit_app": app.pk,
                "schedule": BotConfig.Schedule.INTERVAL,
                "every": int(every.total_seconds()),
                "period": BotConfig.Period.SECONDS,
                "is_active": True,
                "auto_scrape_enabled": True,
            },
        )
        for bot in bots
    ]


def _recorded(subreddits: Sequence[str]) -> list[dict[str, Any]]:
    """Return bots that share out the recorded subreddits; each collects everything in its part."""
    hands = [subreddits[start :: len(BOTS)] for start in range(len(BOTS))]
    return [
        {
            "name": f"Recorded content {number}",
            "subreddits": "\n".join(hand),
            "comments": BotConfig.Comments.STREAM,
        }
        for number, hand in enumerate(hands, start=1)
        if hand
    ]


def _submit(
    form_class: type[OwnedForm], owner: User, instance: Model | None, values: dict[str, Any]
) -> Any:
    """Submit the form with the admin's initial values, except for `values`, and save it.

    Raises ValidationError if the form refuses a value.
    """
    owned = form_class.of(owner)
    form = owned(instance=instance)
    shown = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}
    submitted = owned(shown | values, instance=instance)
    if not submitted.is_valid():
        raise ValidationError({name: list(faults) for name, faults in submitted.errors.items()})
    return submitted.save()
