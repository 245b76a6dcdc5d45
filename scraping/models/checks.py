from django.db import models


class ItemCheck(models.Model):
    """The plan when Reddit is next asked whether an item still stands: a narrow row beside each item.

    Each check writes this row anew. If it were part of the item's own row, each check would write
    another version of a kilobyte or more, and an entry in every index of the table.
    """

    fullname = models.TextField(primary_key=True)
    subreddit_id = models.BigIntegerField(help_text="Of the item; 0 if it belongs to none.")
    created_at = models.DateTimeField(help_text="Of the item.")
    checked_at = models.DateTimeField(help_text="When Reddit, or a dump of it, last told of it.")
    due_at = models.DateTimeField()
    is_refresh = models.BooleanField(
        default=False, help_text="The next check is for the score at one of the ages for that."
    )
    missing_since = models.DateTimeField(
        null=True, help_text="An answer left it out. It is gone if a later answer does so, too."
    )
    is_unreadable = models.BooleanField(
        default=False, help_text="Its subreddit cannot be read, so that nobody can tell."
    )

    class Meta:
        verbose_name = "check"
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
