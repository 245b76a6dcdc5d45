from django.apps import AppConfig


class ScrapingConfig(AppConfig):
    """Collection: the Reddit client, streams, ingest, content, sessions and the simulator."""

    name = "scraping"
    verbose_name = "Collection"

    def ready(self) -> None:
        """Connect the receivers and register the schedules of this app."""
        from scraping import signals, system_schedules  # noqa: F401
