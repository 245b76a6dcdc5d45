from datetime import timedelta

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _


class DeletionReceipt(models.Model):
    """The proof of a purge: why and when. It holds no content and no author of the purged item."""

    class Reason(models.TextChoices):
        """The event on Reddit that led to the purge."""

        DELETED = "deleted", _("Deleted by its author")
        REMOVED = "removed", _("Removed by moderators or Reddit")
        GONE = "gone", _("Not on Reddit any more")
        ACCOUNT = "account", _("Its author's account was deleted")

    class Kind(models.TextChoices):
        """The kind of item."""

        POST = "post", _("Post")
        COMMENT = "comment", _("Comment")

    fullname = models.TextField(_("fullname"))
    kind = models.CharField(_("kind"), max_length=7, choices=Kind)
    reason = models.CharField(_("reason"), max_length=7, choices=Reason)
    seen_at = models.DateTimeField(
        _("first seen"),
        help_text=_("When Reddit first showed the item as deleted, or left the item out."),
    )
    purged_at = models.DateTimeField(_("purged at"))
    parts = ArrayField(
        models.TextField(),
        verbose_name=_("purged parts"),
        help_text=_(
            "The parts that were purged: title, body, url, flair, media, author, numbers, matches or "
            "history."
        ),
    )

    class Meta:
        verbose_name = _("deletion receipt")
        verbose_name_plural = _("deletion receipts")
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
