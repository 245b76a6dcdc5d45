"""Subreddits in the admin: whether they can be read, and links to their stored items."""

from datetime import datetime

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from scraping.admin.evidence import EvidenceAdmin
from scraping.models import Subreddit


@admin.register(Subreddit)
class SubredditAdmin(EvidenceAdmin):
    """Subreddits, and whether they can be read."""

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
        description=_("State"),
        ordering="status",
        label={"ok": "success", "unknown": "info"}
        | dict.fromkeys(
            ["private", "quarantined", "gated", "banned", "missing", "renamed"], "danger"
        ),
    )
    def state(self, subreddit: Subreddit) -> tuple[str, str]:
        """Return the state, as Reddit last said."""
        return subreddit.status, subreddit.get_status_display()

    @admin.display(description=_("Next probe at"))
    def next_probe(self, subreddit: Subreddit) -> datetime | None:
        """Return when Reddit is next asked about a subreddit that cannot be read."""
        return None if subreddit.is_readable else subreddit.next_probe_at

    @admin.display(description=_("Coverage"))
    def streams(self, subreddit: Subreddit) -> str:
        """Return a link to the subreddit's streams."""
        url = reverse("admin:scraping_stream_changelist")
        return format_html(
            '<a class="text-link" href="{}?subreddit__id__exact={}">{}</a>',
            url,
            subreddit.pk,
            gettext("Streams"),
        )

    @admin.display(description=_("Content"))
    def posts(self, subreddit: Subreddit) -> str:
        """Return links to the subreddit's stored posts and comments."""
        urls = [
            reverse(f"admin:scraping_{model}_changelist")
            for model in ("redditpost", "redditcomment")
        ]
        return format_html(
            '<a class="text-link" href="{}?subreddit__id__exact={}">{}</a>, '
            '<a class="text-link" href="{}?subreddit__id__exact={}">{}</a>',
            urls[0],
            subreddit.pk,
            gettext("posts"),
            urls[1],
            subreddit.pk,
            gettext("comments"),
        )
