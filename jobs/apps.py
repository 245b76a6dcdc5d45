from django.apps import AppConfig


class JobsConfig(AppConfig):
    """How and when work runs: schedules, runs and locks. Knows nothing of bots or Reddit."""

    name = "jobs"
    verbose_name = "Jobs"

    def ready(self) -> None:
        """Connect the signals."""
        from jobs import signals  # noqa: F401
