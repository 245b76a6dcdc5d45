"""Imports of dumps in the admin: how far each import has come, and what it stored."""

from django.contrib import admin
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from scraping.admin.evidence import EvidenceAdmin
from scraping.models import DumpImport

# The filters of an import, by their keys in `DumpImport.filters`.
FILTERS = {"subreddits": _("subreddits"), "since": _("since"), "until": _("until")}


@admin.register(DumpImport)
class DumpImportAdmin(EvidenceAdmin):
    """Dumps that were imported by `manage.py import_dump`."""

    list_display = ["path", "stands", "posts", "comments", "new", "rejected", "started_at"]
    list_filter = ["state"]
    search_fields = ["path"]
    fieldsets = [
        (
            None,
            {
                "description": _(
                    "If an import was interrupted, import the same file again. The import then "
                    "continues where it stopped."
                ),
                "fields": ["path", "file_size", "state", "asked_for"],
            },
        ),
        (_("Time"), {"fields": [("started_at", "updated_at", "finished_at")]}),
        (
            _("Counts"),
            {
                "fields": [
                    ("read", "lines", "rejected"),
                    ("posts", "comments", "filtered"),
                    ("new", "updated", "unchanged"),
                    "deleted",
                ]
            },
        ),
        (_("Coverage"), {"fields": ["streams"]}),
    ]

    @display(
        description=_("State"),
        ordering="state",
        label={"running": "info", "truncated": "warning", "finished": "success"},
    )
    def stands(self, row: DumpImport) -> tuple[str, str]:
        """Return the state in a word; the import's own page has the details."""
        states = {
            DumpImport.State.RUNNING: gettext("Running"),
            DumpImport.State.TRUNCATED: gettext("Truncated"),
            DumpImport.State.FINISHED: gettext("Finished"),
        }
        return row.state, states[DumpImport.State(row.state)]

    @admin.display(description=_("Size"))
    def file_size(self, row: DumpImport) -> str:
        """Return the size of the file, as it lies on disk."""
        return filesizeformat(row.size)

    @admin.display(description=_("Read"))
    def read(self, row: DumpImport) -> str:
        """Return how much of the file is done, in decompressed bytes."""
        return gettext("%(size)s, decompressed") % {"size": filesizeformat(row.position)}

    @admin.display(description=_("Filters"))
    def asked_for(self, row: DumpImport) -> str:
        """Return the subreddits and times that were asked for, or everything."""
        asked = [
            f"{FILTERS.get(name, name)}: {', '.join(value) if isinstance(value, list) else value}"
            for name, value in row.filters.items()
            if value
        ]
        return "; ".join(asked) or gettext("none: the import stores all items of the file")

    @admin.display(description=_("Streams with open gaps"))
    def streams(self, row: DumpImport) -> str:
        """Return the streams with open gaps for which the file has items."""
        return ", ".join(row.seen_streams) or gettext("none")
