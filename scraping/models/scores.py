from django.db import models

from scraping.models.content import RedditPost


class PostScore(models.Model):
    """A post's score and number of comments at some time; each post has a few such rows."""

    post = models.ForeignKey(
        RedditPost,
        on_delete=models.CASCADE,
        related_name="scores",
        db_constraint=False,  # a check of each row would double the cost of writing it
        db_index=False,  # the constraint below serves
    )
    at = models.DateTimeField()
    score = models.BigIntegerField(null=True, help_text="Empty while Reddit hides it.")
    num_comments = models.BigIntegerField(null=True)

    class Meta:
        verbose_name = "score"
        ordering = ["post", "at"]
        constraints = [
            models.UniqueConstraint(fields=["post", "at"], name="scraping_postscore_unique")
        ]

    def __str__(self) -> str:
        return f"{self.score} points, {self.num_comments} comments"
