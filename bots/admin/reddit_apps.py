"""Reddit apps in the admin: credentials, Reddit's answer to them, and the budget."""

from typing import TYPE_CHECKING, TypedDict

from django.contrib import admin, messages
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display

from accounts.ownership import OwnedModelAdmin
from bots import refusals
from bots.forms import RedditAppForm
from bots.models import RedditApp

if TYPE_CHECKING:  # the package comes with mypy's stubs, and only with them
    from django_stubs_ext import WithAnnotations


class BotCount(TypedDict):
    """The column that the list of apps adds to each row."""

    bot_count: int


@admin.register(RedditApp)
class RedditAppAdmin(OwnedModelAdmin):
    """API clients that identify requests to Reddit."""

    form = RedditAppForm
    list_display = ["name", "service", "state", "budget_used", "bots_using_it"]
    list_select_related = ["budget"]
    actions = ["try_again"]
    readonly_fields = ["credentials_state", "budget_used", "who_waits"]
    list_filter = ["service"]
    search_fields = ["name", "client_id"]
    fieldsets = [
        (None, {"fields": ["name", "service"]}),
        (
            _("Credentials"),
            {
                "description": _(
                    "Copy the credentials from Reddit's page of your apps (type “script”). "
                    "docs/reddit-access.md explains how to get access."
                ),
                "fields": ["client_id", "client_secret", "user_agent", "credentials_state"],
            },
        ),
        (
            _("Budget"),
            {
                "description": _(
                    "All bots of this app share one budget. Reddit forbids spreading one use over "
                    "several client ids, so Lurker does not rotate apps."
                ),
                "fields": ["requests_per_minute", "budget_used", "who_waits"],
            },
        ),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[RedditApp]:
        """Add the number of bots to each app."""
        apps: QuerySet[RedditApp] = super().get_queryset(request)
        return apps.annotate(bot_count=Count("bots"))

    @admin.display(description=_("Bots"), ordering="bot_count")
    def bots_using_it(self, app: "WithAnnotations[RedditApp, BotCount]") -> int:
        """How many bots share the app's budget."""
        return app.bot_count

    @display(description=_("State"), label={"good": "success", "refused": "danger"})
    def state(self, app: RedditApp) -> tuple[str, str]:
        """Whether Reddit accepts the app's credentials."""
        return ("refused", gettext("Refused")) if app.is_refused else ("good", gettext("Accepted"))

    @admin.display(description=_("State"))
    def credentials_state(self, app: RedditApp) -> str:
        """Why the app's bots wait, or that Reddit has not refused the credentials."""
        if not app.pk or not app.is_refused:
            return gettext("Reddit has not refused the credentials.")
        return gettext(
            "Refused since %(since)s: %(reason)s All bots of this app wait until you correct the "
            "credentials or choose “Try again” in the list. Meanwhile, one session tries every "
            "%(minutes)d minutes."
        ) % {
            "since": f"{timezone.localtime(app.refused_at):%Y-%m-%d %H:%M}",
            "reason": app.refusal,
            "minutes": refusals.RETRY_PAUSE.total_seconds() // 60,
        }

    # The budget's row belongs to `scraping`, which this app must not import.
    @admin.display(description=_("Requests in this window"))
    def budget_used(self, app: RedditApp) -> str:
        """Requests used and allowed in the present window."""
        budget = getattr(app, "budget", None)
        if budget is None:
            return gettext("none yet")
        return ", ".join(filter(None, [budget.usage, budget.pause]))

    @admin.display(description=_("Waiting bots"))
    def who_waits(self, app: RedditApp) -> str:
        """Bots that wait for a permit, the next one first."""
        budget = getattr(app, "budget", None)
        return "; ".join(budget.waiters if budget else []) or gettext("none")

    @action(description=_("Try again"), permissions=["change"])
    def try_again(self, request: HttpRequest, queryset: QuerySet[RedditApp]) -> None:
        """Let the bots of the selected refused apps ask Reddit again."""
        accepted = refusals.accept(self.model.objects.filter(pk__in=queryset.values("pk")))
        messages.success(
            request,
            ngettext(
                "%(count)d Reddit app may send requests again.",
                "%(count)d Reddit apps may send requests again.",
                accepted,
            )
            % {"count": accepted},
        )
