"""Content by authors. In every column, NULL means that Reddit has not told us, "" means empty.

Texts are unbounded: titles of 27,719, bodies of 432,872 and URLs of 511,885 characters exist.
"""

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.utils.translation import gettext_lazy as _

from bots.models import BotConfig
from scraping.models.streams import Stream, Subreddit


class Content(models.Model):
    """The fields that posts and comments share."""

    class Removal(models.TextChoices):
        """Whether the item still stands on Reddit, according to its last known fields or to checks."""

        STANDING = "", _("Standing")
        DELETED = "deleted", _("Deleted by its author")
        REMOVED = "removed", _("Removed by moderators or Reddit")
        GONE = "gone", _("Not on Reddit any more")

    fullname = models.TextField(
        _("fullname"),
        primary_key=True,
        help_text=_("Reddit's name of the item: its kind and its id."),
    )
    subreddit = models.ForeignKey(
        Subreddit,
        null=True,
        on_delete=models.PROTECT,
        related_name="%(class)ss",
        db_index=False,  # the index by subreddit and time serves
        verbose_name=_("subreddit"),
        help_text=_("Empty for an advertisement, because it belongs to no subreddit."),
    )
    author = models.TextField(_("author"), null=True)
    author_fullname = models.TextField(_("author's fullname"), null=True)
    author_flair_text = models.TextField(_("author's flair"), null=True)
    created_at = models.DateTimeField(
        _("created at"), help_text=_("When the item was created on Reddit.")
    )
    edited = models.BooleanField(_("edited"), null=True)
    edited_at = models.DateTimeField(
        _("edited at"),
        null=True,
        help_text=_("Reddit does not tell the time of edits of its early years."),
    )
    score = models.BigIntegerField(_("score"), null=True)
    score_hidden = models.BooleanField(
        _("score hidden"),
        null=True,
        help_text=_("While Reddit hides the score, the stored score means nothing."),
    )
    distinguished = models.TextField(
        _("author's role"),
        null=True,
        help_text=_("Set if the author marked the item as written by a moderator or by Reddit."),
    )
    stickied = models.BooleanField(_("pinned"), null=True)
    locked = models.BooleanField(_("locked"), null=True)
    archived = models.BooleanField(_("archived"), null=True)
    permalink = models.TextField(_("path on Reddit"), null=True)
    removal = models.CharField(_("state on Reddit"), max_length=10, choices=Removal, blank=True)
    extra = models.JSONField(
        _("other fields"),
        default=dict,
        help_text=_("The fields that Reddit sent and that have no column of their own."),
    )

    first_seen_at = models.DateTimeField(
        _("first seen at"), help_text=_("When the item was first stored.")
    )
    refreshed_at = models.DateTimeField(
        _("changed at"), help_text=_("When the stored values last changed.")
    )
    retrieved_at = models.DateTimeField(
        _("read for the dump at"),
        null=True,
        help_text=_(
            "When the makers of the dump read the item from Reddit. Empty for an item that Reddit "
            "itself has shown to Lurker."
        ),
    )

    class Meta:
        abstract = True


class RedditPost(Content):
    """A post (t3)."""

    title = models.TextField(_("title"))
    selftext = models.TextField(_("text"), null=True)
    url = models.TextField(_("link"), null=True)
    domain = models.TextField(_("domain of the link"), null=True)
    link_flair_text = models.TextField(_("post's flair"), null=True)
    num_comments = models.BigIntegerField(
        _("number of comments"), null=True, help_text=_("As Reddit counts the comments.")
    )
    num_crossposts = models.BigIntegerField(_("number of crossposts"), null=True)
    upvote_ratio = models.FloatField(_("share of upvotes"), null=True)
    over_18 = models.BooleanField(_("for adults only"), null=True)
    spoiler = models.BooleanField(_("spoiler"), null=True)
    is_self = models.BooleanField(
        _("text post"), null=True, help_text=_("A text post has a text of its own and no link.")
    )
    is_video = models.BooleanField(_("video"), null=True)
    quarantine = models.BooleanField(_("quarantined"), null=True)
    post_hint = models.TextField(_("type of content"), null=True)
    crosspost_parent = models.TextField(
        _("crosspost of"), null=True, help_text=_("The fullname of the original post.")
    )
    removed_by_category = models.TextField(_("removed by"), null=True)

    class Meta:
        verbose_name = _("post")
        verbose_name_plural = _("posts")
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["subreddit", "-created_at"], name="scraping_post_by_time"),
            BrinIndex(fields=["first_seen_at"], name="scraping_post_first_seen"),
        ]

    def __str__(self) -> str:
        return self.title[:100]


class RedditComment(Content):
    """A comment (t1)."""

    body = models.TextField(_("text"))
    link_fullname = models.TextField(
        _("post"), null=True, help_text=_("The fullname of the post that the comment belongs to.")
    )
    parent_fullname = models.TextField(
        _("answers"),
        null=True,
        help_text=_("The fullname of the post or comment that the comment answers."),
    )
    is_submitter = models.BooleanField(_("by the author of the post"), null=True)
    controversiality = models.BigIntegerField(
        _("controversial"),
        null=True,
        help_text=_("1 if Reddit counts the comment as controversial, otherwise 0."),
    )

    class Meta:
        verbose_name = _("comment")
        verbose_name_plural = _("comments")
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

        MATCHED = "matched", _("Match")
        PENDING = "pending", _("Waits for its score")
        MISSED = "missed", _("Fell short")
        # An edit removed the terms after somebody was notified of the match.
        LAPSED = "lapsed", _("No longer matches")

    bot = models.ForeignKey(
        BotConfig, on_delete=models.CASCADE, related_name="items", verbose_name=_("bot")
    )
    fullname = models.TextField(_("fullname"))
    matched_terms = models.JSONField(_("terms found"), default=list)
    matched_at = models.DateTimeField(_("matched at"))
    state = models.CharField(
        _("state"), max_length=7, choices=State, default=State.MATCHED, db_default=State.MATCHED
    )
    # When somebody was first notified of the match. After that, the match is kept when it ends.
    notified_at = models.DateTimeField(_("notified at"), null=True, editable=False)

    class Meta:
        verbose_name = _("match")
        verbose_name_plural = _("matches")
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
