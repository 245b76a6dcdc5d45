"""Imports of dumps in the admin: how far each import has come, and what it stored."""

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
        """Return the state in a word; the import's own page has the details."""
        return row.state, row.state.capitalize()

    @admin.display(description="Size")
    def file_size(self, row: DumpImport) -> str:
        """Return the size of the file, as it lies on disk."""
        return filesizeformat(row.size)

    @admin.display(description="Read")
    def read(self, row: DumpImport) -> str:
        """Return how much of the file is done, in decompressed bytes."""
        return f"{filesizeformat(row.position)}, decompressed"

    @admin.display(description="Asked for")
    def asked_for(self, row: DumpImport) -> str:
        """Return the subreddits and times that were asked for, or everything."""
        asked = [
            f"{name.replace('_', ' ')}: {', '.join(value) if isinstance(value, list) else value}"
            for name, value in row.filters.items()
            if value
        ]
        return "; ".join(asked) or "everything in it"

    @admin.display(description="Streams with open gaps in it")
    def streams(self, row: DumpImport) -> str:
        """Return the streams with open gaps for which the file has items."""
        return ", ".join(row.seen_streams) or "none"
