"""What was purged once must not come back by another door."""

from collections.abc import Collection

from scraping.models import DeletionReceipt


def purged_fullnames(fullnames: Collection[str]) -> set[str]:
    """Those among the fullnames whose content a receipt says was purged; not only the author's name.

    The one place where an import asks: a receipt outlives the item's row.
    """
    receipts = DeletionReceipt.objects.filter(fullname__in=list(fullnames)).exclude(
        parts=["author"]
    )
    return set(receipts.values_list("fullname", flat=True))
