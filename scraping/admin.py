"""Matches and subreddits; the other models have modules of their own, registered from here."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import path, reverse
from django.utils.html import format_html
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.decorators import display

from accounts.ownership import owned_by
from bots.admin import annotators
from bots.models import BotConfig
from scraping import (
    coverage_admin,  # noqa: F401 - registers itself
    freshness,
    import_admin,  # noqa: F401 - registers itself
    receipt_admin,  # noqa: F401 - registers itself
    session_admin,  # noqa: F401 - registers itself
    views,
)
from scraping.content_admin import link_to_item
from scraping.evidence_admin import EvidenceAdmin
from scraping.models import BotItem, Subreddit


def tell_freshness(bots: Sequence[BotConfig]) -> None:
    """Give bots on a page of the admin their achieved freshness, in one query."""
    told = freshness.achieved(bots)
    for bot in bots:
        bot.freshness = str(told[bot.pk]) if bot.pk in told else "-"


annotators.append(tell_freshness)


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

    list_display = ["bot", "item", "standing", "terms", "matched_at"]
    fields = ["bot", "item", "standing_of_one", "terms", "matched_at"]
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

    @admin.display(description="State")
    def standing_of_one(self, item: BotItem) -> str:
        """The same on the match's own page, which has no labels."""
        return item.get_state_display()

    @admin.display(description="Post or comment", ordering="fullname")
    def item(self, item: BotItem) -> str:
        """What matches."""
        return link_to_item(item.fullname)

    @admin.display(description="Terms found")
    def terms(self, item: BotItem) -> str:
        """The terms, or that there were none to find."""
        return ", ".join(item.matched_terms) or "(every item matches)"


@admin.register(Subreddit)
class SubredditAdmin(EvidenceAdmin):
    """Subreddits and whether they can be read."""

    list_display = [
        "name",
        "state",
        "status_since",
        "probed_at",
        "next_probe",
        "renamed_to",
        "first_seen_at",
        "streams",
    ]
    readonly_fields = ["streams", "posts"]
    list_filter = ["status"]
    search_fields = ["name"]

    @display(
        description="State",
        ordering="status",
        label={"ok": "success", "unknown": "info"}
        | dict.fromkeys(
            ["private", "quarantined", "gated", "banned", "missing", "renamed"], "danger"
        ),
    )
    def state(self, subreddit: Subreddit) -> tuple[str, str]:
        """As Reddit last said."""
        return subreddit.status, subreddit.get_status_display()

    @admin.display(description="Asked again from")
    def next_probe(self, subreddit: Subreddit) -> datetime | None:
        """When one that cannot be read is asked about next."""
        return None if subreddit.is_readable else subreddit.next_probe_at

    @admin.display(description="Coverage")
    def streams(self, subreddit: Subreddit) -> str:
        """A link to its streams."""
        url = reverse("admin:scraping_stream_changelist")
        return format_html(
            '<a class="text-link" href="{}?subreddit__id__exact={}">Streams</a>', url, subreddit.pk
        )

    @admin.display(description="Content")
    def posts(self, subreddit: Subreddit) -> str:
        """Links to what is stored of it, found by its key."""
        urls = [
            reverse(f"admin:scraping_{model}_changelist")
            for model in ("redditpost", "redditcomment")
        ]
        return format_html(
            '<a class="text-link" href="{}?subreddit__id__exact={}">Posts</a>, '
            '<a class="text-link" href="{}?subreddit__id__exact={}">comments</a>',
            urls[0],
            subreddit.pk,
            urls[1],
            subreddit.pk,
        )
