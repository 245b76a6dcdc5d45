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
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
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

# The statuses of sessions, which `scraping` writes.
SESSION_LABELS = {
    "completed": _("completed"),
    "partial": _("partial"),
    "failed": _("failed"),
    "interrupted": _("interrupted"),
    "cancelled": _("cancelled"),
}
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
            _("What to collect"),
            {
                "description": _(
                    "With the listing “New”, the bot collects every post and records each unread "
                    "span as a gap. The other listings are samples: they show what Reddit chooses "
                    "to show."
                ),
                "fields": ["subreddits", "listing", "search_query", "comments", "item_limit"],
            },
        ),
        (
            _("What counts as a match"),
            {
                "description": _(
                    "Lurker stores everything that it collects in these subreddits. The terms "
                    "decide which items become matches of this bot."
                ),
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
            _("When"),
            {
                "description": _(
                    "Choose an interval or a crontab; the bot ignores the fields of the other. Beat "
                    "applies a saved schedule within seconds."
                ),
                "fields": [
                    "auto_scrape_enabled",
                    "schedule",
                    ("every", "period"),
                    ("crontab", "timezone"),
                ],
            },
        ),
        (_("Retention"), {"fields": ["retention_days"]}),
        (
            _("Last session"),
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

    @display(description=_("Bot"), ordering="name", header=True)
    def name_and_subreddits(self, bot: BotConfig) -> list[str]:
        """The name, and below it the subreddits."""
        shown = ", ".join(f"r/{name}" for name in bot.subreddits[:4])
        more = len(bot.subreddits) - 4
        if more > 0:
            shown = gettext("%(subreddits)s and %(count)d more") % {
                "subreddits": shown,
                "count": more,
            }
        return [bot.name, shown]

    @display(
        description=_("State"),
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
            return "inactive", gettext("Inactive")
        if not bot.auto_scrape_enabled:
            return "paused", gettext("Paused")
        if bot.paused_at:
            return "failing", gettext("Paused: %(cause)s") % {
                "cause": bot.get_pause_cause_display()
            }
        return "scheduled", gettext("On schedule")

    @admin.display(description=_("Schedule"))
    def timing(self, bot: BotConfig) -> str:
        """The schedule in words."""
        return bot.timing

    @admin.display(description=_("Freshness in 24 h"))
    def freshness(self, bot: BotConfig) -> str:
        """How long the bot's streams went unread in 24 h: median, 95th percentile, maximum."""
        if not hasattr(bot, "freshness"):
            services.bots_listed.send(sender=BotConfig, bots=[bot])
        return getattr(bot, "freshness", "-")

    @display(description=_("Last session"), ordering="last_session_at", label=SESSION_COLOURS)
    def last_session(self, bot: BotConfig) -> tuple[str, str] | None:
        """How the last session ended, and how long ago."""
        if not bot.last_session_at:
            return None
        ago = naturaltime(bot.last_session_at)
        status = SESSION_LABELS.get(bot.last_session_status, bot.last_session_status)
        return bot.last_session_status, f"{status}, {ago}"

    @admin.display(description=_("Status"))
    def last_session_of_one(self, bot: BotConfig) -> str:
        """The last session on the bot's own page, which shows no coloured labels."""
        shown = self.last_session(bot)
        return shown[1] if shown else gettext("none yet")

    @admin.display(description=_("Result"))
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

    @admin.display(description=_("Paused"))
    def pause_of_one(self, bot: BotConfig) -> str:
        """When and why the bot was paused, and how the pause ends."""
        if not bot.paused_at:
            return gettext("no")
        told = (
            gettext(
                "Since %(since)s: %(reason)s The pause ends when one of the subreddits can be read "
                "again, or when you choose “Save and resume”."
            )
            if bot.pause_cause == BotConfig.PauseCause.CLOSED
            else gettext(
                "Since %(since)s: %(reason)s The pause ends when a session reads something, or "
                "when you choose “Save and resume”."
            )
        )
        since = f"{timezone.localtime(bot.paused_at):%Y-%m-%d %H:%M}"
        return told % {"since": since, "reason": bot.pause_reason}

    @admin.display(description=_("Next run"))
    def next_run(self, bot: BotConfig) -> str:
        """When beat fires the bot next, from the schedule's row."""
        row = bot.periodic_task
        if row is None:
            if not bot.is_scheduled:
                return "-"
            return gettext("No schedule. Run ./manage.py reconcile_schedules.")
        at = schedules.next_run_at(row)
        if at is None:
            return "-"
        wait = at - timezone.now()
        local = timezone.localtime(at)
        moment = date_format(local, "H:i:s" if wait < DAY else "DATETIME_FORMAT")
        if wait <= MINUTE:
            return moment
        return gettext("%(moment)s, in %(wait)s") % {"moment": moment, "wait": timeuntil(at)}

    @admin.display(description=_("Next run"))
    def next_run_of_one(self, bot: BotConfig) -> str:
        """The next run on the bot's own page."""
        name = services.schedule_name(bot.pk)
        bot.periodic_task = schedules.find([name]).get(name)
        return self.next_run(bot)

    @action(description=_("Run now"), permissions=["change"])
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
            messages.success(
                request,
                ngettext("%(count)d session requested.", "%(count)d sessions requested.", requested)
                % {"count": requested},
            )

    @action(description=_("Run as one batch"), permissions=["change"])
    def run_as_batch(self, request: HttpRequest, queryset: QuerySet[BotConfig]) -> None:
        """Request one session of each selected bot, as one batch with one summary at the end."""
        try:
            requested = services.run_batch(queryset, by=logged_in(request.user))
        except ValueError as error:
            messages.error(request, str(error))
            return
        messages.success(
            request,
            ngettext(
                "A batch of %(count)d session requested.",
                "A batch of %(count)d sessions requested.",
                requested.batch.total,
            )
            % {"count": requested.batch.total},
        )
        for bot in requested.inactive:
            messages.warning(request, str(services.BotInactive(bot)))

    @action(description=_("Save and run now"), permissions=["change"])
    def save_and_run(self, request: HttpRequest, bot: BotConfig) -> None:
        """Request one session of the open bot, which the form has just saved.

        This is a button of the form: a link would change state by GET, without a CSRF check.
        """
        self.run_now(request, self.get_queryset(request).filter(pk=bot.pk))

    @action(description=_("Save and resume"), permissions=["change"])
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

    @action(description=_("Pause"), permissions=["change"])
    def pause(self, request: HttpRequest, queryset: QuerySet[BotConfig]) -> None:
        """Take the selected bots off their schedules."""
        paused = services.pause(queryset)
        messages.success(
            request,
            ngettext("%(count)d bot paused.", "%(count)d bots paused.", paused) % {"count": paused},
        )

    @action(description=_("Resume"), permissions=["change"])
    def resume(self, request: HttpRequest, queryset: QuerySet[BotConfig]) -> None:
        """Put the selected bots back on their schedules."""
        resumed = services.resume(queryset)
        messages.success(
            request,
            ngettext("%(count)d bot resumed.", "%(count)d bots resumed.", resumed)
            % {"count": resumed},
        )
