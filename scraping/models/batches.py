from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from jobs.models import Batch


class ScrapeBatch(models.Model):
    """A batch of bots that were run together: who asked for it, and the result of all its sessions."""

    batch = models.OneToOneField(
        Batch,
        primary_key=True,
        on_delete=models.CASCADE,
        related_name="scrape",
        verbose_name=_("batch"),
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="scrape_batches",
        verbose_name=_("owner"),
        help_text=_(
            "The user who requested the batch. Empty if a command or a schedule requested it."
        ),
    )
    summary = models.JSONField(
        _("summary"),
        null=True,
        help_text=_(
            "The number of sessions by status, and the sums of their counts. Lurker writes it when "
            "all sessions have ended."
        ),
    )

    class Meta:
        verbose_name = _("batch of sessions")
        verbose_name_plural = _("batches of sessions")
        ordering = ["-batch"]

    def __str__(self) -> str:
        return self.batch.name
