"""The query for purged items, so that no import brings purged items back."""

from collections.abc import Collection

from django.db import connection

# The names are one text, not thousands of values, because an import asks for each of its batches.
PURGED = """
SELECT DISTINCT fullname FROM unnest(string_to_array(%s, ' ')) AS s (fullname)
JOIN scraping_deletionreceipt r USING (fullname) WHERE r.parts <> '{author}'
"""


def purged_fullnames(fullnames: Collection[str]) -> set[str]:
    """Return the fullnames whose content was purged, according to receipts.

    A receipt for the author's name alone does not count. Imports ask only here, because a receipt
    outlives the item's row.
    """
    with connection.cursor() as cursor:
        cursor.execute(PURGED, [" ".join(fullnames)])
        return {fullname for (fullname,) in cursor.fetchall()}
