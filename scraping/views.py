"""Pages beside those of the admin's models."""

from django.contrib.admin.sites import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.views.decorators.http import require_POST

from scraping import matching
from scraping.forms import PreviewForm

SHOWN_TERMS = 20


@require_POST
def preview(request: HttpRequest, *, site: AdminSite) -> HttpResponse:
    """What a bot as it stands in its form would have matched; nothing is saved.

    For whoever may add or change bots. It reads nothing of any bot but what was typed, so that it
    does not matter whose bot the form is of.
    """
    if not request.user.has_perm("bots.add_botconfig") and not request.user.has_perm(
        "bots.change_botconfig"
    ):
        raise PermissionDenied
    form = PreviewForm.of(request.user)(request.POST)
    context = site.each_context(request)
    if form.is_valid():
        found = matching.preview(form.instance)
        context |= {
            "preview": found,
            "subreddits": form.instance.subreddits,
            "by_term": found.by_term.most_common(SHOWN_TERMS),
        }
    else:
        context["faults"] = [
            (form.fields[name].label if name in form.fields else "Form", list(messages))
            for name, messages in form.errors.items()
        ]
    return TemplateResponse(request, "admin/scraping/botitem/preview.html", context)
