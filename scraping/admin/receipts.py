"""Receipts of purges in the admin: shown, and exported as files."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.decorators import action, display

from scraping.admin.evidence import EvidenceAdmin
from scraping.content import receipts
from scraping.models import DeletionReceipt


@admin.register(DeletionReceipt)
class DeletionReceiptAdmin(EvidenceAdmin):
    """Receipts: what was purged, why and when, without its content."""

    list_display = ["fullname", "kind", "why", "seen_at", "purged_at", "purged_parts"]
    list_filter = ["reason", "kind", ("purged_at", RangeDateTimeFilter)]
    search_fields = ["=fullname"]
    actions = ["export_csv", "export_ndjson"]

    @display(
        description=_("Reason"),
        ordering="reason",
        label=dict.fromkeys(["deleted", "gone", "account"], "info") | {"removed": "warning"},
    )
    def why(self, receipt: DeletionReceipt) -> tuple[str, str]:
        """Return what happened to the item on Reddit."""
        return receipt.reason, receipt.get_reason_display()

    @admin.display(description=_("Purged parts"))
    def purged_parts(self, receipt: DeletionReceipt) -> str:
        """Return the parts that were purged."""
        return ", ".join(receipt.parts)

    @action(description=_("Export as CSV"), permissions=["view"])
    def export_csv(
        self, request: HttpRequest, queryset: QuerySet[DeletionReceipt]
    ) -> StreamingHttpResponse:
        """Return the selected receipts as a file."""
        return _download(queryset, "csv")

    @action(description=_("Export as NDJSON"), permissions=["view"])
    def export_ndjson(
        self, request: HttpRequest, queryset: QuerySet[DeletionReceipt]
    ) -> StreamingHttpResponse:
        """Return the selected receipts as a file."""
        return _download(queryset, "ndjson")


def _download(queryset: QuerySet[DeletionReceipt], form: str) -> StreamingHttpResponse:
    return StreamingHttpResponse(
        receipts.export(queryset, form),
        content_type=receipts.CONTENT_TYPES[form],
        headers={"Content-Disposition": f'attachment; filename="deletion-receipts.{form}"'},
    )
