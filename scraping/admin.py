"""What was collected, and how. Streams and gaps are in `coverage_admin`."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import path
from django.utils.html import format_html, format_html_join
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.decorators import display

from accounts.ownership import owned_by
from bots.admin import annotators
from bots.models import BotConfig
from scraping import (
    coverage_admin,  # noqa: F401 - registers itself
    freshness,
    sessions,
    views,
)
from scraping.evidence_admin import EvidenceAdmin
from scraping.models import (
    STATUS_COLOURS,
    BotItem,
    RedditComment,
    RedditPost,
    ScrapeSession,
    Subreddit,
)

OUTCOME_COLOURS = {"ok": "green", "empty": "green", "gap": "orange"}
REDDIT = "https://www.reddit.com"


def tell_freshness(bots: Sequence[BotConfig]) -> None:
    """Give bots on a page of the admin their achieved freshness, in one query."""
    told = freshness.achieved(bots)
    for bot in bots:
        bot.freshness = str(told[bot.pk]) if bot.pk in told else "-"


annotators.append(tell_freshness)


@admin.register(ScrapeSession)
class ScrapeSessionAdmin(EvidenceAdmin):
    """Sessions: each run of a bot and what came of it."""

    list_display = [
        "bot_name",
        "outcome",
        "trigger",
        "started_at",
        "took",
        "posts_seen",
        "comments_seen",
        "new",
        "matched",
        "requests",
        "waited",
    ]
    list_filter = ["status", "trigger", ("queued_at", RangeDateTimeFilter)]
    search_fields = ["bot_name", "task_id"]
    fieldsets = [
        (None, {"fields": ["bot", "status", "trigger", "error", "task_id"]}),
        ("Time", {"fields": ["queued_at", "started_at", "ended_at", "took", "continues_at"]}),
        (
            "Counts",
            {
                "fields": [
                    ("posts_seen", "comments_seen"),
                    ("new", "updated", "rejected"),
                    ("matched", "gaps_opened", "gaps_closed"),
                    ("requests", "by_kind", "wait_seconds"),
                    "freshness",
                ]
            },
        ),
        ("Streams", {"fields": ["streams"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ScrapeSession]:
        """Sessions of the user's own bots."""
        return owned_by(super().get_queryset(request), request.user, path="bot__owner")

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """The list of bots links here by bot."""
        return lookup == "bot__id__exact" or super().lookup_allowed(lookup, value, request)

    @display(description="Status", ordering="status", label=STATUS_COLOURS)
    def outcome(self, session: ScrapeSession) -> tuple[str, str]:
        """Where it stands or how it ended."""
        return session.status, session.get_status_display()

    @admin.display(description="Took")
    def took(self, session: ScrapeSession) -> str:
        """How long it ran."""
        return f"{session.duration.total_seconds():.1f} s" if session.duration else "-"

    @admin.display(description="Waited", ordering="wait_seconds")
    def waited(self, session: ScrapeSession) -> str:
        """How long it waited for the budget of its app."""
        return f"{session.wait_seconds:.1f} s" if session.wait_seconds >= 0.05 else "-"

    @admin.display(description="By kind")
    def by_kind(self, session: ScrapeSession) -> str:
        """What the requests asked for, the most frequent first."""
        kinds = sorted(session.requests_by_kind.items(), key=lambda kind: -kind[1])
        return ", ".join(f"{count} {kind}" for kind, count in kinds) or "-"

    @admin.display(description="Longest time between reads", ordering="freshness_seconds")
    def freshness(self, session: ScrapeSession) -> str:
        """How long one of the bot's streams went unread, at the end of the session."""
        seconds = session.freshness_seconds
        return "-" if seconds is None else freshness.in_words(seconds)

    @admin.display(description="What came of each")
    def streams(self, session: ScrapeSession) -> str:
        """The outcome of each stream, with its reason."""
        if not session.outcomes:
            return sessions.summary(session)
        return format_html_join(
            "",
            '<div><span style="color: {}">{}</span> {} <span>{}</span></div>',
            (
                (
                    OUTCOME_COLOURS.get(o["outcome"], "red"),
                    o["outcome"],
                    stream,
                    o.get("detail", ""),
                )
                for stream, o in session.outcomes.items()
            ),
        )


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


@admin.register(BotItem)
class BotItemAdmin(EvidenceAdmin):
    """Matches: items that a bot looks for."""

    list_display = ["bot", "fullname", "terms", "matched_at"]
    list_filter = [("matched_at", RangeDateTimeFilter)]
    list_select_related = ["bot"]
    search_fields = ["=fullname", "bot__name"]

    def get_urls(self) -> list[Any]:
        """With the previews that the bots' forms post to."""
        view = self.admin_site.admin_view(partial(views.preview, site=self.admin_site))
        return [
            path("preview/", view, name="scraping_botitem_preview"),
            path("cost/", self.admin_site.admin_view(views.cost), name="scraping_botitem_cost"),
            *super().get_urls(),
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[BotItem]:
        """Matches of the user's own bots."""
        return owned_by(super().get_queryset(request), request.user, path="bot__owner")

    @admin.display(description="Terms found")
    def terms(self, item: BotItem) -> str:
        """The terms, or that there were none to find."""
        return ", ".join(item.matched_terms) or "(every item matches)"


@admin.register(Subreddit)
class SubredditAdmin(EvidenceAdmin):
    """Subreddits and whether they can be read."""

    list_display = ["name", "state", "status_since", "probed_at", "reddit_id", "first_seen_at"]
    list_filter = ["status"]
    search_fields = ["name"]

    @display(
        description="State",
        ordering="status",
        label={"ok": "success", "unknown": "info"}
        | dict.fromkeys(["private", "quarantined", "gated", "banned", "missing"], "danger"),
    )
    def state(self, subreddit: Subreddit) -> tuple[str, str]:
        """As Reddit last said."""
        return subreddit.status, subreddit.get_status_display()
