from datetime import timedelta

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

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

        SCHEDULE = "schedule", _("Schedule")
        MANUAL = "manual", _("Manual")
        BATCH = "batch", _("Batch")
        COMMAND = "command", _("Command")
        BACKFILL = "backfill", _("Backfill")
        OVERDUE = "overdue", _("Overdue")

    class Kind(models.TextChoices):
        """The kind of content that the session reads."""

        LISTINGS = "listings", _("Listings")
        THREADS = "threads", _("Comment trees")

    class Status(models.TextChoices):
        """The state of the session. The last five are ends."""

        QUEUED = "queued", _("Queued")
        RUNNING = "running", _("Running")
        COMPLETED = "completed", _("Completed")
        PARTIAL = "partial", _("Partial")
        FAILED = "failed", _("Failed")
        CANCELLED = "cancelled", _("Cancelled")
        INTERRUPTED = "interrupted", _("Interrupted")

    bot = models.ForeignKey(
        BotConfig,
        null=True,
        on_delete=models.SET_NULL,
        related_name="sessions",
        verbose_name=_("bot"),
    )
    bot_name = models.CharField(
        _("name of the bot"),
        max_length=100,
        help_text=_("The name that the bot had when the session began."),
    )
    kind = models.CharField(_("kind"), max_length=10, choices=Kind, default=Kind.LISTINGS)
    trigger = models.CharField(_("trigger"), max_length=10, choices=Trigger)
    status = models.CharField(_("status"), max_length=12, choices=Status)
    task_id = models.CharField(_("run"), max_length=255, blank=True)
    lock_key = models.CharField(
        _("lock"),
        max_length=100,
        blank=True,
        help_text=_("The session's process holds this lock until it ends."),
    )

    resumes = models.ForeignKey(
        "self",
        null=True,
        on_delete=models.SET_NULL,
        related_name="resumed_by",
        verbose_name=_("resumes"),
        help_text=_("The earlier session whose unfinished work this session does."),
    )

    queued_at = models.DateTimeField(_("queued at"), default=timezone.now)
    started_at = models.DateTimeField(_("started at"), null=True)
    ended_at = models.DateTimeField(_("ended at"), null=True)

    posts_seen = models.PositiveIntegerField(_("posts read"), default=0)
    comments_seen = models.PositiveIntegerField(_("comments read"), default=0)
    new = models.PositiveIntegerField(_("new"), default=0)
    updated = models.PositiveIntegerField(_("updated"), default=0)
    rejected = models.PositiveIntegerField(_("rejected"), default=0)
    matched = models.PositiveIntegerField(
        _("matched"),
        default=0,
        help_text=_(
            "The bot's matches since its previous session. The items may have been stored by sessions "
            "of other bots."
        ),
    )
    requests = models.PositiveIntegerField(_("requests"), default=0)
    wait_seconds = models.FloatField(
        _("seconds waited"),
        default=0,
        help_text=_("The sum of the waits for the budget of the Reddit app."),
    )
    requests_by_kind = models.JSONField(
        _("requests by kind"),
        default=dict,
        help_text=_("Listing, comments, search, info, about, tree, more, token."),
    )
    gaps_opened = models.PositiveIntegerField(_("gaps opened"), default=0)
    gaps_closed = models.PositiveIntegerField(_("gaps closed"), default=0)
    freshness_seconds = models.FloatField(
        _("longest time between reads"),
        null=True,
        help_text=_(
            "In seconds, over all of the bot's streams. Reads by sessions of other bots count too."
        ),
    )
    outcomes = models.JSONField(
        _("outcomes"),
        default=dict,
        help_text=_(
            "The outcome of each stream, such as ok, empty, gap or private, and the reason."
        ),
    )
    error = models.TextField(_("error"), blank=True)
    continues_at = models.DateTimeField(
        _("continues at"),
        null=True,
        help_text=_("The app's budget was spent. The bot runs again at this time."),
    )

    class Meta:
        verbose_name = _("session")
        verbose_name_plural = _("sessions")
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
