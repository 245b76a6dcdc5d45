"""Posts and comments, as they were stored."""

from django.contrib import admin
from django.utils.html import format_html
from unfold.contrib.filters.admin import RangeDateTimeFilter

from scraping import plots
from scraping.evidence_admin import EvidenceAdmin
from scraping.models import PostScore, RedditComment, RedditPost

REDDIT = "https://www.reddit.com"


class ContentAdmin(EvidenceAdmin):
    """What posts and comments have in common."""

    list_select_related = ["subreddit"]
    list_filter = ["removal", ("created_at", RangeDateTimeFilter)]
    readonly_fields = ["on_reddit"]

    @admin.display(description="On Reddit")
    def on_reddit(self, item: RedditPost | RedditComment) -> str:
        """A link to the original."""
        if not item.permalink:
            return "-"
        url = REDDIT + item.permalink
        return format_html(
            '<a href="{}" rel="noreferrer" target="_blank">{}</a>', url, item.permalink
        )


@admin.register(RedditPost)
class RedditPostAdmin(ContentAdmin):
    """Posts."""

    list_display = [
        "title_start",
        "subreddit",
        "author",
        "score",
        "num_comments",
        "created_at",
        "first_seen_at",
    ]
    search_fields = ["=fullname", "title", "=author", "=subreddit__name"]
    readonly_fields = [*ContentAdmin.readonly_fields, "history"]

    @admin.display(description="Score and comments")
    def history(self, post: RedditPost) -> str:
        """A small plot of the score, and what it was when."""
        return plots.history(list(PostScore.objects.filter(post=post.pk).order_by("at")))

    @admin.display(description="Title", ordering="title")
    def title_start(self, post: RedditPost) -> str:
        """As much of the title as a line holds."""
        return post.title if len(post.title) <= 90 else f"{post.title[:89]}…"


@admin.register(RedditComment)
class RedditCommentAdmin(ContentAdmin):
    """Comments."""

    list_display = ["body_start", "subreddit", "author", "score", "link_fullname", "created_at"]
    search_fields = ["=fullname", "=link_fullname", "body", "=author", "=subreddit__name"]

    @admin.display(description="Comment")
    def body_start(self, comment: RedditComment) -> str:
        """As much of the comment as a line holds."""
        return comment.body if len(comment.body) <= 90 else f"{comment.body[:89]}…"
