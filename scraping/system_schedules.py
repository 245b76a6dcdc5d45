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
        description="Ends each session whose process died, so that no such session seems to run for "
        "ever.",
    )
)
register(
    ScheduleSpec(
        name="refresh-and-verify",
        task="scraping.check_items",
        kwargs={},
        queue="scraping",
        every=timedelta(minutes=2),
        description="Asks Reddit about stored items: new scores, edits, and whether the items still "
        "stand. Purges items that are deleted or gone. The setting REMOVED_CONTENT says whether removed "
        "items are purged, too.",
    )
)
register(
    ScheduleSpec(
        name="enrol-stored-items",
        task="scraping.enrol_items",
        kwargs={},
        queue="cleanup",
        crontab="41 2 * * *",
        description="Plans a check for each stored item that has no check. The job refresh-and-verify "
        "looks for such items among the items of the last hours only.",
    )
)
register(
    ScheduleSpec(
        name="request-early-reads",
        task="scraping.request_early_reads",
        kwargs={},
        queue="cleanup",
        every=timedelta(minutes=1),
        description="Requests reads of streams that would outrun Reddit's listings before their bots "
        "read them.",
    )
)
register(
    ScheduleSpec(
        name="probe-subreddits",
        task="scraping.probe_subreddits",
        kwargs={},
        queue="scraping",
        every=timedelta(minutes=5),
        description="Asks Reddit whether unreadable subreddits can be read again. The first probe of a "
        "subreddit comes after an hour. The pauses grow to one day.",
    )
)
register(
    ScheduleSpec(
        name="delete-old-sessions",
        task="scraping.delete_old_sessions",
        kwargs={},
        queue="cleanup",
        crontab="0 2 * * *",
        description="Deletes ended sessions that were requested more than SESSION_RETENTION_DAYS ago.",
    )
)
register(
    ScheduleSpec(
        name="delete-old-content",
        task="scraping.delete_old_content",
        kwargs={},
        queue="cleanup",
        crontab="30 2 * * 0",
        description="Deletes posts and comments that were created more than CONTENT_RETENTION_DAYS "
        "ago. If a bot names the subreddit and asks for more days, the longest such time counts. Imported "
        "content that Reddit has not confirmed is kept for that long, counted from the import.",
    )
)
register(
    ScheduleSpec(
        name="start-overdue-bots",
        task="scraping.start_overdue_bots",
        kwargs={},
        queue="cleanup",
        every=timedelta(hours=6),
        description="Starts each bot on schedule whose last good session ended more than two intervals "
        "ago. For a crontab, two firings must have passed since then. If the bot has had no good session, "
        "the time counts from its creation. A bot is not started while one of its sessions is open or "
        "continues later, or while Reddit refuses its app.",
    )
)
register(
    ScheduleSpec(
        name="deep-walk",
        task="scraping.deep_walk",
        kwargs={},
        queue="scraping",
        every=timedelta(hours=1),
        description="Reads streams again, further down than sessions do. The deep walk finds items that "
        "moderators approved late, and closes gaps. The setting DEEP_WALK_INTERVAL_HOURS says how often "
        "each stream is read in this way.",
    )
)
