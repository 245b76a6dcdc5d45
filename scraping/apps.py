from django.apps import AppConfig


class ScrapingConfig(AppConfig):
    """Collection: the Reddit client, streams, ingest, content, sessions and the simulator."""

    name = "scraping"
    verbose_name = "Collection"
