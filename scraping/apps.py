from django.apps import AppConfig


class ScrapingConfig(AppConfig):
    """Collection: the Reddit client, streams, ingest, content, sessions and the simulator."""

    name = "scraping"
    verbose_name = "Collection"

    def ready(self) -> None:
        """Connect what happens here when runs are requested and tables migrated."""
        from scraping import signals  # noqa: F401
