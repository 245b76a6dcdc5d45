"""The project itself as a Django app, which sets up Celery and the system checks."""

from django.apps import AppConfig


class ProjectConfig(AppConfig):
    """Sets up Celery, and registers the checks of the settings."""

    name = "config"
    verbose_name = "Lurker"

    def ready(self) -> None:
        """Set up Celery's application for `shared_task`, and register the checks."""
        import config.celery
        import config.checks  # noqa: F401
