from datetime import timedelta

from django.contrib.postgres.fields import ArrayField
from django.db import models


class DeletionReceipt(models.Model):
    """The proof of a purge: why and when. It holds no content and no author of the purged item."""

    class Reason(models.TextChoices):
        """The event on Reddit that led to the purge."""

        DELETED = "deleted", "Deleted by its author"
        REMOVED = "removed", "Removed by moderators or Reddit"
        GONE = "gone", "Not on Reddit any more"
        ACCOUNT = "account", "Its author's account was deleted"

    class Kind(models.TextChoices):
        """The kind of item."""

        POST = "post", "Post"
        COMMENT = "comment", "Comment"

    fullname = models.TextField()
    kind = models.CharField(max_length=7, choices=Kind)
    reason = models.CharField(max_length=7, choices=Reason)
    seen_at = models.DateTimeField(
        "first seen", help_text="When Reddit first showed it as deleted, or left it out."
    )
    purged_at = models.DateTimeField()
    parts = ArrayField(
        models.TextField(),
        help_text="What was purged of title, body, url, flair, media, author, numbers, matches and "
        "history.",
    )

    class Meta:
        verbose_name = "deletion receipt"
        ordering = ["-purged_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["fullname", "reason", "seen_at"], name="scraping_receipt_unique"
            )
        ]
        indexes = [models.Index(fields=["-purged_at", "-id"], name="scraping_receipt_by_time")]

    def __str__(self) -> str:
        return f"{self.fullname} ({self.get_reason_display()})"

    @property
    def took(self) -> timedelta:
        """The time from when the item was first seen as gone to the purge."""
        return self.purged_at - self.seen_at
