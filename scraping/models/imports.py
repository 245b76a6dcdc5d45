from django.db import models
from django.utils.translation import gettext_lazy as _


class DumpImport(models.Model):
    """The progress of a dump's import, committed together with the imported items."""

    class State(models.TextChoices):
        """The state of the import. Unless it is `finished`, the next import continues where it stopped."""

        RUNNING = "running", _("Running or interrupted")
        TRUNCATED = (
            "truncated",
            _("The file is cut off or damaged; the readable part is stored"),
        )
        FINISHED = "finished", _("Finished")

    path = models.TextField(_("path"))
    size = models.BigIntegerField(_("size"), help_text=_("The size of the file in bytes."))
    head_digest = models.CharField(
        _("digest"),
        max_length=64,
        help_text=_("The SHA-256 digest of the file's first mebibyte, as it lies on disk."),
    )
    filters = models.JSONField(
        _("filters"),
        default=dict,
        help_text=_("The subreddits and times that the import stores. It leaves out other items."),
    )

    state = models.CharField(_("state"), max_length=10, choices=State, default=State.RUNNING)
    position = models.BigIntegerField(
        _("position"), default=0, help_text=_("The decompressed bytes that are done.")
    )
    lines = models.BigIntegerField(_("lines"), default=0)
    posts = models.BigIntegerField(_("posts"), default=0)
    comments = models.BigIntegerField(_("comments"), default=0)
    new = models.BigIntegerField(_("new"), default=0)
    updated = models.BigIntegerField(_("updated"), default=0)
    unchanged = models.BigIntegerField(_("unchanged"), default=0)
    filtered = models.BigIntegerField(
        _("filtered"), default=0, help_text=_("The items of other subreddits or times.")
    )
    deleted = models.BigIntegerField(
        _("deleted"),
        default=0,
        help_text=_(
            "The items that are deleted or removed. The import stores them empty or leaves them out."
        ),
    )
    rejected = models.BigIntegerField(
        _("rejected"), default=0, help_text=_("The lines that hold no item.")
    )
    reject_bytes = models.BigIntegerField(
        _("length of the reject file"),
        default=0,
        help_text=_("In bytes. The next import cuts off anything beyond this length."),
    )
    encoded_items = models.BigIntegerField(
        _("encoded items"),
        default=0,
        help_text=_("The items whose texts hold HTML entities and no bare <, > or &."),
    )
    plain_items = models.BigIntegerField(
        _("plain items"), default=0, help_text=_("The items whose texts hold a bare <, > or &.")
    )
    seen_streams = models.JSONField(
        _("streams with open gaps"),
        default=list,
        help_text=_(
            "The streams with open gaps for which the file has items, as subreddit/posts or "
            "subreddit/comments."
        ),
    )

    started_at = models.DateTimeField(_("started at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)
    finished_at = models.DateTimeField(_("finished at"), null=True)

    class Meta:
        verbose_name = _("dump import")
        verbose_name_plural = _("dump imports")
        ordering = ["-started_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["path", "size", "head_digest", "filters"], name="scraping_import_identity"
            )
        ]

    def __str__(self) -> str:
        return self.path
