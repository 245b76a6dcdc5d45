"""What was collected, and how. Evidence: nobody adds, edits or deletes it here."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from django.urls import path
from django.utils.html import format_html, format_html_join
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.decorators import action, display
from unfold.paginator import InfinitePaginator

from accounts.ownership import owned_by
from bots.admin import annotators
from bots.models import BotConfig
from scraping import freshness, plots, receipts, sessions, views
from scraping.models import (
    STATUS_COLOURS,
    BotItem,
    DeletionReceipt,
    Gap,
    PostScore,
    RedditComment,
    RedditPost,
    ScrapeSession,
    Stream,
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


class EvidenceAdmin(ModelAdmin):
    """A read-only admin. Counting a large table for each page is left out."""

    show_full_result_count = False
    paginator = InfinitePaginator
    list_per_page = 50
    list_filter_submit = True

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody: retention and deletion have rules of their own."""
        return False


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


class MatchStateFilter(admin.SimpleListFilter):
    """Matches unless one asks for those that wait or fell short."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The other states; matches are what is shown without a choice."""
        return [*BotItem.State.choices[1:], ("any", "Any")]

    def choices(self, changelist: Any) -> Any:
        """With "Match" where Django says "All"."""
        first, *others = super().choices(changelist)
        return [first | {"display": BotItem.State.MATCHED.label}, *others]

    def queryset(self, request: HttpRequest, queryset: QuerySet[BotItem]) -> QuerySet[BotItem]:
        """Those of the chosen state."""
        if self.value() == "any":
            return queryset
        return queryset.filter(state=self.value() or BotItem.State.MATCHED)


@admin.register(BotItem)
class BotItemAdmin(EvidenceAdmin):
    """Matches: items that a bot looks for."""

    list_display = ["bot", "fullname", "standing", "terms", "matched_at"]
    list_filter = [MatchStateFilter, ("matched_at", RangeDateTimeFilter)]
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

    @display(
        description="State",
        ordering="state",
        label={"matched": "success", "pending": "info", "missed": "warning"},
    )
    def standing(self, item: BotItem) -> tuple[str, str]:
        """Whether it has the score that the bot asks for."""
        return item.state, item.get_state_display()

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


@admin.register(Stream)
class StreamAdmin(EvidenceAdmin):
    """Streams and how far each is complete."""

    list_display = [
        "subreddit",
        "kind",
        "complete_since",
        "watermark",
        "last_fetch_at",
        "arrivals",
        "poll_by",
    ]
    list_filter = ["kind"]
    list_select_related = ["subreddit"]
    search_fields = ["subreddit__name"]

    @admin.display(description="Items an hour", ordering="arrivals_per_hour")
    def arrivals(self, stream: Stream) -> str:
        """As learned."""
        rate = stream.arrivals_per_hour
        return "-" if rate is None else f"{rate:.2g}" if rate < 10 else f"{rate:,.0f}"


@admin.register(Gap)
class GapAdmin(EvidenceAdmin):
    """Spans that were not read, and what closed them."""

    list_display = [
        "stream",
        "starts_at",
        "ends_at",
        "reason",
        "found_at",
        "closed_at",
        "closed_by",
    ]
    list_filter = ["reason", ("found_at", RangeDateTimeFilter)]
    list_select_related = ["stream__subreddit"]
    search_fields = ["stream__subreddit__name"]


@admin.register(DeletionReceipt)
class DeletionReceiptAdmin(EvidenceAdmin):
    """What was purged, why and when; nothing of what it was."""

    list_display = ["fullname", "kind", "why", "seen_at", "purged_at", "purged_parts"]
    list_filter = ["reason", "kind", ("purged_at", RangeDateTimeFilter)]
    search_fields = ["=fullname"]
    actions = ["export_csv", "export_ndjson"]

    @display(
        description="Why",
        ordering="reason",
        label=dict.fromkeys(["deleted", "gone", "account"], "info") | {"removed": "warning"},
    )
    def why(self, receipt: DeletionReceipt) -> tuple[str, str]:
        """What happened on Reddit."""
        return receipt.reason, receipt.get_reason_display()

    @admin.display(description="Purged")
    def purged_parts(self, receipt: DeletionReceipt) -> str:
        """What was purged."""
        return ", ".join(receipt.parts)

    @action(description="Export as CSV", permissions=["view"])
    def export_csv(
        self, request: HttpRequest, queryset: QuerySet[DeletionReceipt]
    ) -> StreamingHttpResponse:
        """The selected receipts as a file."""
        return _download(queryset, "csv")

    @action(description="Export as NDJSON", permissions=["view"])
    def export_ndjson(
        self, request: HttpRequest, queryset: QuerySet[DeletionReceipt]
    ) -> StreamingHttpResponse:
        """The selected receipts as a file."""
        return _download(queryset, "ndjson")


def _download(queryset: QuerySet[DeletionReceipt], form: str) -> StreamingHttpResponse:
    return StreamingHttpResponse(
        receipts.export(queryset, form),
        content_type=receipts.CONTENT_TYPES[form],
        headers={"Content-Disposition": f'attachment; filename="deletion-receipts.{form}"'},
    )
