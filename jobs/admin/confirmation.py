"""A page that asks before an action of the admin's lists: the rows, and the consequence."""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import model_ngettext, quote
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from unfold.admin import ModelAdmin

if TYPE_CHECKING:  # the package comes with mypy's stubs, and only with them
    from django_stubs_ext import StrOrPromise

Action = Callable[[Any, HttpRequest, QuerySet[Any]], HttpResponse | None]

# How many rows the page names, and how far it counts.
SHOWN = 20
COUNTED = 10_000


def asks_first(consequence: "StrOrPromise") -> Callable[[Action], Action]:
    """Make an action wait for a second POST from a page that shows its consequence.

    Both POSTs go through Django's handling of actions, which checks the CSRF token, the action's
    permissions and the rows that the user may see each time.
    """

    def decorate(action: Action) -> Action:
        @wraps(action)
        def ask(admin: ModelAdmin, request: HttpRequest, rows: QuerySet[Any]) -> Any:
            if request.POST.get("confirmed") == "yes":
                return action(admin, request, rows)
            return _page(admin, request, rows, name=action.__name__, consequence=consequence)

        return ask

    return decorate


def _page(
    admin: ModelAdmin,
    request: HttpRequest,
    rows: QuerySet[Any],
    *,
    name: str,
    consequence: "StrOrPromise",
) -> HttpResponse | None:
    count = rows.order_by()[:COUNTED].count()
    if not count:
        messages.warning(request, _("None of the selected rows exists any more."))
        return None
    opts = admin.opts
    shown = [
        (
            str(row),
            reverse(f"admin:{opts.app_label}_{opts.model_name}_change", args=[quote(row.pk)]),
        )
        for row in rows[:SHOWN]
    ]
    found = admin.get_actions(request)[name]
    wanted = found[2] if found else name
    if count == COUNTED:
        question = _("%(action)s at least %(count)s %(rows)s?")
    else:
        question = _("%(action)s %(count)s %(rows)s?")
    context = {
        **admin.admin_site.each_context(request),
        "opts": opts,
        "title": _("%(action)s: are you sure?") % {"action": wanted},
        "question": question
        % {"action": wanted, "count": f"{count:,}", "rows": model_ngettext(opts, count)},
        "consequence": consequence,
        "rows": shown,
        "more": count - len(shown),
        "action": name,
        "checkbox": ACTION_CHECKBOX_NAME,
        "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
        "across": request.POST.get("select_across") == "1",
        "back": request.get_full_path(),
    }
    request.current_app = admin.admin_site.name
    return TemplateResponse(request, "admin/confirm_action.html", context)
