"""Problems of schedules, recorded with their policies, where the admin shows them."""

import logging
from collections.abc import Iterable

from django.db import connection
from django.utils import timezone
from django.utils.translation import gettext as _

from jobs.beat.rows import Schedule

logger = logging.getLogger(__name__)


def refused(error: Exception) -> str:
    """Return the problem of a schedule whose run the database refuses."""
    return _("The database refuses the run: %(error)s. Beat tries again.") % {
        "error": str(error).strip()
    }


def unexpected(error: Exception) -> str:
    """Return the problem of a schedule that cannot be fired for an unforeseen reason."""
    return _(
        "Beat cannot fire the schedule (%(error)s). Beat tries again; its log has the traceback."
    ) % {"error": f"{type(error).__name__}: {str(error).strip()}"}


def report(schedules: Iterable[Schedule]) -> None:
    """Record new problems, and the end of old ones; log each once."""
    changed = [
        schedule
        for schedule in schedules
        if not schedule.gone and schedule.problem != schedule.recorded_problem
    ]
    if not changed:
        return
    with connection.cursor() as cursor:
        # The join leaves out a schedule that was deleted meanwhile.
        cursor.execute(
            """
            INSERT INTO jobs_schedulepolicy
                (periodic_task_id, coalesce, jitter_seconds, skip_if_running, problem, problem_since)
            SELECT t.id, true, 0, false, found.problem, CASE WHEN found.problem <> '' THEN %s END
            FROM unnest(%s::int[], %s::text[]) AS found (id, problem)
            JOIN django_celery_beat_periodictask t USING (id)
            ON CONFLICT (periodic_task_id) DO UPDATE
            SET problem = EXCLUDED.problem, problem_since = EXCLUDED.problem_since
            """,
            [
                timezone.now(),
                [schedule.id for schedule in changed],
                [_storable(schedule.problem) for schedule in changed],
            ],
        )
    for schedule in changed:
        if schedule.problem:
            logger.error("schedule %s does not run. %s", schedule.name, schedule.problem)
        else:
            logger.warning("schedule %s can run again", schedule.name)
        schedule.recorded_problem = schedule.problem


def _storable(text: str) -> str:
    """Replace characters that PostgreSQL cannot store: an error may quote any text."""
    return text.encode(errors="replace").decode().replace("\x00", "?")
