"""The system schedules of collection, registered when the app is ready and installed by `migrate`."""

from datetime import timedelta

from jobs.schedules.services import ScheduleSpec
from jobs.schedules.system import register

register(
    ScheduleSpec(
        name="close-interrupted-sessions",
        task="scraping.close_interrupted_sessions",
        kwargs={},
        queue="cleanup",
        every=timedelta(minutes=1),
        description="Ends sessions whose process died, so that none seems to run for ever.",
    )
)
register(
    ScheduleSpec(
        name="refresh-and-verify",
        task="scraping.check_items",
        kwargs={},
        queue="scraping",
        every=timedelta(minutes=2),
        description="Looks stored items up on Reddit: new scores, edits, and whether they still "
        "stand. What is gone is purged.",
    )
)
register(
    ScheduleSpec(
        name="enrol-stored-items",
        task="scraping.enrol_items",
        kwargs={},
        queue="cleanup",
        crontab="41 2 * * *",
        description="Plans checks of stored items that have none, which the other runs, that look "
        "at the last hours only, have missed.",
    )
)
register(
    ScheduleSpec(
        name="request-early-reads",
        task="scraping.request_early_reads",
        kwargs={},
        queue="cleanup",
        every=timedelta(minutes=1),
        description="Reads streams that would outrun what Reddit lists before their bots come to them.",
    )
)
register(
    ScheduleSpec(
        name="probe-subreddits",
        task="scraping.probe_subreddits",
        kwargs={},
        queue="scraping",
        every=timedelta(minutes=5),
        description="Asks about subreddits that cannot be read, so that they come back by "
        "themselves: each after an hour at first, later once a day.",
    )
)
register(
    ScheduleSpec(
        name="delete-old-sessions",
        task="scraping.delete_old_sessions",
        kwargs={},
        queue="cleanup",
        crontab="0 2 * * *",
        description="Deletes sessions that are older than SESSION_RETENTION_DAYS.",
    )
)
register(
    ScheduleSpec(
        name="delete-old-content",
        task="scraping.delete_old_content",
        kwargs={},
        queue="cleanup",
        crontab="30 2 * * 0",
        description="Deletes posts and comments that are older than CONTENT_RETENTION_DAYS, or than "
        "the bots that watch them wish to keep them.",
    )
)
register(
    ScheduleSpec(
        name="start-overdue-bots",
        task="scraping.start_overdue_bots",
        kwargs={},
        queue="cleanup",
        every=timedelta(hours=6),
        description="Starts bots on schedule whose last good session is older than twice their "
        "interval.",
    )
)
register(
    ScheduleSpec(
        name="deep-walk",
        task="scraping.deep_walk",
        kwargs={},
        queue="scraping",
        every=timedelta(hours=1),
        description="Reads streams anew, further down: finds what moderators let through late and "
        "closes gaps. How often each stream has its turn is the setting DEEP_WALK_INTERVAL_HOURS.",
    )
)
