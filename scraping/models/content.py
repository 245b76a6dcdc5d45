"""Content by authors. In every column, NULL means that Reddit has not told us, "" means empty.

Texts are unbounded: titles of 27,719, bodies of 432,872 and URLs of 511,885 characters exist.
"""

from django.contrib.postgres.indexes import BrinIndex
from django.db import models

from bots.models import BotConfig
from scraping.models.streams import Stream, Subreddit


class Content(models.Model):
    """The fields that posts and comments share."""

    class Removal(models.TextChoices):
        """Whether the item still stands on Reddit, according to its last known fields or to checks."""

        STANDING = "", "Standing"
        DELETED = "deleted", "Deleted by its author"
        REMOVED = "removed", "Removed by moderators or Reddit"
        GONE = "gone", "Not on Reddit any more"

    fullname = models.TextField(primary_key=True)
    subreddit = models.ForeignKey(
        Subreddit,
        null=True,
        on_delete=models.PROTECT,
        related_name="%(class)ss",
        db_index=False,  # the index by subreddit and time serves
        help_text="Empty for advertisements, which belong to none.",
    )
    author = models.TextField(null=True)
    author_fullname = models.TextField(null=True)
    author_flair_text = models.TextField(null=True)
    created_at = models.DateTimeField()
    edited = models.BooleanField(null=True)
    edited_at = models.DateTimeField(null=True, help_text="Unknown for edits of the early years.")
    score = models.BigIntegerField(null=True)
    score_hidden = models.BooleanField(
        null=True, help_text="While hidden, the score means nothing."
    )
    distinguished = models.TextField(null=True)
    stickied = models.BooleanField(null=True)
    locked = models.BooleanField(null=True)
    archived = models.BooleanField(null=True)
    permalink = models.TextField(null=True)
    removal = models.CharField(max_length=10, choices=Removal, blank=True)
    extra = models.JSONField(default=dict)

    first_seen_at = models.DateTimeField()
    refreshed_at = models.DateTimeField(help_text="When the stored values last changed.")
    retrieved_at = models.DateTimeField(
        null=True,
        help_text="When the makers of the dump that it comes from read it. Empty as soon as Reddit "
        "itself has told us.",
    )

    class Meta:
        abstract = True


class RedditPost(Content):
    """A post (t3)."""

    title = models.TextField()
    selftext = models.TextField(null=True)
    url = models.TextField(null=True)
    domain = models.TextField(null=True)
    link_flair_text = models.TextField(null=True)
    num_comments = models.BigIntegerField(null=True)
    num_crossposts = models.BigIntegerField(null=True)
    upvote_ratio = models.FloatField(null=True)
    over_18 = models.BooleanField(null=True)
    spoiler = models.BooleanField(null=True)
    is_self = models.BooleanField(null=True)
    is_video = models.BooleanField(null=True)
    quarantine = models.BooleanField(null=True)
    post_hint = models.TextField(null=True)
    crosspost_parent = models.TextField(null=True)
    removed_by_category = models.TextField(null=True)

    class Meta:
        verbose_name = "post"
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["subreddit", "-created_at"], name="scraping_post_by_time"),
            BrinIndex(fields=["first_seen_at"], name="scraping_post_first_seen"),
        ]

    def __str__(self) -> str:
        return self.title[:100]


class RedditComment(Content):
    """A comment (t1)."""

    body = models.TextField()
    link_fullname = models.TextField(null=True, help_text="The post it belongs to.")
    parent_fullname = models.TextField(null=True, help_text="The post or comment it answers.")
    is_submitter = models.BooleanField(null=True)
    controversiality = models.BigIntegerField(null=True)

    class Meta:
        verbose_name = "comment"
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["subreddit", "-created_at"], name="scraping_comment_by_time"),
            models.Index(fields=["link_fullname"], name="scraping_comment_by_post"),
            BrinIndex(fields=["first_seen_at"], name="scraping_comment_first_seen"),
        ]

    def __str__(self) -> str:
        return self.body[:100]


class BotItem(models.Model):
    """An item that matches what a bot looks for."""

    class State(models.TextChoices):
        """Whether the item has the score and comments that the bot asks for, if the bot asks for any."""

        MATCHED = "matched", "Match"
        PENDING = "pending", "Waits for its score"
        MISSED = "missed", "Fell short"
        # An edit removed the terms after somebody was notified of the match.
        LAPSED = "lapsed", "No longer matches"

    bot = models.ForeignKey(BotConfig, on_delete=models.CASCADE, related_name="items")
    fullname = models.TextField()
    matched_terms = models.JSONField(default=list)
    matched_at = models.DateTimeField()
    state = models.CharField(
        max_length=7, choices=State, default=State.MATCHED, db_default=State.MATCHED
    )
    # When somebody was first notified of the match. After that, the match is kept when it ends.
    notified_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = "matched item"
        ordering = ["-matched_at"]
        constraints = [
            models.UniqueConstraint(fields=["bot", "fullname"], name="scraping_botitem_unique")
        ]
        indexes = [
            models.Index(fields=["fullname"], name="scraping_botitem_fullname"),
            models.Index(fields=["bot", "-matched_at"], name="scraping_botitem_by_time"),
            models.Index(
                fields=["fullname"],
                condition=models.Q(state="pending"),
                name="scraping_botitem_pending",
            ),
        ]

    def __str__(self) -> str:
        return self.fullname


def item_model(kind: str) -> type[RedditPost] | type[RedditComment]:
    """Return the model of the items in a stream of this kind."""
    return RedditComment if kind == Stream.Kind.COMMENTS else RedditPost
