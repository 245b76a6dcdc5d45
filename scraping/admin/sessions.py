"""Sessions and batches of sessions in the admin: their results, and actions on them."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.decorators import display

from accounts.ownership import owned_by
from jobs.admin.confirmation import asks_first
from jobs.models import Batch
from scraping.admin.evidence import EvidenceAdmin
from scraping.models import STATUS_COLOURS, ScrapeBatch, ScrapeSession
from scraping.planning import freshness
from scraping.sessions import batches, lifecycle

# The most sessions that a batch's page shows.
SHOWN_SESSIONS = 200
ENDS = _(
    "Waiting sessions never start. Running sessions end after the page that they are reading. Their "
    "stored items stay, and the next session continues from there. Ended sessions stay as they are."
)
OUTCOME_COLOURS = {"ok": "green", "empty": "green", "gap": "orange"}


@admin.register(ScrapeSession)
class ScrapeSessionAdmin(EvidenceAdmin):
    """Sessions: each run of a bot, and its result."""

    list_display = [
        "bot_name",
        "outcome",
        "kind",
        "trigger",
        "started_at",
        "took",
        "posts",
        "comments",
        "new",
        "matched",
        "requests",
    ]
    list_filter = ["status", "kind", "trigger", ("queued_at", RangeDateTimeFilter)]
    search_fields = ["bot_name", "task_id"]
    actions = ["cancel_sessions", "run_again"]
    change_form_outer_before_template = "admin/scraping/scrapesession/buttons.html"
    fieldsets = [
        (None, {"fields": ["bot", "kind", "status", "trigger", "error", "resumes", "run"]}),
        (_("Time"), {"fields": ["queued_at", "started_at", "ended_at", "took", "continues_at"]}),
        (
            _("Counts"),
            {
                "fields": [
                    ("posts_seen", "comments_seen"),
                    ("new", "updated", "rejected"),
                    "matched",
                    ("gaps_opened", "gaps_closed"),
                    ("requests", "waited"),
                    "by_kind",
                    "freshness",
                ]
            },
        ),
        (_("Streams"), {"fields": ["streams"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ScrapeSession]:
        """Return the sessions of the user's own bots."""
        return owned_by(super().get_queryset(request), request.user, path="bot__owner")

    def has_run_permission(self, request: HttpRequest) -> bool:
        """Allow users who may change bots to cancel sessions and to run them again."""
        return request.user.has_perm("bots.change_botconfig")

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show the session's page, with a button for the action that is possible."""
        session = self.get_object(request, object_id)
        context = {"session_action": self._action_for(request, session), **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)

    def _action_for(
        self, request: HttpRequest, session: ScrapeSession | None
    ) -> tuple[str, str] | None:
        """Return the action that is possible, and the text of its button."""
        if session is None or not self.has_run_permission(request):
            return None
        if session.is_open:
            return "cancel_sessions", gettext("Cancel this session")
        return ("run_again", gettext("Run again")) if session.status in lifecycle.AGAIN else None

    @admin.action(description=_("Cancel"), permissions=["run"])
    @asks_first(ENDS)
    def cancel_sessions(self, request: HttpRequest, queryset: QuerySet[ScrapeSession]) -> None:
        """Cancel the selected sessions that have not ended."""
        cancelled = 0
        for session in queryset:
            try:
                cancelled += lifecycle.cancel(session, by=request.user)
            except lifecycle.CannotCancel as error:
                messages.error(request, str(error))
        messages.success(
            request,
            ngettext(
                "%(count)d session cancelled. A waiting session does not start. A running session ends "
                "at its next safe point.",
                "%(count)d sessions cancelled. Waiting sessions do not start. Running sessions end at "
                "their next safe point.",
                cancelled,
            )
            % {"count": cancelled},
        )

    @admin.action(description=_("Run again"), permissions=["run"])
    def run_again(self, request: HttpRequest, queryset: QuerySet[ScrapeSession]) -> None:
        """Request a session for each selected session that ended before its work was done."""
        requested = 0
        for session in queryset.select_related("bot"):
            try:
                lifecycle.run_again(session)
            except lifecycle.CannotRunAgain as error:
                messages.warning(request, str(error))
            else:
                requested += 1
        messages.success(
            request,
            ngettext("%(count)d session requested.", "%(count)d sessions requested.", requested)
            % {"count": requested},
        )

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        """Allow the filter by bot, because the list of bots links here with it."""
        return lookup == "bot__id__exact" or super().lookup_allowed(lookup, value, request)

    @display(description=_("Status"), ordering="status", label=STATUS_COLOURS)
    def outcome(self, session: ScrapeSession) -> tuple[str, str]:
        """Return the state of the session, or how it ended."""
        return session.status, session.get_status_display()

    @admin.display(description=_("Duration"))
    def took(self, session: ScrapeSession) -> str:
        """Return how long the session ran."""
        return f"{session.duration.total_seconds():.1f} s" if session.duration else "-"

    @admin.display(description=_("Waited for the budget"), ordering="wait_seconds")
    def waited(self, session: ScrapeSession) -> str:
        """Return how long the session waited for the budget of its app."""
        return f"{session.wait_seconds:.1f} s" if session.wait_seconds >= 0.05 else "-"

    @admin.display(description=_("Posts"), ordering="posts_seen")
    def posts(self, session: ScrapeSession) -> int:
        """Return how many posts the session read."""
        return session.posts_seen

    @admin.display(description=_("Comments"), ordering="comments_seen")
    def comments(self, session: ScrapeSession) -> int:
        """Return how many comments the session read."""
        return session.comments_seen

    @admin.display(description=_("Run"))
    def run(self, session: ScrapeSession) -> str:
        """Return a link to the run of the session's task, with attempts and traceback."""
        if not session.task_id:
            return "-"
        url = reverse("admin:django_celery_results_taskresult_changelist")
        return format_html(
            '<a class="text-link" href="{}?task_id__exact={}">{}</a>',
            url,
            session.task_id,
            session.task_id,
        )

    @admin.display(description=_("Requests by kind"))
    def by_kind(self, session: ScrapeSession) -> str:
        """Return the number of requests of each kind, the most frequent first."""
        kinds = sorted(session.requests_by_kind.items(), key=lambda kind: -kind[1])
        return ", ".join(f"{count} {kind}" for kind, count in kinds) or "-"

    @admin.display(description=_("Longest time between reads"), ordering="freshness_seconds")
    def freshness(self, session: ScrapeSession) -> str:
        """Return the longest time that any of the bot's streams went unread, at the session's end."""
        seconds = session.freshness_seconds
        return "-" if seconds is None else freshness.in_words(seconds)

    @admin.display(description=_("Outcomes"))
    def streams(self, session: ScrapeSession) -> str:
        """Return the outcome of each stream, with its reason."""
        if not session.outcomes:
            return lifecycle.summary(session)
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


@admin.register(ScrapeBatch)
class ScrapeBatchAdmin(EvidenceAdmin):
    """Batches: bots that were run together, and the result of all their sessions."""

    list_display = ["batch", "state", "progress", "asked_at", "owner", "came_of_it"]
    list_filter = ["batch__status"]
    list_select_related = ["batch", "owner"]
    actions = ["cancel_batches"]
    fields = [
        "batch",
        "state_of_one",
        "progress",
        "asked_at_of_one",
        "owner",
        "came_of_it",
        "sessions_of_it",
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ScrapeBatch]:
        """Return the batches that the user asked for."""
        return owned_by(super().get_queryset(request), request.user)

    def has_run_permission(self, request: HttpRequest) -> bool:
        """Allow users who may change bots to cancel batches."""
        return request.user.has_perm("bots.change_botconfig")

    @display(
        description=_("Status"),
        ordering="batch__status",
        label={"running": "info", "completed": "success", "cancelled": "warning"},
    )
    def state(self, batch: ScrapeBatch) -> tuple[str, str]:
        """Return the state of the batch."""
        return batch.batch.status, str(Batch.Status(batch.batch.status).label)

    @admin.display(description=_("Status"))
    def state_of_one(self, batch: ScrapeBatch) -> str:
        """Return the same for the batch's own page, which has no labels."""
        return self.state(batch)[1]

    @admin.display(description=_("Ended sessions"))
    def progress(self, batch: ScrapeBatch) -> str:
        """Return how many of the batch's sessions have ended."""
        return gettext("%(done)d of %(total)d") % {
            "done": batch.batch.done,
            "total": batch.batch.total,
        }

    @admin.display(description=_("Requested at"), ordering="batch__created_at")
    def asked_at(self, batch: ScrapeBatch) -> Any:
        """Return when the batch was asked for."""
        return batch.batch.created_at

    @admin.display(description=_("Requested at"))
    def asked_at_of_one(self, batch: ScrapeBatch) -> str:
        """Return the same for the batch's own page, which does not format moments by itself."""
        return date_format(timezone.localtime(batch.batch.created_at), "DATETIME_FORMAT")

    @admin.display(description=_("Summary"))
    def came_of_it(self, batch: ScrapeBatch) -> str:
        """Return the result of the batch, after all its sessions have ended."""
        return batches.told(batch.summary) if batch.summary else "-"

    @admin.display(description=_("Sessions"))
    def sessions_of_it(self, batch: ScrapeBatch) -> str:
        """Return the sessions of the batch, with the result of each."""
        rows = batches.sessions_of(batch.pk)[:SHOWN_SESSIONS]
        return format_html_join(
            "",
            '<div><a class="text-link" href="{}">{}</a>: {}, {}</div>',
            (
                (
                    reverse("admin:scraping_scrapesession_change", args=[s.pk]),
                    s.bot_name,
                    s.get_status_display().lower(),
                    lifecycle.summary(s),
                )
                for s in rows
            ),
        )

    @admin.action(description=_("Cancel"), permissions=["run"])
    @asks_first(ENDS)
    def cancel_batches(self, request: HttpRequest, queryset: QuerySet[ScrapeBatch]) -> None:
        """Cancel all sessions of the selected batches that have not ended."""
        for batch in queryset:
            waiting, running = batches.cancel(batch, by=request.user)
            messages.success(
                request,
                gettext(
                    "%(batch)s: waiting sessions that will not start: %(waiting)d; running sessions "
                    "that end at their next safe point: %(running)d."
                )
                % {"batch": batch, "waiting": waiting, "running": running},
            )
