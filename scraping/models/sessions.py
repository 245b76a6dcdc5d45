from datetime import timedelta

from django.db import models
from django.utils import timezone

from bots.models import BotConfig

STATUS_COLOURS = {
    "queued": "info",
    "running": "info",
    "completed": "success",
    "partial": "warning",
    "cancelled": "warning",
    "failed": "danger",
    "interrupted": "danger",
}


class ScrapeSession(models.Model):
    """One run of collection and its result, from its request to its end."""

    class Trigger(models.TextChoices):
        """The door by which the session came."""

        SCHEDULE = "schedule", "Schedule"
        MANUAL = "manual", "Manual"
        BATCH = "batch", "Batch"
        COMMAND = "command", "Command"
        BACKFILL = "backfill", "Backfill"
        OVERDUE = "overdue", "Overdue"

    class Kind(models.TextChoices):
        """The kind of content that the session reads."""

        LISTINGS = "listings", "Listings"
        THREADS = "threads", "Comment trees"

    class Status(models.TextChoices):
        """The state of the session. The last five are ends."""

        QUEUED = "queued", "Queued"
        RUNNING = "running", "Running"
        COMPLETED = "completed", "Completed"
        PARTIAL = "partial", "Partial"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"
        INTERRUPTED = "interrupted", "Interrupted"

    bot = models.ForeignKey(
        BotConfig, null=True, on_delete=models.SET_NULL, related_name="sessions"
    )
    bot_name = models.CharField(max_length=100, help_text="As it was then; survives the bot.")
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.LISTINGS)
    trigger = models.CharField(max_length=10, choices=Trigger)
    status = models.CharField(max_length=12, choices=Status)
    task_id = models.CharField(max_length=255, blank=True)
    lock_key = models.CharField(
        max_length=100, blank=True, help_text="Held for as long as the session's process lives."
    )

    resumes = models.ForeignKey(
        "self",
        null=True,
        on_delete=models.SET_NULL,
        related_name="resumed_by",
        help_text="The session that ended too early and whose work this one does.",
    )

    queued_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    posts_seen = models.PositiveIntegerField(default=0)
    comments_seen = models.PositiveIntegerField(default=0)
    new = models.PositiveIntegerField(default=0)
    updated = models.PositiveIntegerField(default=0)
    rejected = models.PositiveIntegerField(default=0)
    matched = models.PositiveIntegerField(
        default=0,
        help_text="Items marked as the bot's since its last session, whichever session stored them.",
    )
    requests = models.PositiveIntegerField(default=0)
    wait_seconds = models.FloatField(
        "seconds waited", default=0, help_text="For the budget of the Reddit app, all in all."
    )
    requests_by_kind = models.JSONField(
        default=dict, help_text="Listing, comments, search, info, about, tree, more, token."
    )
    gaps_opened = models.PositiveIntegerField(default=0)
    gaps_closed = models.PositiveIntegerField(default=0)
    freshness_seconds = models.FloatField(
        "longest time between reads",
        null=True,
        help_text="In seconds, of all of the bot's streams; whoever read them.",
    )
    outcomes = models.JSONField(
        default=dict,
        help_text="Per stream: ok, empty, gap, private, throttled, …, with the reason.",
    )
    error = models.TextField(blank=True)
    continues_at = models.DateTimeField(
        null=True,
        help_text="The budget was spent: another run of the bot was asked for at this time.",
    )

    class Meta:
        verbose_name = "session"
        ordering = ["-queued_at"]
        get_latest_by = "queued_at"
        constraints = [
            models.UniqueConstraint(
                fields=["task_id"],
                condition=models.Q(status__in=["queued", "running"]) & ~models.Q(task_id=""),
                name="scraping_session_one_open_per_run",
            )
        ]
        indexes = [
            models.Index(fields=["-queued_at"], name="scraping_session_by_time"),
            models.Index(fields=["bot", "-queued_at"], name="scraping_session_by_bot"),
            models.Index(
                fields=["status"],
                condition=models.Q(status__in=["queued", "running"]),
                name="scraping_session_open",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.bot_name}, {self.queued_at:%Y-%m-%d %H:%M:%S}"

    @property
    def is_open(self) -> bool:
        """Whether the session has not ended."""
        return self.status in (self.Status.QUEUED, self.Status.RUNNING)

    @property
    def colour(self) -> str:
        """The colour of the status on pages: info, success, warning or danger."""
        return STATUS_COLOURS[self.status]

    @property
    def duration(self) -> timedelta | None:
        """The time from start to end; None for a session that never started or has not ended."""
        return self.ended_at - self.started_at if self.ended_at and self.started_at else None
