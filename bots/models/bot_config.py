from collections.abc import Collection, Iterable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django_celery_beat.models import PeriodicTask
from timezone_field import TimeZoneField

from bots.models import choices
from bots.models.changes import (
    MATCHING_FIELDS,
    SCHEDULING_FIELDS,
    bots_removed,
    matching_changed,
    scheduling_changed,
)
from bots.models.marking import alters_data, queryset_only
from bots.models.reddit_app import RedditApp
from bots.validation import clean_crontab, clean_subreddits, clean_terms

MIN_INTERVAL = timedelta(seconds=10)
MAX_INTERVAL = timedelta(days=31)
# About as many items as Reddit lists: paging cannot reach older ones.
LISTING_CAP = 1_000
# Ten years. An upper limit ensures that content is deleted at some time.
MAX_RETENTION_DAYS = 3_653


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

    Listing = choices.Listing
    Comments = choices.Comments
    MatchIn = choices.MatchIn
    Schedule = choices.Schedule
    Period = choices.Period
    PauseCause = choices.PauseCause

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        related_name="bots",
        verbose_name=_("owner"),
    )
    name = models.CharField(_("name"), max_length=100)
    reddit_app = models.ForeignKey(
        RedditApp, on_delete=models.PROTECT, related_name="bots", verbose_name=_("Reddit app")
    )

    subreddits = ArrayField(
        models.CharField(max_length=25),
        verbose_name=_("subreddits"),
        help_text=_("Enter one name per line, or separate names by commas. “r/” is optional."),
    )
    listing = models.CharField(_("listing"), max_length=10, choices=Listing, default=Listing.NEW)
    search_query = models.CharField(
        _("search query"),
        max_length=512,
        blank=True,
        help_text=_("Only the listing “Search” uses the query. It follows Reddit's search syntax."),
    )
    comments = models.CharField(
        _("comments"),
        max_length=10,
        choices=Comments,
        default=Comments.NONE,
        help_text=_(
            "A full tree costs about one request per hundred comments of a matched post. "
            "The bot reads a tree again when it has grown."
        ),
    )
    item_limit = models.PositiveIntegerField(
        _("item limit"),
        default=LISTING_CAP,
        validators=[MinValueValidator(1), MaxValueValidator(LISTING_CAP)],
        help_text=_(
            "One session reads at most this many items of a listing. A session that stops at the "
            "limit, before it reaches known ground, records a gap."
        ),
    )

    include_terms = ArrayField(
        models.CharField(max_length=500),
        default=list,
        blank=True,
        verbose_name=_("include terms"),
        help_text=_(
            "Enter one term per line. An item matches if it contains any of the terms. Without "
            "terms, every item matches. “re:” before a term makes the term an RE2 pattern."
        ),
    )
    exclude_terms = ArrayField(
        models.CharField(max_length=500),
        default=list,
        blank=True,
        verbose_name=_("exclude terms"),
        help_text=_(
            "Enter one term per line. An item that contains any of the terms does not match."
        ),
    )
    match_in = ArrayField(
        models.CharField(max_length=10, choices=MatchIn),
        default=title_and_body,
        verbose_name=_("look in"),
    )
    case_sensitive = models.BooleanField(_("case sensitive"), default=False)
    whole_words = models.BooleanField(
        _("whole words"),
        default=True,
        help_text=_(
            "The term “cat” does not match “concatenate”. The option does not change patterns."
        ),
    )
    min_score = models.PositiveIntegerField(
        _("minimum score"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_(
            "An item is a match only if it reaches this score in time (by default, within 36 "
            "hours). Until then the item is pending."
        ),
    )
    min_comments = models.PositiveIntegerField(
        _("minimum comments"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_(
            "A post is a match only if it gets this many comments in time. The option does not "
            "apply to comments."
        ),
    )

    schedule = models.CharField(
        _("schedule"), max_length=10, choices=Schedule, default=Schedule.INTERVAL
    )
    every = models.PositiveIntegerField(_("every"), default=5, validators=[MinValueValidator(1)])
    period = models.CharField(_("period"), max_length=10, choices=Period, default=Period.MINUTES)
    crontab = models.CharField(
        _("crontab"),
        max_length=200,
        blank=True,
        help_text=_(
            "Enter minute, hour, day of month, month and day of week. “30 9 * * 1-5” means 09:30 "
            "on weekdays."
        ),
    )
    timezone = TimeZoneField(
        _("time zone"), default="UTC", help_text=_("The crontab's times are in this zone.")
    )

    is_active = models.BooleanField(
        _("active"),
        default=True,
        help_text=_("An inactive bot never collects, not even when somebody runs it."),
    )
    auto_scrape_enabled = models.BooleanField(
        _("on schedule"),
        default=True,
        help_text=_("A bot that is not on schedule is paused: it collects only on request."),
    )

    retention_days = models.PositiveIntegerField(
        _("keep content for"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_RETENTION_DAYS)],
        help_text=_(
            "Enter a number of days. If the number is empty or below CONTENT_RETENTION_DAYS, "
            "CONTENT_RETENTION_DAYS applies. If several bots watch a subreddit, the longest time "
            "applies."
        ),
    )

    # Written by collection at the end of each session, read by the lists, never edited.
    last_session_at = models.DateTimeField(_("last session"), null=True, editable=False)
    last_session_status = models.CharField(
        _("status of the last session"), max_length=20, blank=True, editable=False
    )
    last_session_summary = models.CharField(max_length=300, blank=True, editable=False)
    last_success_at = models.DateTimeField(null=True, editable=False)
    # Written by `bots.pauses`.
    failures_in_a_row = models.PositiveIntegerField(default=0, editable=False)
    paused_at = models.DateTimeField(_("paused"), null=True, editable=False)
    pause_cause = models.CharField(
        _("cause of the pause"),
        max_length=10,
        choices=PauseCause,
        blank=True,
        default="",
        editable=False,
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
        verbose_name = _("bot")
        verbose_name_plural = _("bots")
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["owner", "name"],
                name="bots_botconfig_name",
                violation_error_message=_(
                    "A bot of this owner already has this name. Enter another name."
                ),
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
        return choices.interval_in_words(self.every, self.period)

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
            faults["subreddits"] = gettext("Enter at least one subreddit.")
        if self.listing == self.Listing.SEARCH and not self.search_query.strip():
            faults["search_query"] = gettext(
                "The listing “Search” needs a query. Enter a query, or choose another listing."
            )
        if not self.match_in:
            faults["match_in"] = gettext("Choose at least one part of an item.")
        faults |= self._schedule_faults()
        if faults:
            raise ValidationError(faults)

    def _schedule_faults(self) -> dict[str, Any]:
        if self.schedule == self.Schedule.CRONTAB:
            if not self.crontab.strip():
                return {"crontab": gettext("Enter a crontab, for example “30 9 * * *”.")}
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
                "every": gettext(
                    "The interval “%(interval)s” is out of range. Choose an interval from "
                    "%(shortest)d seconds to %(longest)d days."
                )
                % {
                    "interval": self.timing,
                    "shortest": MIN_INTERVAL.seconds,
                    "longest": MAX_INTERVAL.days,
                }
            }
        return {}


FIELD_CLEANERS = {
    "subreddits": clean_subreddits,
    "include_terms": clean_terms,
    "exclude_terms": clean_terms,
}
