"""Matches in the admin: which items each bot looks for, and with which terms."""

from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import path
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.decorators import display

from accounts.ownership import owned_by
from scraping.admin import views
from scraping.admin.content import link_to_item
from scraping.admin.evidence import EvidenceAdmin
from scraping.models import BotItem


class MatchStateFilter(admin.SimpleListFilter):
    """Shows full matches, unless the user chooses a state such as pending or missed."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return the other states; without a choice, the list shows full matches."""
        return [*BotItem.State.choices[1:], ("any", _("Any"))]

    def choices(self, changelist: Any) -> Any:
        """Return the choices, with "Match" where Django says "All"."""
        first, *others = super().choices(changelist)
        return [first | {"display": BotItem.State.MATCHED.label}, *others]

    def queryset(self, request: HttpRequest, queryset: QuerySet[BotItem]) -> QuerySet[BotItem]:
        """Return the matches in the chosen state."""
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
        """Return the URLs, with the previews that the bots' forms post to."""
        view = self.admin_site.admin_view(partial(views.preview, site=self.admin_site))
        return [
            path("preview/", view, name="scraping_botitem_preview"),
            path("cost/", self.admin_site.admin_view(views.cost), name="scraping_botitem_cost"),
            *super().get_urls(),
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[BotItem]:
        """Return the matches of the user's own bots."""
        return owned_by(super().get_queryset(request), request.user, path="bot__owner")

    @display(
        description=_("State"),
        ordering="state",
        label={
            "matched": "success",
            "pending": "info",
            "missed": "warning",
            "lapsed": "warning",
        },
    )
    def standing(self, item: BotItem) -> tuple[str, str]:
        """Return whether the item has the score that the bot asks for."""
        return item.state, item.get_state_display()

    @admin.display(description=_("State"))
    def standing_of_one(self, item: BotItem) -> str:
        """Return the same for the match's own page, which has no labels."""
        return item.get_state_display()

    @admin.display(description=_("Post or comment"), ordering="fullname")
    def item(self, item: BotItem) -> str:
        """Return a link to the item that matches."""
        return link_to_item(item.fullname)

    @admin.display(description=_("Terms found"))
    def terms(self, item: BotItem) -> str:
        """Return the terms that were found, or say that every item matches."""
        return ", ".join(item.matched_terms) or gettext("(every item matches)")
