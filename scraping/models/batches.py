from django.conf import settings
from django.db import models

from jobs.models import Batch


class ScrapeBatch(models.Model):
    """A batch of bots that were run together: who asked for it, and the result of all its sessions."""

    batch = models.OneToOneField(
        Batch, primary_key=True, on_delete=models.CASCADE, related_name="scrape"
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="scrape_batches",
        help_text="Who asked for it; empty for a command or a schedule.",
    )
    summary = models.JSONField(
        null=True,
        help_text="Sessions by status, and their counts added up. Written once, at the end.",
    )

    class Meta:
        verbose_name = "batch of sessions"
        verbose_name_plural = "batches of sessions"
        ordering = ["-batch"]

    def __str__(self) -> str:
        return self.batch.name
