from django.apps import AppConfig


class BotsConfig(AppConfig):
    """What to collect: API apps and bots, each bot with its schedule."""

    name = "bots"
    verbose_name = "Bots"

    def ready(self) -> None:
        """Connect the signals that keep each bot's schedule in step."""
        from bots import signals  # noqa: F401
