"""What was purged once must not come back by another door."""

from collections.abc import Collection

from django.apps import apps


def purged_fullnames(fullnames: Collection[str]) -> set[str]:
    """Those among the fullnames of which a receipt says that they were purged.

    The one place where an import asks. The receipts' model is found by its name.
    """
    try:
        receipts = apps.get_model("scraping", "DeletionReceipt")
    except LookupError:
        return set()
    found = receipts._default_manager.filter(fullname__in=list(fullnames))
    return set(found.values_list("fullname", flat=True))
