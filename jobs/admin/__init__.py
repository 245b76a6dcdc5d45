"""The admin of schedules and runs."""

from jobs.admin import runs, schedules  # noqa: F401 - each registers its models
