"""Bots in the admin: settings, schedule, and the end of the last session."""

from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.contrib.humanize.templatetags.humanize import naturaltime
from django.db.models import ForeignKey, QuerySet
from django.forms import ModelChoiceField
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.timesince import timeuntil
from unfold.dataclasses import UnfoldAction
from unfold.decorators import action, display
from unfold.views import ChangeList

from accounts.ownership import OwnedModelAdmin, logged_in, owned_by
from bots import services
from bots.forms import BotConfigForm
from bots.models import BotConfig, RedditApp
from jobs.schedules import services as schedules

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)

SESSION_COLOURS = {
    "completed": "success",
    "partial": "warning",
    "failed": "danger",
    "interrupted": "danger",
    "cancelled": "warning",
}


class BotChangeList(ChangeList):
    """A page of bots with their schedules, which one query reads."""

    def get_results(self, request: HttpRequest) -> None:
        """Attach each bot's schedule."""
        super().get_results(request)
        bots = list(self.result_list)
        rows = schedules.find(services.schedule_name(bot.pk) for bot in bots)
        for bot in bots:
            bot.periodic_task = rows.get(services.schedule_name(bot.pk))
        services.bots_listed.send(sender=BotConfig, bots=bots)
        self.result_list = bots


@admin.register(BotConfig)
class BotConfigAdmin(OwnedModelAdmin):
    """Bots: content to collect, and schedule."""

    form = BotConfigForm
    list_display = [
        "name_and_subreddits",
        "state",
        "timing",
        "freshness",
        "last_session",
        "result",
        "next_run",
    ]
    list_filter = [
        "is_active",
        "auto_scrape_enabled",
        "pause_cause",
        "last_session_status",
        "listing",
    ]
    list_select_related = ["reddit_app"]
    search_fields = ["name", "subreddits"]
    actions = ["run_now", "run_as_batch", "pause", "resume"]
    actions_submit_line = ["save_and_run", "save_and_resume"]
    readonly_fields = [
        "last_session_of_one",
        "result",
        "next_run_of_one",
        "pause_of_one",
        "freshness",
    ]
    fieldsets = [
        (None, {"fields": ["name", "reddit_app", "is_active"]}),
        (
            "What to collect",
            {
                "description": "With the listing “New”, every post is collected, and a span that "
                "could not be read is recorded as a gap. The other listings are samples: they "
                "show what Reddit chooses to show.",
                "fields": ["subreddits", "listing", "search_query", "comments", "item_limit"],
            },
        ),
        (
            "What counts as a match",
            {
                "description": "Everything in these subreddits is stored; terms decide which items "
                "are marked as this bot's.",
                "fields": [
                    "include_terms",
                    "exclude_terms",
                    "match_in",
                    "case_sensitive",
                    "whole_words",
                    ("min_score", "min_comments"),
                ],
            },
        ),
        (
            "When",
            {
                "description": "Saving the bot writes its schedule; beat follows within seconds. "
                "Give an interval or a crontab; the other is not used.",
                "fields": [
                    "auto_scrape_enabled",
                    "schedule",
                    ("every", "period"),
                    ("crontab", "timezone"),
                ],
            },
        ),
        ("How long", {"fields": ["retention_days"]}),
        (
            "Last session",
            {
                "fields": [
                    "pause_of_one",
                    "last_session_of_one",
                    "result",
                    "next_run_of_one",
                    "freshness",
                ]
            },
        ),
    ]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Return the list that also reads the bots' schedules."""
        return BotChangeList

    def get_fieldsets(self, request: HttpRequest, obj: BotConfig | None = None) -> Any:
        """Leave out the last session on the page that adds a bot."""
        return self.fieldsets if obj else self.fieldsets[:-1]

    def formfield_for_foreignkey(
        self, db_field: ForeignKey[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> "ModelChoiceField[Any] | None":
        """Offer the user's own apps only."""
        if db_field.name == "reddit_app":
            kwargs["queryset"] = owned_by(RedditApp.objects.all(), request.user)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    @display(description="Bot", ordering="name", header=True)
    def name_and_subreddits(self, bot: BotConfig) -> list[str]:
        """The name, and below it the subreddits."""
        shown = ", ".join(f"r/{name}" for name in bot.subreddits[:4])
        more = len(bot.subreddits) - 4
        return [bot.name, f"{shown} and {more} more" if more > 0 else shown]

    @display(
        description="State",
        ordering="auto_scrape_enabled",
        label={
            "scheduled": "success",
            "paused": "warning",
            "failing": "danger",
            "inactive": "danger",
        },
    )
    def state(self, bot: BotConfig) -> tuple[str, str]:
        """Whether the bot collects on its schedule."""
        if not bot.is_active:
            return "inactive", "Inactive"
        if not bot.auto_scrape_enabled:
            return "paused", "Paused"
        if bot.paused_at:
            return "failing", f"Paused: {bot.get_pause_cause_display()}"
        return "scheduled", "On schedule"

    @admin.display(description="Schedule")
    def timing(self, bot: BotConfig) -> str:
        """The schedule in words."""
        return bot.timing

    @admin.display(description="Freshness in 24 h")
    def freshness(self, bot: BotConfig) -> str:
        """How long the bot's streams went unread in 24 h: median, 95th percentile, maximum."""
        if not hasattr(bot, "freshness"):
            services.bots_listed.send(sender=BotConfig, bots=[bot])
        return getattr(bot, "freshness", "-")

    @display(description="Last session", ordering="last_session_at", label=SESSION_COLOURS)
    def last_session(self, bot: BotConfig) -> tuple[str, str] | None:
        """How the last session ended, and how long ago."""
        if not bot.last_session_at:
            return None
        ago = naturaltime(bot.last_session_at)
        return bot.last_session_status, f"{bot.last_session_status}, {ago}"

    @admin.display(description="Status")
    def last_session_of_one(self, bot: BotConfig) -> str:
        """The last session on the bot's own page, which shows no coloured labels."""
        shown = self.last_session(bot)
        return shown[1] if shown else "none yet"

    @admin.display(description="Result")
    def result(self, bot: BotConfig) -> str:
        """The result of the last session, or why the bot is paused; links to the bot's sessions."""
        told = bot.pause_reason or bot.last_session_summary
        if not told:
            return "-"
        url = reverse("admin:scraping_scrapesession_changelist") + f"?bot__id__exact={bot.pk}"
        return format_html(
            '<a href="{}" class="text-primary-600 dark:text-primary-500">{}</a>',
            url,
            told,
        )

    @admin.display(description="Paused")
    def pause_of_one(self, bot: BotConfig) -> str:
        """When and why the bot was paused, and how the pause ends."""
        if not bot.paused_at:
            return "no"
        ends = (
            "It ends by itself when one of them can be read again"
            if bot.pause_cause == BotConfig.PauseCause.CLOSED
            else "It ends with a session that reads something"
        )
        return (
            f"Since {timezone.localtime(bot.paused_at):%Y-%m-%d %H:%M}: {bot.pause_reason} {ends}, "
            "or when you choose “Save and resume”."
        )

    @admin.display(description="Next run")
    def next_run(self, bot: BotConfig) -> str:
        """When beat fires the bot next, from the schedule's row."""
        row = bot.periodic_task
        if row is None:
            return "no schedule: run reconcile_schedules" if bot.is_scheduled else "-"
        at = schedules.next_run_at(row)
        if at is None:
            return "-"
        wait = at - timezone.now()
        local = timezone.localtime(at)
        moment = date_format(local, "H:i:s" if wait < DAY else "DATETIME_FORMAT")
        return f"{moment}, in {timeuntil(at)}" if wait > MINUTE else moment

    @admin.display(description="Next run")
    def next_run_of_one(self, bot: BotConfig) -> str:
        """The next run on the bot's own page."""
        name = services.schedule_name(bot.pk)
        bot.periodic_task = schedules.find([name]).get(name)
        return self.next_run(bot)

    @action(description="Run now", permissions=["change"])
    def run_now(self, request: HttpRequest, queryset: QuerySet[BotConfig]) -> None:
        """Request one session of each selected bot."""
        requested = 0
        for bot in queryset:
            try:
                services.run_now(bot)
            except services.BotInactive as error:
                messages.warning(request, str(error))
            else:
                requested += 1
        if requested:
            messages.success(request, f"{requested} session(s) requested.")

    @action(description="Run selected as one batch", permissions=["change"])
    def run_as_batch(self, request: HttpRequest, queryset: QuerySet[BotConfig]) -> None:
        """Request one session of each selected bot, as one batch with one summary at the end."""
        try:
            requested = services.run_batch(queryset, by=logged_in(request.user))
        except ValueError as error:
            messages.error(request, str(error))
            return
        messages.success(request, f"A batch of {requested.batch.total} session(s) was requested.")
        for bot in requested.inactive:
            messages.warning(request, str(services.BotInactive(bot)))

    @action(description="Save and run now", permissions=["change"])
    def save_and_run(self, request: HttpRequest, bot: BotConfig) -> None:
        """Request one session of the open bot, which the form has just saved.

        This is a button of the form: a link would change state by GET, without a CSRF check.
        """
        self.run_now(request, self.get_queryset(request).filter(pk=bot.pk))

    @action(description="Save and resume", permissions=["change"])
    def save_and_resume(self, request: HttpRequest, bot: BotConfig) -> None:
        """Put the open bot, which the form has just saved, back on its schedule."""
        self.resume(request, self.get_queryset(request).filter(pk=bot.pk))

    def get_actions_submit_line(
        self, request: HttpRequest, object_id: int | str
    ) -> list[UnfoldAction]:
        """Return the buttons of a bot's page; only a paused bot gets “Save and resume”."""
        buttons = super().get_actions_submit_line(request, object_id)
        paused = BotConfig.objects.filter(pk=object_id).exclude(
            paused_at=None, auto_scrape_enabled=True
        )
        if object_id and paused.exists():
            return buttons
        return [button for button in buttons if not button.action_name.endswith("save_and_resume")]

    @action(description="Pause", permissions=["change"])
    def pause(self, request: HttpRequest, queryset: QuerySet[BotConfig]) -> None:
        """Take the selected bots off their schedules."""
        messages.success(request, f"{services.pause(queryset)} bot(s) paused.")

    @action(description="Resume", permissions=["change"])
    def resume(self, request: HttpRequest, queryset: QuerySet[BotConfig]) -> None:
        """Put the selected bots back on their schedules."""
        messages.success(request, f"{services.resume(queryset)} bot(s) resumed.")
