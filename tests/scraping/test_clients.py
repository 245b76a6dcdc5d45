"""Clients ask where the settings say."""

import pytest

from scraping.clients import client_for
from tests.factories import RedditAppFactory


@pytest.mark.django_db
def test_an_app_connects_where_the_settings_say(settings):
    settings.REDDIT_URL = "https://tokens.example.org"
    settings.REDDIT_OAUTH_URL = "https://api.example.org"
    app = RedditAppFactory(service="reddit")

    with client_for(app, permits=None) as client:
        config = client._reddit.config

    assert (config.reddit_url, config.oauth_url) == (
        "https://tokens.example.org",
        "https://api.example.org",
    )
