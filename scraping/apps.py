from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ScrapingConfig(AppConfig):
    """Collection: the Reddit client, streams, ingest, content, sessions and the simulator."""

    name = "scraping"
    verbose_name = _("Collection")

    def ready(self) -> None:
        """Connect the receivers and register the schedules of this app."""
        from scraping import signals, system_schedules  # noqa: F401
