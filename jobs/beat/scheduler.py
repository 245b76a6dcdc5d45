"""Beat: fires each due schedule once, however many beats are running.

The class subclasses django-celery-beat's scheduler and shares its models, its admin and its public
methods, but has another engine. `schedule`, `all_as_schedule()`, `reserve()` and `sync()` exist for
outside callers; `tick()` uses none of them.
"""

import logging
import time
import weakref
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import psycopg2
from celery.beat import Scheduler
from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist
from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    close_old_connections,
    connection,
)
from django.db.models import QuerySet
from django.utils import timezone
from django_celery_beat.models import PeriodicTask, PeriodicTasks
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry

from jobs.beat import problems
from jobs.beat.due_heap import DueHeap, DueItem
from jobs.beat.error_log import ErrorLog
from jobs.beat.firing import Outcome, fire
from jobs.beat.loaded import LoadedSchedules, Refreshed
from jobs.beat.publisher import Publisher
from jobs.beat.rows import Schedule
from jobs.locks import StandingLock

logger = logging.getLogger(__name__)

# The leader holds this lock: `locks.holder(LEADER_LOCK)` shows whether any beat fires schedules.
LEADER_LOCK = "beat"
# How many schedules one transaction fires.
BATCH_SIZE = 500
# The least seconds between two ticks; beat fires together what falls due in between.
SHORTEST_PAUSE = 0.05
# Seconds until beat retries what failed or was locked, and between a standby's attempts to lead.
RETRY_SECONDS = 1.0
# The longest pause before beat retries a schedule that cannot be fired; the pauses double.
LONGEST_RETRY_SECONDS = 60.0

FIRING = "beat: firing a schedule"

DATABASE_ERRORS = (DatabaseError, InterfaceError, psycopg2.Error)


class Entry(ModelEntry):
    """django-celery-beat's entry, which saves only the columns that belong to beat."""

    def save(self) -> None:
        """Write the last run and the count; keep the admin's edits.

        Raises PeriodicTask.DoesNotExist if the schedule was deleted.
        """
        rows = PeriodicTask.objects.filter(pk=self.model.pk)
        if not rows.update(
            last_run_at=self.model.last_run_at, total_run_count=self.model.total_run_count
        ):
            raise PeriodicTask.DoesNotExist(f"schedule {self.name} was deleted")
        PeriodicTasks.changed(self.model)


class LeaderScheduler(DatabaseScheduler):
    """Leads by an advisory lock, sees every change, and writes each firing before it sends it.

    A standby beat tries to lead every second. An announced edit takes effect within
    `CELERY_BEAT_MAX_LOOP_INTERVAL` seconds, an unannounced edit within `BEAT_RESYNC_SECONDS`.
    """

    Entry = Entry

    # The scheduler in this process that last tried to lead.
    _leader_here: "weakref.ref[LeaderScheduler] | None" = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._dirty: set[str] = set()
        self._due = DueHeap()
        # Skip DatabaseScheduler.__init__: it registers the scheduler to write at the process's
        # exit, and so keeps a reference to it.
        Scheduler.__init__(self, *args, **kwargs)
        self.max_interval = (
            kwargs.get("max_interval") or self.app.conf.beat_max_loop_interval or RETRY_SECONDS
        )
        self.leadership = StandingLock(LEADER_LOCK)
        self.publisher = Publisher(self.app)
        self.loaded = LoadedSchedules(self.app)
        self._resync_seconds: float = settings.BEAT_RESYNC_SECONDS
        self._seen_stamp: Any = None
        self._resync_at = 0.0
        # After a failed look: when the next look may come.
        self._look_again_at = 0.0
        # Schedules whose problem may have changed, and schedules that cannot be fired, by id.
        self._to_report: dict[int, Schedule] = {}
        self._failing: dict[int, Schedule] = {}
        self._errors = ErrorLog(logger)
        # The last logged problem of the database or the leadership.
        self._trouble = ""
        self._leads: bool | None = None

    # --- The engine -------------------------------------------------------------------------------

    def tick(self, *_: Any, **__: Any) -> float:
        """Fire all due schedules; return the seconds to sleep.

        It raises no error: an error would end beat, and with it all schedules.
        """
        with self._errors.watching("beat: a tick"):
            try:
                return self._tick()
            except DATABASE_ERRORS as error:
                self._look_again_at = 0.0
                self._note_trouble(f"the database cannot be used: {str(error).strip()}")
                self._drop_connection()
        return min(RETRY_SECONDS, self.max_interval)

    def _tick(self) -> float:
        retry = min(RETRY_SECONDS, self.max_interval)
        if not self._is_leader():
            return retry
        self._replace_old_connection()
        # Beat fires the schedules that it knows, even if the look fails.
        if time.monotonic() >= self._look_again_at:
            with self._errors.watching("beat: looking for changes", unless=DATABASE_ERRORS):
                self._look_again_at = time.monotonic() + RETRY_SECONDS
                self._look()
                self._look_again_at = 0.0
        now = timezone.now()
        while batch := self._due.pop_due(now, BATCH_SIZE):
            if not self._fire(batch, now):
                return retry
        self._report_problems()
        self._note_trouble("")
        return self._pause()

    def _is_leader(self) -> bool:
        if self.leadership.acquired and not self.leadership.is_alive():
            self._step_down("its connection to the database was lost")
        if not self.leadership.acquired:
            self._inherit_leadership()
            if not self.leadership.try_acquire():
                if self._leads is not False:
                    logger.info("beat: another beat leads; standing by")
                    self._leads = False
                return False
        if self._leads is not True:
            # Only the database knows what another beat has fired meanwhile.
            self._forget_all()
            logger.info("beat: leads from now on")
            self._leads = True
        return True

    def _inherit_leadership(self) -> None:
        """Take the leadership from another scheduler of this process: the process leads, not the object."""
        reference = LeaderScheduler._leader_here
        predecessor = None if reference is None else reference()
        if predecessor is not None and predecessor is not self and predecessor.leadership.acquired:
            self.leadership, predecessor.leadership = predecessor.leadership, self.leadership
            predecessor._step_down("another scheduler of this process took over")
        LeaderScheduler._leader_here = weakref.ref(self)

    def _step_down(self, why: str) -> None:
        logger.warning("beat: leads no longer, %s", why)
        self._leads = None
        self._forget_all()

    def _forget_all(self) -> None:
        self.loaded = LoadedSchedules(self.app)
        self._due = DueHeap()
        self._failing = {}
        self._to_report = {}
        self._resync_at = 0.0
        self._look_again_at = 0.0

    def _look(self) -> None:
        """Load changes: after each announced change, and every BEAT_RESYNC_SECONDS."""
        stamp = self.Changes.last_change()
        if stamp == self._seen_stamp and time.monotonic() < self._resync_at:
            return
        self._plan(self.loaded.refresh())
        self._seen_stamp = stamp
        self._resync_at = time.monotonic() + self._resync_seconds

    def _plan(self, found: Refreshed) -> None:
        for schedule in found.changed:
            schedule.plan()
            self._note_problem(schedule)
        if len(found.changed) + len(found.removed) > len(self._due) // 8:
            self._due.rebuild(self.loaded.by_id.values())
        else:
            for schedule in found.changed:
                self._push(schedule)

    def _push(self, schedule: Schedule) -> None:
        self._due.push(schedule)
        # A replaced item stays in the heap until its time comes, or until such items are the
        # majority.
        if len(self._due) > 2 * len(self.loaded.by_id) + 1000:
            self._due.rebuild(self.loaded.by_id.values())

    def _fire(self, batch: list[Schedule], now: datetime) -> bool:
        """Fire a batch; return whether to continue with the next."""
        done = False
        try:
            if not self.leadership.is_alive():
                self._step_down("its connection to the database was lost")
                return False
            for schedule in batch:
                if schedule.failures:
                    schedule.row_problem = ""  # the cause may have been elsewhere
            outcome = self._fire_apart(batch, now)
            done = True
        finally:
            if not done:  # nothing was written: all schedules stay due
                for schedule in batch:
                    self._push(schedule)
        for schedule in outcome.decided:
            schedule.failures = 0
            if schedule.problem:
                # Its slots wait until the problem is solved; look again at the next slot.
                schedule.due = schedule.next_after(now)
            else:
                schedule.plan()
            if schedule.due is not None and schedule.due <= now:
                # Its timing contradicts itself; without a pause this tick would never end.
                schedule.due = now + timedelta(seconds=RETRY_SECONDS)
            self._push(schedule)
            self._note_problem(schedule)
        for schedule in outcome.contested:
            schedule.due = now + timedelta(seconds=RETRY_SECONDS)
            self._push(schedule)
        for schedule in outcome.failed:
            pause = min(RETRY_SECONDS * 2 ** min(schedule.failures, 10), LONGEST_RETRY_SECONDS)
            schedule.failures += 1
            schedule.due = now + timedelta(seconds=pause)
            self._push(schedule)
            self._note_problem(schedule)
        if outcome.contested:
            self._resync_at = 0.0
        self._note_failing(outcome)
        with self._errors.watching("beat: handing runs to the publisher"):
            self.publisher.put(outcome.runs)
        return True

    def _fire_apart(self, batch: list[Schedule], now: datetime) -> Outcome:
        """Fire a batch; if it fails, fire its halves, to isolate the schedules that cannot be fired.

        Raises DATABASE_ERRORS, except the errors that a schedule's own values cause.
        """
        try:
            return fire(self.app, self.loaded, batch, now)
        except (DataError, IntegrityError) as error:
            problem = problems.refused(error)
        except DATABASE_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001 - logged, and reported as the schedule's problem
            problem = problems.unexpected(error)
            if len(batch) == 1:
                self._errors.failed(FIRING, error)
        if len(batch) == 1:
            batch[0].row_problem = problem
            return Outcome(failed=batch)
        middle = len(batch) // 2
        return self._fire_apart(batch[:middle], now) + self._fire_apart(batch[middle:], now)

    def _note_failing(self, outcome: Outcome) -> None:
        """Track the schedules that cannot be fired; log when none is left."""
        if not self._failing and not outcome.failed:
            return
        decided = {schedule.id for schedule in outcome.decided}
        failing = self._failing | {schedule.id: schedule for schedule in outcome.failed}
        self._failing = {
            schedule_id: schedule
            for schedule_id, schedule in failing.items()
            if schedule_id not in decided and not schedule.gone
        }
        if not self._failing:
            self._errors.worked(FIRING)

    def _note_problem(self, schedule: Schedule) -> None:
        if schedule.problem != schedule.recorded_problem:
            self._to_report[schedule.id] = schedule

    def _report_problems(self) -> None:
        with self._errors.watching("beat: reporting problems", unless=DATABASE_ERRORS):
            problems.report(self._to_report.values())
            self._to_report = {}

    def _pause(self) -> float:
        first = self._due.first()
        if first is None:
            return self.max_interval
        left = (first - timezone.now()).total_seconds()
        return min(max(left, SHORTEST_PAUSE), self.max_interval)

    def _note_trouble(self, trouble: str) -> None:
        """Log the start and the end of trouble, each once."""
        if bool(trouble) != bool(self._trouble):
            if trouble:
                logger.error("beat: %s. Nothing is fired; trying again.", trouble)
            else:
                logger.warning("beat: the database can be used again")
        self._trouble = trouble

    def _replace_old_connection(self) -> None:
        if not connection.in_atomic_block:  # closing would break the transaction
            close_old_connections()

    def _drop_connection(self) -> None:
        if not connection.in_atomic_block:
            connection.close()

    # --- The surface of django-celery-beat --------------------------------------------------------

    @property
    def _heap(self) -> list[DueItem]:
        return self._due.items

    @_heap.setter
    def _heap(self, _: Any) -> None:
        """Ignore the value: Celery and django-celery-beat empty their heap here, but this one is current."""

    def populate_heap(self, *_: Any, **__: Any) -> None:
        """Load changes from the database into the heap."""
        self._plan(self.loaded.refresh())

    def setup_schedule(self) -> None:
        """Write the schedules of the settings to the database, without reading all others."""
        try:
            self.install_default_entries({})
            self.update_from_dict(self.app.conf.beat_schedule)
        except DATABASE_ERRORS as error:
            self._trouble = str(error)
            logger.exception("beat: the schedules of the settings could not be written")

    def update_from_dict(self, mapping: Mapping[str, Any]) -> None:
        """Create or correct these schedules; log and skip a schedule that cannot be written."""
        if mapping:
            super().update_from_dict(mapping)

    def enabled_models_qs(self) -> QuerySet[PeriodicTask]:
        """Return all enabled schedules; the parent's filter by hour would hide missed slots."""
        enabled: QuerySet[PeriodicTask] = self.Model.objects.enabled()
        return enabled

    def all_as_schedule(self) -> dict[str, ModelEntry]:
        """Return an entry for each enabled schedule, by name. This reads all of them."""
        self._last_timestamp = self.Changes.last_change()
        return super().all_as_schedule()

    def schedule_changed(self) -> bool:
        """Return whether a change was announced since the last call.

        The test is for another stamp, not a later one: a stamp is taken before its commit shows it.
        """
        try:
            self._replace_old_connection()
            last, stamp = self._last_timestamp, self.Changes.last_change()
        except DATABASE_ERRORS as error:
            self._note_trouble(f"the database cannot be used: {str(error).strip()}")
            return False
        self._last_timestamp = stamp
        return stamp is not None and stamp != last

    def sync(self) -> None:
        """Write back entries that a caller reserved; keep failed ones for the next call."""
        if not self._dirty:
            return
        written = set()
        try:
            self._replace_old_connection()
            for name in sorted(self._dirty):
                with self._errors.watching(f"beat: entry {name}", unless=DATABASE_ERRORS):
                    try:
                        (self._schedule or {})[name].save()
                    except (KeyError, TypeError, ObjectDoesNotExist):
                        continue
                    written.add(name)
        except DATABASE_ERRORS as error:
            self._note_trouble(f"the database cannot be used: {str(error).strip()}")
        finally:
            self._dirty -= written

    def close(self) -> None:
        """Send the recorded runs, and free the leadership for the next beat at once."""
        super().close()
        self.publisher.close()
        self.leadership.release()
