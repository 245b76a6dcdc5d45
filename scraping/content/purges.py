"""What was purged once must not come back by another door."""

from collections.abc import Collection

from django.db import connection

# One text and not thousands of values: an import asks for each of its batches.
PURGED = """
SELECT DISTINCT fullname FROM unnest(string_to_array(%s, ' ')) AS s (fullname)
JOIN scraping_deletionreceipt r USING (fullname) WHERE r.parts <> '{author}'
"""


def purged_fullnames(fullnames: Collection[str]) -> set[str]:
    """Those among the fullnames whose content a receipt says was purged; not only the author's name.

    The one place where an import asks: a receipt outlives the item's row.
    """
    with connection.cursor() as cursor:
        cursor.execute(PURGED, [" ".join(fullnames)])
        return {fullname for (fullname,) in cursor.fetchall()}
