from collections.abc import Collection, Iterable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.dispatch import Signal
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from timezone_field import TimeZoneField

from bots.models.marking import alters_data, queryset_only
from bots.models.reddit_app import RedditApp
from bots.validation import clean_crontab, clean_subreddits, clean_terms

MIN_INTERVAL = timedelta(seconds=10)
MAX_INTERVAL = timedelta(days=31)
# About as many items as Reddit lists: paging cannot reach older ones.
LISTING_CAP = 1_000
# Ten years. An upper limit ensures that content is deleted at some time.
MAX_RETENTION_DAYS = 3_653

# Sent with `bot_ids`, in the transaction of the change, when the matches of bots may change.
matching_changed = Signal()

# Sent with `bot_ids`, in the transaction of a bulk write that may change the schedules of bots.
scheduling_changed = Signal()

# Sent with `bot_ids`, in the transaction of a queryset's `delete`, before it deletes the bots.
bots_removed = Signal()


def title_and_body() -> list[str]:
    """The default of `match_in`: the parts of an item in which a bot looks for terms."""
    return ["title", "body"]


class BotConfigQuerySet(models.QuerySet["BotConfig"]):
    """Bulk writes that bypass `save()` and its signals, but keep the schedules in step."""

    def scheduled(self) -> "BotConfigQuerySet":
        """Bots that run on schedule."""
        return self.filter(is_active=True, auto_scrape_enabled=True, paused_at=None)

    @alters_data
    def update(self, **values: Any) -> int:
        """Update rows and their schedules in one transaction; send `matching_changed` if need be."""
        scheduling = SCHEDULING_FIELDS.intersection(values)
        matching = MATCHING_FIELDS.intersection(values)
        if not scheduling and not matching:
            return super().update(**values)
        with transaction.atomic():
            keys = list(self.select_for_update(of=["self"]).values_list("pk", flat=True))
            if matching:
                # The new time tells the matching code that its copy of the bot is out of date.
                values = {"updated_at": timezone.now()} | values
            updated = super().update(**values)
            if scheduling:
                scheduling_changed.send(sender=BotConfig, bot_ids=keys)
            if matching:
                matching_changed.send(sender=BotConfig, bot_ids=keys)
        return updated

    def bulk_create(
        self, objs: Iterable["BotConfig"], *args: Any, **options: Any
    ) -> list["BotConfig"]:
        """Insert bots with their schedules in one transaction."""
        with transaction.atomic():
            created = super().bulk_create(objs, *args, **options)
            scheduling_changed.send(sender=BotConfig, bot_ids=[bot.pk for bot in created])
        return created

    @alters_data
    @queryset_only
    def delete(self) -> tuple[int, dict[str, int]]:
        """Delete bots with their schedules; one statement removes all the schedules."""
        with transaction.atomic():
            # Lock the bots first. The delete then waits for a session that is storing a bot's
            # items, so that no items appear after the delete has removed those of the bot.
            keys = list(self.select_for_update(of=["self"]).values_list("pk", flat=True))
            bots_removed.send(sender=BotConfig, bot_ids=keys)
            return super().delete()


class BotConfig(models.Model):
    """A bot: content to collect, and schedule."""

    class Listing(models.TextChoices):
        """The source of posts. Only `new` can be complete; the others are samples."""

        NEW = "new", "New: every post"
        HOT = "hot", "Hot: a sample"
        TOP = "top", "Top of the day: a sample"
        RISING = "rising", "Rising: a sample"
        SEARCH = "search", "Search: what Reddit finds"

    class Comments(models.TextChoices):
        """The comments that the bot collects."""

        NONE = "none", "None"
        STREAM = "stream", "Every new comment of the subreddits"
        THREADS = "threads", "Full trees of matched posts"

    class MatchIn(models.TextChoices):
        """The parts of an item in which the bot looks for terms."""

        TITLE = "title", "Title"
        BODY = "body", "Body"
        URL = "url", "URL"
        AUTHOR = "author", "Author"
        FLAIR = "flair", "Flair"

    class Schedule(models.TextChoices):
        """The kind of a bot's schedule."""

        INTERVAL = "interval", "Every …"
        CRONTAB = "crontab", "Crontab"

    class Period(models.TextChoices):
        """Units of an interval."""

        SECONDS = "seconds", "seconds"
        MINUTES = "minutes", "minutes"
        HOURS = "hours", "hours"
        DAYS = "days", "days"

    class PauseCause(models.TextChoices):
        """Why a bot failed so often that it was paused."""

        CLOSED = "closed", "None of its subreddits can be read"
        ERRORS = "errors", "Errors"

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="bots"
    )
    name = models.CharField(max_length=100)
    reddit_app = models.ForeignKey(
        RedditApp, on_delete=models.PROTECT, related_name="bots", verbose_name="Reddit app"
    )

    subreddits = ArrayField(
        models.CharField(max_length=25),
        help_text="One a line or separated by commas, with or without r/.",
    )
    listing = models.CharField(max_length=10, choices=Listing, default=Listing.NEW)
    search_query = models.CharField(
        max_length=512,
        blank=True,
        help_text="For the listing “Search” only: the query, in Reddit's search syntax.",
    )
    comments = models.CharField(
        max_length=10,
        choices=Comments,
        default=Comments.NONE,
        help_text="A full tree costs about one request for each hundred comments of a matched post, "
        "and is read again when it has grown.",
    )
    item_limit = models.PositiveIntegerField(
        default=LISTING_CAP,
        validators=[MinValueValidator(1), MaxValueValidator(LISTING_CAP)],
        help_text="How many items of a listing one session reads at most. A session that stops here "
        "before it reaches what is known records a gap.",
    )

    include_terms = ArrayField(
        models.CharField(max_length=500),
        default=list,
        blank=True,
        help_text="One a line: an item matches when any is found. None: every item matches. "
        "re: before a term makes it an RE2 pattern.",
    )
    exclude_terms = ArrayField(
        models.CharField(max_length=500),
        default=list,
        blank=True,
        help_text="One a line: an item in which any is found does not match.",
    )
    match_in = ArrayField(
        models.CharField(max_length=10, choices=MatchIn),
        default=title_and_body,
        verbose_name="look in",
    )
    case_sensitive = models.BooleanField(default=False)
    whole_words = models.BooleanField(
        default=True, help_text="“cat” is not found in “concatenate”. Patterns are left alone."
    )
    min_score = models.PositiveIntegerField(
        "least score",
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Only items that reach this score soon (by default, within 36 hours) are matches. "
        "Until they do, or the time is over, they wait.",
    )
    min_comments = models.PositiveIntegerField(
        "least comments",
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="The same for the number of comments on a post. Comments are not asked for it.",
    )

    schedule = models.CharField(max_length=10, choices=Schedule, default=Schedule.INTERVAL)
    every = models.PositiveIntegerField(default=5, validators=[MinValueValidator(1)])
    period = models.CharField(max_length=10, choices=Period, default=Period.MINUTES)
    crontab = models.CharField(
        max_length=200,
        blank=True,
        help_text="Minute, hour, day of month, month, day of week: “30 9 * * 1-5” is 09:30 on weekdays.",
    )
    timezone = TimeZoneField(
        "time zone", default="UTC", help_text="The zone in which the crontab's times are read."
    )

    is_active = models.BooleanField(
        "active", default=True, help_text="An inactive bot does nothing, not even when asked to."
    )
    auto_scrape_enabled = models.BooleanField(
        "runs on schedule",
        default=True,
        help_text="Off: the bot collects only when somebody runs it.",
    )

    retention_days = models.PositiveIntegerField(
        "keep content for",
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_RETENTION_DAYS)],
        help_text="Days. Empty, or fewer than CONTENT_RETENTION_DAYS: for as many as that says. "
        "Of the bots that watch a subreddit, the longest wish counts.",
    )

    # Written by collection at the end of each session, read by the lists, never edited.
    last_session_at = models.DateTimeField(null=True, editable=False)
    last_session_status = models.CharField(max_length=20, blank=True, editable=False)
    last_session_summary = models.CharField(max_length=300, blank=True, editable=False)
    last_success_at = models.DateTimeField(null=True, editable=False)
    # Written by `bots.pauses`.
    failures_in_a_row = models.PositiveIntegerField(default=0, editable=False)
    paused_at = models.DateTimeField(null=True, editable=False)
    pause_cause = models.CharField(
        max_length=10, choices=PauseCause, blank=True, default="", editable=False
    )
    pause_reason = models.CharField(max_length=300, blank=True, default="", editable=False)

    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = BotConfigQuerySet.as_manager()

    # Not columns. The admin's list sets `periodic_task`; a save sets `matching_differs`, which says
    # whether the save changes a matching field.
    periodic_task: PeriodicTask | None
    matching_differs: bool

    class Meta:
        verbose_name = "bot"
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["owner", "name"],
                name="bots_botconfig_name",
                violation_error_message="This owner has a bot of this name already.",
            ),
            models.CheckConstraint(
                condition=models.Q(every__gte=1), name="bots_botconfig_every_positive"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Store the bot and, through the signal, its schedule: both or neither."""
        with transaction.atomic():
            super().save(*args, **kwargs)

    @alters_data
    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Delete the bot and, through the signal, its schedule: both or neither."""
        with transaction.atomic():
            BotConfig.objects.select_for_update().filter(pk=self.pk).first()
            return super().delete(*args, **kwargs)

    @property
    def interval(self) -> timedelta:
        """The time between two runs, for bots on an interval."""
        return timedelta(**{self.period: self.every})

    @property
    def is_scheduled(self) -> bool:
        """Whether beat fires the bot."""
        return self.is_active and self.auto_scrape_enabled and self.paused_at is None

    @property
    def timing(self) -> str:
        """The schedule in words."""
        if self.schedule == self.Schedule.CRONTAB:
            return f"{self.crontab} ({self.timezone})"
        unit = self.get_period_display()
        return (
            f"every {unit.removesuffix('s')}" if self.every == 1 else f"every {self.every} {unit}"
        )

    def clean_fields(self, exclude: Collection[str] | None = None) -> None:
        """Normalise lists before their lengths are checked, because a link is longer than its name."""
        faults: dict[str, Any] = {}
        for name in FIELD_CLEANERS.keys() - set(exclude or ()):
            try:
                setattr(self, name, FIELD_CLEANERS[name](getattr(self, name) or []))
            except ValidationError as error:
                faults[name] = error.messages
        try:
            super().clean_fields(exclude={*(exclude or ()), *faults})
        except ValidationError as error:
            faults = error.update_error_dict(faults)
        if faults:
            raise ValidationError(faults)

    def clean(self) -> None:
        """Check the fields together; raise a ValidationError that names every field at fault."""
        faults: dict[str, Any] = {}
        if not self.subreddits:
            faults["subreddits"] = "Name at least one subreddit."
        if self.listing == self.Listing.SEARCH and not self.search_query.strip():
            faults["search_query"] = "The listing “Search” needs a query."
        if not self.match_in:
            faults["match_in"] = "Choose at least one part of an item to look in."
        faults |= self._schedule_faults()
        if faults:
            raise ValidationError(faults)

    def _schedule_faults(self) -> dict[str, Any]:
        if self.schedule == self.Schedule.CRONTAB:
            if not self.crontab.strip():
                return {"crontab": "A bot on a crontab needs one, for example “30 9 * * *”."}
            try:
                self.crontab = clean_crontab(self.crontab)
            except ValidationError as error:
                return {"crontab": error.messages}
            return {}
        if self.period not in self.Period.values:
            return {}
        try:
            interval = self.interval
        except TypeError:  # `every` is empty: its field reports that
            return {}
        except OverflowError:
            interval = timedelta.max
        if not MIN_INTERVAL <= interval <= MAX_INTERVAL:
            return {
                "every": f"Every {self.every} {self.period} is outside what a bot may do: from "
                f"{MIN_INTERVAL.seconds} seconds to {MAX_INTERVAL.days} days."
            }
        return {}


FIELD_CLEANERS = {
    "subreddits": clean_subreddits,
    "include_terms": clean_terms,
    "exclude_terms": clean_terms,
}

# The fields that decide which items a bot matches.
MATCHING_FIELDS = frozenset(
    {
        "subreddits",
        "include_terms",
        "exclude_terms",
        "match_in",
        "case_sensitive",
        "whole_words",
        "min_score",
        "min_comments",
        "is_active",
    }
)

# The fields that decide a bot's schedule or its description.
SCHEDULING_FIELDS = frozenset(
    {
        "name",
        "subreddits",
        "schedule",
        "every",
        "period",
        "crontab",
        "timezone",
        "is_active",
        "auto_scrape_enabled",
        "paused_at",
    }
)
