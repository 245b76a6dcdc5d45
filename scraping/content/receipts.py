"""Reports on deletion: how many purges there were, how long they took, and how late checks are."""

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection
from django.db.models import Min, QuerySet
from django.utils import timezone

from scraping.models import DeletionReceipt, ItemCheck

FIELDS = ("fullname", "kind", "reason", "seen_at", "purged_at", "parts")
CONTENT_TYPES = {"csv": "text/csv", "ndjson": "application/x-ndjson"}

SUMMARY = """
SELECT reason, kind, count(*),
       percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds),
       percentile_cont(0.95) WITHIN GROUP (ORDER BY seconds), max(seconds)
FROM (
    SELECT reason, kind, extract(epoch FROM purged_at - seen_at)::float8 AS seconds
    FROM scraping_deletionreceipt
    WHERE (%(since)s::timestamptz IS NULL OR purged_at >= %(since)s)
      AND (%(until)s::timestamptz IS NULL OR purged_at < %(until)s)
) AS receipts
GROUP BY reason, kind ORDER BY reason, kind
"""


@dataclass(frozen=True)
class Purges:
    """The purges of one reason and kind of item; times are seconds from first seen to purged."""

    reason: str
    kind: str
    purged: int
    p50_seconds: float
    p95_seconds: float
    longest_seconds: float


@dataclass(frozen=True)
class Verification:
    """How late the verification of stored items is."""

    # The oldest last check among items whose subreddits can be read; None if there is no such item.
    oldest_at: datetime | None
    # The number of due items that wait for requests, and of items whose subreddits cannot be read.
    overdue: int
    unreadable: int

    @property
    def oldest_hours(self) -> float | None:
        """The hours since `oldest_at`; None if there is no such item."""
        if self.oldest_at is None:
            return None
        return (timezone.now() - self.oldest_at).total_seconds() / 3600


# Counts stop here: a higher number would only mean "many", and a count must not scan an index of
# millions.
COUNTED = 100_000


def verification() -> Verification:
    """Return how late verification is, by three queries of indexes."""
    due = ItemCheck.objects.filter(is_refresh=False, due_at__lte=timezone.now())
    hidden = ItemCheck.objects.filter(is_unreadable=True)
    readable = ItemCheck.objects.filter(is_unreadable=False)
    return Verification(
        oldest_at=readable.aggregate(oldest=Min("checked_at"))["oldest"],
        overdue=due.filter(is_unreadable=False)[:COUNTED].count(),
        unreadable=hidden[:COUNTED].count(),
    )


def summary(*, since: datetime | None = None, until: datetime | None = None) -> list[Purges]:
    """Return the purges from `since` on and before `until`, by reason and kind."""
    with connection.cursor() as cursor:
        cursor.execute(SUMMARY, {"since": since, "until": until})
        return [Purges(*row) for row in cursor.fetchall()]


def between(*, since: datetime | None = None, until: datetime | None = None) -> QuerySet[Any]:
    """Return the receipts from `since` on and before `until`, the oldest first."""
    receipts = DeletionReceipt.objects.order_by("purged_at", "pk")
    if since is not None:
        receipts = receipts.filter(purged_at__gte=since)
    if until is not None:
        receipts = receipts.filter(purged_at__lt=until)
    return receipts


def export(receipts: QuerySet[DeletionReceipt], form: str) -> Iterator[str]:
    """Yield receipts as lines of `csv`, with a header line, or of `ndjson`; read rows in pieces."""
    rows = receipts.values_list(*FIELDS).iterator(chunk_size=2_000)
    return _csv_lines(rows) if form == "csv" else _ndjson_lines(rows)


def _ndjson_lines(rows: Iterable[tuple[Any, ...]]) -> Iterator[str]:
    for row in rows:
        receipt = dict(zip(FIELDS, row, strict=True))
        yield json.dumps(receipt, cls=DjangoJSONEncoder) + "\n"


def _csv_lines(rows: Iterable[tuple[Any, ...]]) -> Iterator[str]:
    writer = csv.writer(_Line())
    yield writer.writerow(FIELDS)
    for *values, seen_at, purged_at, parts in rows:
        yield writer.writerow([*values, _moment(seen_at), _moment(purged_at), " ".join(parts)])


class _Line:
    """A file for `csv.writer` that returns each line instead of storing it."""

    def write(self, line: str) -> str:
        return line


def _moment(value: datetime) -> str:
    return value.isoformat()
