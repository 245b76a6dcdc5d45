"""Imports of dumps: how far each has come, and what it stored."""

from django.contrib import admin
from django.template.defaultfilters import filesizeformat
from unfold.decorators import display

from scraping.admin.evidence import EvidenceAdmin
from scraping.models import DumpImport


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
                "description": "An import that was interrupted goes on where it stopped when the "
                "same file is imported again.",
                "fields": ["path", "file_size", "state", "asked_for"],
            },
        ),
        ("Time", {"fields": [("started_at", "updated_at", "finished_at")]}),
        (
            "Counts",
            {
                "fields": [
                    ("read", "lines", "rejected"),
                    ("posts", "comments", "filtered"),
                    ("new", "updated", "unchanged"),
                    "deleted",
                ]
            },
        ),
        ("Coverage", {"fields": ["streams"]}),
    ]

    @display(
        description="State",
        ordering="state",
        label={"running": "info", "truncated": "warning", "finished": "success"},
    )
    def stands(self, row: DumpImport) -> tuple[str, str]:
        """How it stands, in a word; its own page has the rest."""
        return row.state, row.state.capitalize()

    @admin.display(description="Size")
    def file_size(self, row: DumpImport) -> str:
        """Of the file, as it lies on disk."""
        return filesizeformat(row.size)

    @admin.display(description="Read")
    def read(self, row: DumpImport) -> str:
        """How much of it is done."""
        return f"{filesizeformat(row.position)}, decompressed"

    @admin.display(description="Asked for")
    def asked_for(self, row: DumpImport) -> str:
        """The subreddits and times, or everything."""
        asked = [
            f"{name.replace('_', ' ')}: {', '.join(value) if isinstance(value, list) else value}"
            for name, value in row.filters.items()
            if value
        ]
        return "; ".join(asked) or "everything in it"

    @admin.display(description="Streams with open gaps in it")
    def streams(self, row: DumpImport) -> str:
        """Those of which it has items."""
        return ", ".join(row.seen_streams) or "none"
