from django.apps import AppConfig


class BotsConfig(AppConfig):
    """Reddit apps and bots, each bot with its schedule."""

    name = "bots"
    verbose_name = "Bots"

    def ready(self) -> None:
        """Connect the receivers that keep each bot's schedule in step with the bot."""
        from bots import signals  # noqa: F401
