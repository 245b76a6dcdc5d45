"""Pages of the admin that belong to no model."""

from typing import Any

from django.contrib.admin.sites import AdminSite
from django.core.exceptions import PermissionDenied
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts.ownership import owned_by
from bots.models import BotConfig
from scraping import matching
from scraping.admin.forms import CostForm, PreviewForm
from scraping.coverage.rates import DEFAULT_PER_HOUR
from scraping.planning.cost import estimate

SHOWN_TERMS = 20


@require_POST
def preview(request: HttpRequest, *, site: AdminSite) -> HttpResponse:
    """Show what a bot would have matched, as it stands in its form; nothing is saved.

    Only users who may add or change bots may call this. It reads nothing of a bot but the typed form,
    so the owner of the bot does not matter.
    """
    _require_editor(request)
    form = PreviewForm.of(request.user)(request.POST)
    context = site.each_context(request) | {"title": _("Preview of matches")}
    if form.is_valid():
        found = matching.preview(form.instance)
        context |= {
            "asks_for_numbers": bool(form.instance.min_score or form.instance.min_comments),
            "preview": found,
            "subreddits": form.instance.subreddits,
            "by_term": found.by_term.most_common(SHOWN_TERMS),
        }
    else:
        context["faults"] = _faults(form)
    context |= _cost(request)
    return TemplateResponse(request, "admin/scraping/botitem/preview.html", context)


@require_POST
def cost(request: HttpRequest) -> HttpResponse:
    """Show what a bot would cost its app, as it stands in its form; the answer is a piece of a page.

    Only users who may add or change bots may call this, and only for their own apps. `bot` in the query
    is the id of the bot, if it is saved.
    """
    _require_editor(request)
    return TemplateResponse(request, "admin/scraping/botitem/cost.html", _cost(request))


def _cost(request: HttpRequest) -> dict[str, Any]:
    number = request.GET.get("bot", "")
    # Only the user's own bots are found. A bot of another user counts as a second, new bot of the same
    # kind.
    own = owned_by(BotConfig.objects.all(), request.user)
    bot = own.filter(pk=int(number)).first() if number.isdecimal() and len(number) < 19 else None
    form = CostForm.of(request.user)(request.POST, instance=bot)
    if not form.is_valid():
        return {"cost_faults": _faults(form)}
    return {"cost": estimate(form.instance), "assumed": DEFAULT_PER_HOUR}


def _require_editor(request: HttpRequest) -> None:
    if not request.user.has_perm("bots.add_botconfig") and not request.user.has_perm(
        "bots.change_botconfig"
    ):
        raise PermissionDenied


def _faults(form: BaseForm) -> list[tuple[str, list[str]]]:
    return [
        (
            str(form.fields[name].label) if name in form.fields else _("Form"),
            [str(message) for message in messages],
        )
        for name, messages in form.errors.items()
    ]
