"""The counts of sessions in words, in the language of the reader."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy

if TYPE_CHECKING:  # the package comes with mypy's stubs, and only with them
    from django_stubs_ext import StrPromise

PHRASES: "dict[str, StrPromise]" = {
    "posts_seen": ngettext_lazy("%(count)d post", "%(count)d posts", "count"),
    "comments_seen": ngettext_lazy("%(count)d comment", "%(count)d comments", "count"),
    "new": _("%(count)d new"),
    "updated": _("%(count)d updated"),
    "matched": _("%(count)d matched"),
    "gaps_closed": ngettext_lazy("%(count)d gap closed", "%(count)d gaps closed", "count"),
    "requests": ngettext_lazy("%(count)d request", "%(count)d requests", "count"),
    "wait_seconds": _("%(count).0f s waited"),
}


def in_words(counts: Mapping[str, float]) -> str:
    """Return counts as one line, such as "7 posts, 1 comment, 3 new"; the keys are columns of sessions."""
    return ", ".join(PHRASES[name] % {"count": count} for name, count in counts.items())
