from django.db import models
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from scraping.models.content import RedditPost


class PostScore(models.Model):
    """A post's score and number of comments at some time; each post has a few such rows."""

    post = models.ForeignKey(
        RedditPost,
        on_delete=models.CASCADE,
        related_name="scores",
        db_constraint=False,  # a check of each row would double the cost of writing it
        db_index=False,  # the constraint below serves
        verbose_name=_("post"),
    )
    at = models.DateTimeField(_("time"))
    score = models.BigIntegerField(
        _("score"), null=True, help_text=_("Empty while Reddit hides the score.")
    )
    num_comments = models.BigIntegerField(_("number of comments"), null=True)

    class Meta:
        verbose_name = _("score")
        verbose_name_plural = _("scores")
        ordering = ["post", "at"]
        constraints = [
            models.UniqueConstraint(fields=["post", "at"], name="scraping_postscore_unique")
        ]

    def __str__(self) -> str:
        return gettext("Score %(score)s, comments %(comments)s") % {
            "score": self.score,
            "comments": self.num_comments,
        }
