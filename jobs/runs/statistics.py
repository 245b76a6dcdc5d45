"""Statistics of a schedule, from the run history."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import connection
from django.utils import timezone

WINDOW = timedelta(days=30)


@dataclass(frozen=True)
class Statistics:
    """A schedule's runs of the last 30 days; durations in seconds, None if no run has ended."""

    runs: int
    ended: int
    succeeded: int
    mean: float | None
    p95: float | None
    p99: float | None
    last_at: datetime | None

    @property
    def success_share(self) -> float | None:
        """The share of successes among the ended runs, from 0 to 1."""
        return self.succeeded / self.ended if self.ended else None


def of_schedule(name: str) -> Statistics:
    """Return the statistics of the schedule `name`, using the index on that name."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT count(*),
                   count(*) FILTER (WHERE ended),
                   count(*) FILTER (WHERE status = 'SUCCESS'),
                   avg(seconds),
                   percentile_cont(0.95) WITHIN GROUP (ORDER BY seconds),
                   percentile_cont(0.99) WITHIN GROUP (ORDER BY seconds),
                   max(date_created)
            FROM (
                SELECT status, date_created,
                       status IN ('SUCCESS', 'FAILURE', 'REVOKED', 'SKIPPED') AS ended,
                       CASE WHEN status IN ('SUCCESS', 'FAILURE') AND date_started IS NOT NULL
                            THEN extract(epoch FROM date_done - date_started) END AS seconds
                FROM django_celery_results_taskresult
                WHERE periodic_task_name = %s AND date_created > %s
            ) AS recent
            """,
            [name, timezone.now() - WINDOW],
        )
        runs, ended, succeeded, mean, p95, p99, last_at = cursor.fetchone()
    return Statistics(runs, ended, succeeded, _number(mean), _number(p95), _number(p99), last_at)


def _number(value: Decimal | float | None) -> float | None:
    return None if value is None else float(value)
