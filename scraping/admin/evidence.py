"""The admin of evidence: nobody adds, edits or deletes evidence in the admin."""

from django.db.models import Model
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.paginator import InfinitePaginator


class EvidenceAdmin(ModelAdmin):
    """A read-only admin. It does not count a large table for each page."""

    show_full_result_count = False
    paginator = InfinitePaginator
    list_per_page = 50
    list_filter_submit = True

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody may add evidence."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody may change evidence."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody may delete evidence: retention and deletion have rules of their own."""
        return False
