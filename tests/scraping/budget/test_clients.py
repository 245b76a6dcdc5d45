"""Clients ask where the settings say; few are kept, and each is lent to one at a time."""

import pytest

from scraping.budget import clients
from scraping.budget.clients import client_for
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


class TestClients:
    def test_few_are_kept(self, db, simulator, settings):
        settings.SIMULATOR_URL = simulator.url
        for app in RedditAppFactory.create_batch(clients.KEPT + 3):
            with clients.client_for(app, permits=None):
                pass

        assert len(clients._kept.clients) == clients.KEPT

    def test_one_that_is_lent_is_not_lent_again(self, app):
        with (
            clients.client_for(app, permits=None) as one,
            clients.client_for(app, permits=None) as other,
        ):
            assert one is not other
        with clients.client_for(app, permits=None) as again:
            assert again is one
        assert len(clients._kept.clients) == 1
