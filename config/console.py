"""The admin's navigation and front page."""

from typing import TYPE_CHECKING, Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:  # the package comes with mypy's stubs, and only with them
    from django_stubs_ext import StrOrPromise


def _link(
    title: "StrOrPromise", icon: str, model: str, permission: str | None = None
) -> dict[str, Any]:
    app, name = model.split(".")
    permission = permission or f"{app}.view_{name}"
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{app}_{name}_changelist"),
        "permission": lambda request: request.user.has_perm(permission),
    }


UNFOLD = {
    "SITE_TITLE": "Lurker",
    "SITE_HEADER": "Lurker",
    "SITE_SUBHEADER": _("Reddit, collected completely"),
    "SITE_SYMBOL": "radar",
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "type": "image/svg+xml",
            "href": lambda request: static("lurker/icon.svg"),
        }
    ],
    "STYLES": [lambda request: static("lurker/pages.css")],
    "SITE_URL": None,
    "SHOW_VIEW_ON_SITE": False,
    "BORDER_RADIUS": "6px",
    "DASHBOARD_CALLBACK": "config.console.dashboard",
    "COLORS": {
        # The accent: Reddit's neighbour on the colour wheel, not its orange.
        "primary": {
            "50": "oklch(97% .014 254.6)",
            "100": "oklch(93.2% .032 255.6)",
            "200": "oklch(88.2% .059 254.1)",
            "300": "oklch(80.9% .105 251.8)",
            "400": "oklch(70.7% .165 254.6)",
            "500": "oklch(62.3% .214 259.8)",
            "600": "oklch(54.6% .245 262.9)",
            "700": "oklch(48.8% .243 264.4)",
            "800": "oklch(42.4% .199 265.6)",
            "900": "oklch(37.9% .146 265.5)",
            "950": "oklch(28.2% .091 267.9)",
        },
    },
    "SIDEBAR": {
        "show_search": True,
        "show_all_applications": False,
        "navigation": [
            {
                "title": _("Bots and sessions"),
                "items": [
                    _link(_("Bots"), "smart_toy", "bots.botconfig"),
                    _link(_("Sessions"), "history", "scraping.scrapesession"),
                    _link(_("Batches of sessions"), "stacks", "scraping.scrapebatch"),
                    _link(_("Reddit apps"), "key", "bots.redditapp"),
                ],
            },
            {
                "title": _("Collection"),
                "items": [
                    _link(_("Posts"), "article", "scraping.redditpost"),
                    _link(_("Comments"), "forum", "scraping.redditcomment"),
                    _link(_("Matches"), "target", "scraping.botitem"),
                    _link(_("Dump imports"), "upload_file", "scraping.dumpimport"),
                ],
            },
            {
                "title": _("Coverage"),
                "items": [
                    _link(_("Streams"), "calendar_view_week", "scraping.stream"),
                    _link(_("Gaps"), "report", "scraping.gap"),
                    _link(_("Subreddits"), "groups", "scraping.subreddit"),
                    _link(_("Deletions"), "delete_sweep", "scraping.deletionreceipt"),
                ],
            },
            {
                "title": _("Schedules and runs"),
                "collapsible": True,
                "items": [
                    _link(_("Schedules"), "schedule", "django_celery_beat.periodictask"),
                    _link(_("Runs"), "list_alt", "django_celery_results.taskresult"),
                    _link(_("Failed runs"), "error", "jobs.deadletter"),
                    _link(_("Batches of runs"), "dynamic_feed", "jobs.batch"),
                    _link(_("Intervals"), "timer", "django_celery_beat.intervalschedule"),
                    _link(_("Crontabs"), "calendar_month", "django_celery_beat.crontabschedule"),
                ],
            },
            {
                "title": _("Accounts"),
                "collapsible": True,
                "items": [
                    _link(_("Users"), "person", "accounts.user"),
                    _link(_("Groups"), "group", "auth.group"),
                ],
            },
        ],
    },
}


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the front page's figures to the admin's context."""
    from accounts.ownership import logged_in
    from scraping.content import receipts
    from scraping.sessions import selectors

    return context | {
        "title": gettext("Overview"),
        "overview": selectors.overview(logged_in(request.user)),
        "verification": receipts.verification(),
    }
