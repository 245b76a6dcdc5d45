from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

# The next probe of an unreadable subreddit comes after as long as it has been unreadable, within these
# limits.
FIRST_PAUSE = timedelta(hours=1)
LONGEST_PAUSE = timedelta(hours=24)
# The pause before a probe of a subreddit that can be read, but shows nothing new.
QUIET_PAUSE = timedelta(minutes=30)


class SubredditQuerySet(models.QuerySet["Subreddit"]):
    """Subreddits by name in any case, and by whether they can be read."""

    def named(self, names: Iterable[str]) -> Self:
        """Return subreddits with these names, in any case."""
        lower = {name.lower() for name in names}
        return self.alias(lower_name=Lower("name")).filter(lower_name__in=lower)

    def readable(self) -> Self:
        """Return subreddits that can be read, or that nobody has tried to read yet."""
        return self.filter(status__in=Subreddit.READABLE)

    def unreadable(self) -> Self:
        """Return subreddits that cannot be read, as Reddit last said."""
        return self.exclude(status__in=Subreddit.READABLE)


class StreamQuerySet(models.QuerySet["Stream"]):
    """Streams by the name of their subreddit in any case, and by whether the subreddit can be read."""

    def named(self, names: Iterable[str]) -> models.QuerySet["Stream"]:
        """Return streams of subreddits with these names, in any case."""
        lower = {name.lower() for name in names}
        return self.alias(lower_name=Lower("subreddit__name")).filter(lower_name__in=lower)

    def readable(self) -> Self:
        """Return streams of subreddits that can be read, or that nobody has tried to read yet."""
        return self.filter(subreddit__status__in=Subreddit.READABLE)


class Subreddit(models.Model):
    """A subreddit that is collected, or that a stored item belongs to."""

    class Status(models.TextChoices):
        """Whether the subreddit can be read, as Reddit last said."""

        OK = "ok", _("OK")
        PRIVATE = "private", _("Private")
        QUARANTINED = "quarantined", _("Quarantined")
        GATED = "gated", _("Gated")
        BANNED = "banned", _("Banned")
        MISSING = "missing", _("Missing")
        RENAMED = "renamed", _("Renamed")
        UNKNOWN = "unknown", _("Not read yet")

    # A subreddit in one of these states is fetched: it can be read, or nobody has tried yet.
    READABLE = (Status.OK, Status.UNKNOWN)

    name = models.TextField(_("name"), help_text=_("The name as Reddit writes it."))
    reddit_id = models.TextField(
        _("Reddit id"),
        null=True,
        help_text=_(
            "The fullname of the subreddit, such as t5_2qh0y. It stays when the subreddit is renamed."
        ),
    )
    status = models.CharField(_("status"), max_length=20, choices=Status, default=Status.UNKNOWN)
    status_since = models.DateTimeField(_("status since"), null=True)
    probed_at = models.DateTimeField(
        _("probed at"),
        null=True,
        help_text=_("When Lurker last asked Reddit whether the subreddit can be read."),
    )
    renamed_to = models.TextField(
        _("renamed to"),
        blank=True,
        db_default="",
        help_text=_("The name under which Reddit shows the subreddit now."),
    )
    content_since = models.DateTimeField(
        _("content since"),
        null=True,
        help_text=_(
            "Retention has deleted the older items of the subreddit. Lurker does not store them again."
        ),
    )
    first_seen_at = models.DateTimeField(_("first seen at"), auto_now_add=True)

    objects = SubredditQuerySet.as_manager()

    class Meta:
        verbose_name = _("subreddit")
        verbose_name_plural = _("subreddits")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(Lower("name"), name="scraping_subreddit_name")]

    def __str__(self) -> str:
        return f"r/{self.name}"

    @property
    def is_readable(self) -> bool:
        """Whether we fetch the subreddit: it can be read, or nobody has tried yet."""
        return self.status in self.READABLE

    @property
    def next_probe_at(self) -> datetime | None:
        """When to ask Reddit next whether the subreddit can be read; None: now, nobody has asked yet."""
        if self.probed_at is None:
            return None
        if self.is_readable:
            return self.probed_at + QUIET_PAUSE
        lasted = self.probed_at - (self.status_since or self.probed_at)
        return self.probed_at + min(max(lasted, FIRST_PAUSE), LONGEST_PAUSE)

    @property
    def probe_is_due(self) -> bool:
        """Whether the next probe is due."""
        at = self.next_probe_at
        return at is None or at <= timezone.now()


class Stream(models.Model):
    """The posts or the comments of a subreddit, collected once for all bots."""

    class Kind(models.TextChoices):
        """The kind of items in the stream."""

        POSTS = "posts", _("Posts")
        COMMENTS = "comments", _("Comments")

    subreddit = models.ForeignKey(
        Subreddit,
        on_delete=models.CASCADE,
        related_name="streams",
        verbose_name=_("subreddit"),
    )
    kind = models.CharField(_("kind"), max_length=10, choices=Kind)
    complete_since = models.DateTimeField(
        _("complete since"),
        null=True,
        help_text=_(
            "Every item from this time to the watermark is stored, or lies in a gap of the stream."
        ),
    )
    watermark = models.DateTimeField(
        _("watermark"),
        null=True,
        help_text=_("Lurker has read the stream up to this time of Reddit's clock."),
    )
    last_fetch_at = models.DateTimeField(
        _("last read"),
        null=True,
        help_text=_("When the last successful read began. A failed read does not count."),
    )
    previous_fetch_at = models.DateTimeField(
        _("read before"),
        null=True,
        help_text=_("When the successful read before the last read began."),
    )
    arrivals_per_hour = models.FloatField(
        _("items an hour"),
        null=True,
        help_text=_("The average rate of new items, learned from recent reads."),
    )
    arrivals_by_hour = ArrayField(
        models.FloatField(null=True),
        verbose_name=_("items an hour, by hour of the day"),
        null=True,
        size=24,
        help_text=_("One rate for each hour of the day in UTC. Empty for an hour without a rate."),
    )
    learned_hours = models.FloatField(
        _("learned hours"),
        default=0,
        help_text=_("The hours from which the rates were learned, at most 72."),
    )
    poll_by = models.DateTimeField(
        _("read again by"),
        null=True,
        help_text=_(
            "Half of the stream's listing is expected to be new at this time. Lurker reads the stream "
            "by then, even if the intervals of its bots are longer."
        ),
    )
    deep_read_at = models.DateTimeField(
        _("last deep read"),
        null=True,
        help_text=_("When Lurker last read the stream as far down as a deep walk reads."),
    )
    deep_read_since = models.DateTimeField(
        _("deep read down to"),
        null=True,
        help_text=_("The last deep read reached this time of Reddit's clock."),
    )

    objects = StreamQuerySet.as_manager()

    class Meta:
        verbose_name = _("stream")
        verbose_name_plural = _("streams")
        ordering = ["subreddit__name", "kind"]
        constraints = [
            models.UniqueConstraint(fields=["subreddit", "kind"], name="scraping_stream_unique")
        ]

    def __str__(self) -> str:
        return f"{self.subreddit} {self.kind}"


class Gap(models.Model):
    """A span of a stream that a fetch did not reach, so that its items may not be stored.

    The ledger writes gaps. `gaps.close` closes them, and retention closes gaps that are older than its
    border. If only a part of a gap was read later, `gaps.close` narrows or splits the gap: closed parts
    and open parts are separate rows.
    """

    class Reason(models.TextChoices):
        """Why the fetch stopped before known ground."""

        LISTING_CAP = "listing_cap", _("Reddit lists no further back")
        ITEM_LIMIT = "item_limit", _("The bot's limit of items was reached")
        BROKEN_LISTING = "broken_listing", _("The listing repeated itself")
        LISTING_END = "listing_end", _("The listing ended above known items")
        CLOSED = "closed", _("The subreddit was closed, and Reddit did not report it")

    stream = models.ForeignKey(
        Stream, on_delete=models.CASCADE, related_name="gaps", verbose_name=_("stream")
    )
    starts_at = models.DateTimeField(_("starts at"))
    ends_at = models.DateTimeField(_("ends at"))
    reason = models.CharField(_("reason"), max_length=20, choices=Reason)
    unread_since = models.DateTimeField(
        _("unread since"),
        null=True,
        help_text=_("When Lurker had last read the stream before it found the gap."),
    )
    found_at = models.DateTimeField(_("found at"), auto_now_add=True)
    searched_at = models.DateTimeField(
        _("searched at"),
        null=True,
        help_text=_(
            "When Lurker searched Reddit for the posts in the gap, with or without success."
        ),
    )
    closed_at = models.DateTimeField(_("closed at"), null=True)
    closed_by = models.TextField(_("closed by"), blank=True)

    class Meta:
        verbose_name = _("gap")
        verbose_name_plural = _("gaps")
        ordering = ["-ends_at"]
        indexes = [
            models.Index(fields=["-ends_at"], name="scraping_gap_by_time"),
            models.Index(fields=["reason", "-ends_at"], name="scraping_gap_by_reason"),
            models.Index(
                fields=["stream", "starts_at"],
                condition=models.Q(closed_at=None),
                name="scraping_gap_open",
            ),
            models.Index(
                fields=["-ends_at"],
                condition=models.Q(closed_at=None),
                name="scraping_gap_open_by_time",
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(starts_at__lt=models.F("ends_at")),
                name="scraping_gap_has_length",
            )
        ]

    def __str__(self) -> str:
        return gettext("%(stream)s: %(start)s to %(end)s") % {
            "stream": self.stream,
            "start": f"{self.starts_at:%Y-%m-%d %H:%M}",
            "end": f"{self.ends_at:%Y-%m-%d %H:%M}",
        }

    @property
    def explanation(self) -> str:
        """Why the gap was not read, and since when the stream had not been read before."""
        if self.unread_since is None:
            return self.get_reason_display()
        return gettext("%(reason)s; unread since %(time)s") % {
            "reason": self.get_reason_display(),
            "time": f"{self.unread_since:%Y-%m-%d %H:%M}",
        }
