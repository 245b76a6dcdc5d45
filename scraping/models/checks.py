from django.db import models
from django.utils.translation import gettext_lazy as _


class ItemCheck(models.Model):
    """The plan when Reddit is next asked whether an item still stands: a narrow row beside each item.

    Each check writes this row anew. If it were part of the item's own row, each check would write
    another version of a kilobyte or more, and an entry in every index of the table.
    """

    fullname = models.TextField(_("fullname"), primary_key=True)
    subreddit_id = models.BigIntegerField(
        _("subreddit"),
        help_text=_("The id of the item's subreddit; 0 if the item belongs to no subreddit."),
    )
    created_at = models.DateTimeField(
        _("created at"), help_text=_("When the item was created on Reddit.")
    )
    checked_at = models.DateTimeField(
        _("checked at"), help_text=_("When Reddit, or a dump, last showed the item.")
    )
    due_at = models.DateTimeField(_("due at"))
    is_refresh = models.BooleanField(
        _("refresh"),
        default=False,
        help_text=_("The next check is a refresh: it reads the score and edits of the item."),
    )
    missing_since = models.DateTimeField(
        _("missing since"),
        null=True,
        help_text=_(
            "An answer of Reddit left the item out at this time. If a later answer leaves it out "
            "too, the item is gone."
        ),
    )
    is_unreadable = models.BooleanField(
        _("unreadable"),
        default=False,
        help_text=_("The item cannot be checked, because its subreddit cannot be read."),
    )

    class Meta:
        verbose_name = _("check")
        verbose_name_plural = _("checks")
        indexes = [
            models.Index(
                fields=["is_refresh", "due_at", "subreddit_id"], name="scraping_check_due"
            ),
            models.Index(
                fields=["checked_at"],
                condition=models.Q(is_unreadable=False),
                name="scraping_check_oldest",
            ),
            models.Index(
                fields=["subreddit_id"],
                condition=models.Q(is_unreadable=True),
                name="scraping_check_unreadable",
            ),
        ]

    def __str__(self) -> str:
        return self.fullname
