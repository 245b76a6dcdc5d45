"""What happens in this app when something happens elsewhere, and its own schedules."""

from datetime import timedelta

from jobs import batches, system_schedules  # noqa: F401 - their receivers
from jobs.schedules import ScheduleSpec

system_schedules.register(
    ScheduleSpec(
        name="sweep-runs",
        task="jobs.sweep",
        kwargs={},
        queue="default",
        every=timedelta(seconds=15),
        description="Sends runs whose message was lost, and ends or repeats those whose worker died.",
    )
)
system_schedules.register(
    ScheduleSpec(
        name="delete-old-runs",
        task="jobs.delete_old_runs",
        kwargs={},
        queue="cleanup",
        crontab="17 3 * * *",
        description="Removes runs that ended longer ago than RUN_HISTORY_DAYS.",
    )
)
