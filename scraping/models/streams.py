from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

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

        OK = "ok", "OK"
        PRIVATE = "private", "Private"
        QUARANTINED = "quarantined", "Quarantined"
        GATED = "gated", "Gated"
        BANNED = "banned", "Banned"
        MISSING = "missing", "Missing"
        RENAMED = "renamed", "Renamed"
        UNKNOWN = "unknown", "Not read yet"

    # A subreddit in one of these states is fetched: it can be read, or nobody has tried yet.
    READABLE = (Status.OK, Status.UNKNOWN)

    name = models.TextField(help_text="In the case in which Reddit shows it.")
    reddit_id = models.TextField(
        "Reddit id", null=True, help_text="Its fullname, t5_…, which survives a renaming."
    )
    status = models.CharField(max_length=20, choices=Status, default=Status.UNKNOWN)
    status_since = models.DateTimeField(null=True)
    probed_at = models.DateTimeField(null=True, help_text="When Reddit was last asked about it.")
    renamed_to = models.TextField(
        blank=True, db_default="", help_text="The name under which Reddit shows it now."
    )
    content_since = models.DateTimeField(
        null=True, help_text="What was written before was deleted by retention, and stays away."
    )
    first_seen_at = models.DateTimeField(auto_now_add=True)

    objects = SubredditQuerySet.as_manager()

    class Meta:
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

        POSTS = "posts", "Posts"
        COMMENTS = "comments", "Comments"

    subreddit = models.ForeignKey(Subreddit, on_delete=models.CASCADE, related_name="streams")
    kind = models.CharField(max_length=10, choices=Kind)
    complete_since = models.DateTimeField(
        null=True, help_text="Everything from here to the watermark is stored or stands in a gap."
    )
    watermark = models.DateTimeField(
        null=True, help_text="Up to this moment, by Reddit's clock, the stream has been read."
    )
    last_fetch_at = models.DateTimeField(
        "last read",
        null=True,
        help_text="When the last read that came to its end began. A failed one does not count.",
    )
    previous_fetch_at = models.DateTimeField(
        "read before", null=True, help_text="The read before the last one."
    )
    arrivals_per_hour = models.FloatField(null=True, help_text="Learned; of late, all in all.")
    arrivals_by_hour = ArrayField(
        models.FloatField(null=True),
        null=True,
        size=24,
        help_text="Items an hour for each hour of the day, in UTC; none for one not known yet.",
    )
    learned_hours = models.FloatField(
        default=0,
        help_text="From how much of Reddit's time the rates were learned, up to 72 hours.",
    )
    poll_by = models.DateTimeField(
        "read again by",
        null=True,
        help_text="When half of what Reddit lists of it is expected to be new. It is read then, "
        "however long its bots' intervals are.",
    )
    deep_read_at = models.DateTimeField(
        null=True,
        help_text="When it was last read as deep as a deep walk reads, late approvals and all.",
    )
    deep_read_since = models.DateTimeField(
        null=True, help_text="How far back that walk has read it, by Reddit's clock."
    )

    objects = StreamQuerySet.as_manager()

    class Meta:
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

        LISTING_CAP = "listing_cap", "Reddit lists no further back"
        ITEM_LIMIT = "item_limit", "The bot's limit of items was reached"
        BROKEN_LISTING = "broken_listing", "The listing led back to itself"
        LISTING_END = "listing_end", "The listing ended before what is known"
        CLOSED = "closed", "The subreddit had been closed without a word"

    stream = models.ForeignKey(Stream, on_delete=models.CASCADE, related_name="gaps")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    reason = models.CharField(max_length=20, choices=Reason)
    unread_since = models.DateTimeField(
        null=True, help_text="When the stream had last been read before: the length of an outage."
    )
    found_at = models.DateTimeField(auto_now_add=True)
    searched_at = models.DateTimeField(
        null=True, help_text="When Reddit was searched for its posts, whatever came of that."
    )
    closed_at = models.DateTimeField(null=True)
    closed_by = models.TextField(blank=True)

    class Meta:
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
        return f"{self.stream}: {self.starts_at:%Y-%m-%d %H:%M} to {self.ends_at:%Y-%m-%d %H:%M}"

    @property
    def explanation(self) -> str:
        """Why the gap was not read, and since when the stream had not been read before."""
        if self.unread_since is None:
            return self.get_reason_display()
        return f"{self.get_reason_display()}; unread since {self.unread_since:%Y-%m-%d %H:%M}"
