"""The progress of reading the comment trees of matched posts. It serves all bots: a tree is read once."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class CommentThread(models.Model):
    """The comment tree of one post: when to look at it, and the walk that reads it.

    It holds no text and no author, only Reddit's counts and the ids that are still to be asked for.
    """

    fullname = models.TextField(
        _("fullname"), primary_key=True, help_text=_("The fullname of the post.")
    )
    look_at = models.DateTimeField(
        _("next look"),
        null=True,
        help_text=_(
            "When Lurker next compares the number of comments. Empty if the post is too old for that."
        ),
    )
    looked_at = models.DateTimeField(_("last look"), null=True)
    failures = models.PositiveSmallIntegerField(
        _("failures"), default=0, help_text=_("How many reads of the tree have failed in a row.")
    )

    walk_began_at = models.DateTimeField(
        _("walk began at"),
        null=True,
        help_text=_("When the walk began that runs now or was interrupted."),
    )
    walk_requests = models.PositiveIntegerField(_("requests of the walk"), default=0)
    walk_reported = models.BigIntegerField(
        _("comments reported to the walk"),
        default=0,
        help_text=_("The post's number of comments, according to the first answer to the walk."),
    )
    walk_lost = models.PositiveIntegerField(
        _("comments not delivered"),
        default=0,
        help_text=_("The ids that Reddit's answers named repeatedly without the comments."),
    )

    read_at = models.DateTimeField(
        _("read at"), null=True, help_text=_("When the last complete walk ended.")
    )
    read_reported = models.BigIntegerField(
        _("comments reported"),
        null=True,
        help_text=_("The post's number of comments when the last complete walk began."),
    )
    read_stored = models.BigIntegerField(
        _("comments stored"),
        null=True,
        help_text=_("The comments of the post that were stored when the last complete walk ended."),
    )
    read_missing = models.PositiveIntegerField(
        _("comments missing"),
        default=0,
        help_text=_("The comments that the last complete walk asked for and did not get."),
    )

    class Meta:
        verbose_name = _("comment thread")
        verbose_name_plural = _("comment threads")
        ordering = ["look_at"]
        indexes = [
            models.Index(
                fields=["look_at"],
                condition=models.Q(look_at__isnull=False),
                name="scraping_thread_by_look",
            )
        ]

    def __str__(self) -> str:
        return self.fullname

    @property
    def unreadable(self) -> int:
        """The number of reported comments that the last complete walk did not get.

        Reddit counts removed comments, too, so this is rarely zero.
        """
        if self.read_reported is None or self.read_stored is None:
            return 0
        return self.read_reported - self.read_stored


class ThreadBranch(models.Model):
    """A part of a tree that a walk has heard of and not asked for yet."""

    thread = models.ForeignKey(
        CommentThread,
        on_delete=models.CASCADE,
        related_name="branches",
        verbose_name=_("comment thread"),
    )
    name = models.TextField(_("name"), help_text=_("The id of a comment, without its kind."))
    below = models.BooleanField(
        _("below"),
        help_text=_("Whether the walk knows the comment and asks only for the comments below it."),
    )

    class Meta:
        verbose_name = _("branch of a thread")
        verbose_name_plural = _("branches of threads")
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["thread", "name", "below"], name="scraping_branch_unique"
            )
        ]

    def __str__(self) -> str:
        return self.name
