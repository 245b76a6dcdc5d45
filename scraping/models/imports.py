from django.db import models


class DumpImport(models.Model):
    """The progress of a dump's import, committed together with the imported items."""

    class State(models.TextChoices):
        """The state of the import. Unless it is `finished`, the next import continues where it stopped."""

        RUNNING = "running", "Running or interrupted"
        TRUNCATED = "truncated", "The file is cut off or damaged; what could be read is stored"
        FINISHED = "finished", "Finished"

    path = models.TextField()
    size = models.BigIntegerField(help_text="Of the file, in bytes.")
    head_digest = models.CharField(
        max_length=64, help_text="SHA-256 of the file's first mebibyte, as it lies on disk."
    )
    filters = models.JSONField(
        default=dict, help_text="Subreddits and times that were asked for; others are not stored."
    )

    state = models.CharField(max_length=10, choices=State, default=State.RUNNING)
    position = models.BigIntegerField(default=0, help_text="Decompressed bytes that are done.")
    lines = models.BigIntegerField(default=0)
    posts = models.BigIntegerField(default=0)
    comments = models.BigIntegerField(default=0)
    new = models.BigIntegerField(default=0)
    updated = models.BigIntegerField(default=0)
    unchanged = models.BigIntegerField(default=0)
    filtered = models.BigIntegerField(default=0, help_text="Of other subreddits or times.")
    deleted = models.BigIntegerField(
        default=0, help_text="Stored empty or left out, because they are deleted or removed."
    )
    rejected = models.BigIntegerField(default=0)
    reject_bytes = models.BigIntegerField(
        default=0, help_text="Length of the reject file; what is beyond is of no committed batch."
    )
    encoded_items = models.BigIntegerField(
        default=0, help_text="Whose texts hold HTML entities and no bare <, > or &."
    )
    plain_items = models.BigIntegerField(default=0, help_text="Whose texts hold bare <, > or &.")
    seen_streams = models.JSONField(
        default=list,
        help_text="Those with open gaps of which it has items: subreddit/posts or subreddit/comments.",
    )

    started_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "dump import"
        ordering = ["-started_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["path", "size", "head_digest", "filters"], name="scraping_import_identity"
            )
        ]

    def __str__(self) -> str:
        return self.path
