"""The progress of reading the comment trees of matched posts. It serves all bots: a tree is read once."""

from django.db import models


class CommentThread(models.Model):
    """The comment tree of one post: when to look at it, and the walk that reads it.

    It holds no text and no author, only Reddit's counts and the ids that are still to be asked for.
    """

    fullname = models.TextField(primary_key=True, help_text="The post's.")
    look_at = models.DateTimeField(
        null=True, help_text="When its counts are compared next; empty: not any more, it is old."
    )
    looked_at = models.DateTimeField(null=True)
    failures = models.PositiveSmallIntegerField(
        default=0, help_text="How often in a row it could not be read."
    )

    walk_began_at = models.DateTimeField(
        null=True, help_text="Of the walk that is under way or was interrupted."
    )
    walk_requests = models.PositiveIntegerField(default=0)
    walk_reported = models.BigIntegerField(
        default=0, help_text="The post's number of comments as the walk's first answer said."
    )
    walk_lost = models.PositiveIntegerField(
        default=0, help_text="Ids that answers named again and again without giving them."
    )

    read_at = models.DateTimeField(null=True, help_text="When a walk ended last.")
    read_reported = models.BigIntegerField(null=True, help_text="As of when that walk began.")
    read_stored = models.BigIntegerField(
        null=True, help_text="Comments that were stored when it ended."
    )
    read_missing = models.PositiveIntegerField(
        default=0, help_text="Ids that it named and could not get."
    )

    class Meta:
        verbose_name = "comment thread"
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

    thread = models.ForeignKey(CommentThread, on_delete=models.CASCADE, related_name="branches")
    name = models.TextField(help_text="The id of a comment, without its kind.")
    below = models.BooleanField(
        help_text="Whether the comment is known and only what hangs below it is wanted."
    )

    class Meta:
        verbose_name = "branch of a thread"
        verbose_name_plural = "branches of threads"
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["thread", "name", "below"], name="scraping_branch_unique"
            )
        ]

    def __str__(self) -> str:
        return self.name
