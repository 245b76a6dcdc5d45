from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class BotsConfig(AppConfig):
    """Reddit apps and bots, each bot with its schedule."""

    name = "bots"
    verbose_name = _("Bots")

    def ready(self) -> None:
        """Connect the receivers that keep each bot's schedule in step with the bot."""
        from bots import signals  # noqa: F401
