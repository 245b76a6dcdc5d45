"""Makes the project itself an app of Django's: Celery and the system checks hang on it."""

from django.apps import AppConfig


class ProjectConfig(AppConfig):
    """Sets up Celery and registers the checks of the settings."""

    name = "config"
    verbose_name = "Lurker"

    def ready(self) -> None:
        """Make Celery's application the one that `shared_task` finds; register the checks."""
        import config.celery
        import config.checks  # noqa: F401
