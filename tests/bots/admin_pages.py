"""Pages of bots in the admin, for tests: their addresses, what forms send, what answers say."""

import re

from django.contrib.messages import get_messages
from django.urls import reverse

BOTS = reverse("admin:bots_botconfig_changelist")
ADD = reverse("admin:bots_botconfig_add")


def page_of(bot):
    return reverse("admin:bots_botconfig_change", args=[bot.pk])


def typed(app, **changes):
    """What the form for a bot sends."""
    return {
        "name": "Cats",
        "reddit_app": app.pk,
        "is_active": "on",
        "subreddits": "r/cats, CatsStandingUp",
        "listing": "new",
        "search_query": "",
        "comments": "none",
        "item_limit": "1000",
        "include_terms": "kitten\nre:cats?",
        "exclude_terms": "",
        "match_in": ["title", "body"],
        "whole_words": "on",
        "auto_scrape_enabled": "on",
        "schedule": "interval",
        "every": "5",
        "period": "minutes",
        "crontab": "",
        "timezone": "UTC",
    } | changes


def text_of(answer):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


def told(answer):
    return [str(message) for message in get_messages(answer.wsgi_request)]


def run_action(client, name, bots):
    return client.post(BOTS, {"action": name, "_selected_action": [bot.pk for bot in bots]})
