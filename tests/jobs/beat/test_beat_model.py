"""Schedule, policy and clock against a simple oracle: each slot runs as often as the policy says.

The beat is the real one on a real database; only its clock is the test's. It is restarted, paused,
sees clocks jump either way, has its work undone as by a crash before the commit, and its schedules
edited. The oracle knows nothing of heaps, versions or anchors: it walks the slots one by one.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction
from django_celery_beat.models import CrontabSchedule, PeriodicTask, PeriodicTasks
from django_celery_results.models import TaskResult
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from config.celery import app
from jobs.beat import scheduler as scheduler_module
from jobs.beat.firing import task_id_of
from jobs.beat.scheduler import LeaderScheduler
from jobs.beat.slots import MOST_CAUGHT_UP, jitter_of
from jobs.models import SchedulePolicy
from tests.jobs.conftest import TASK, interval

pytestmark = pytest.mark.slow

START = datetime(2026, 3, 7, 22, tzinfo=UTC)  # New York's clocks change the night after


@dataclass
class Oracle:
    """The slots of a schedule, listed one after the other, and how often each is to run."""

    slots: list
    grace: int | None
    coalesce: bool
    jitter: timedelta
    expected: set = field(default_factory=set)
    decided: int = 0

    def tick(self, now):
        due = []
        while self.decided < len(self.slots) and self.slots[self.decided] + self.jitter <= now:
            due.append(self.slots[self.decided])
            self.decided += 1
        if self.grace is not None:
            grace = timedelta(seconds=max(1, self.grace))
            due = [slot for slot in due if now - slot - self.jitter <= grace]
        self.expected.update(due[-1:] if self.coalesce else due[-MOST_CAUGHT_UP:])


def slots_every(seconds):
    return [START + timedelta(seconds=seconds * number) for number in range(1, 40_000)]


def slots_in_new_york(minutes, hours):
    """Minute by minute through a fortnight, as a clock on the wall there shows them."""
    from zoneinfo import ZoneInfo

    zone, seen, slots = ZoneInfo("America/New_York"), set(), []
    for number in range(1, 14 * 1440):
        moment = START + timedelta(minutes=number)
        local = moment.astimezone(zone)
        reading = (local.date(), local.hour, local.minute)
        matches = local.minute in minutes and (hours is None or local.hour in hours)
        if matches and (hours is None or reading not in seen):
            slots.append(moment)
        elif hours == {2} and local.strftime("%m-%d %H:%M") == "03-08 03:00":
            slots.append(moment)  # 02:30 does not exist on this day
        seen.add(reading)
    return slots


TIMINGS = {
    "every 50 s": lambda: ({"interval": interval(50)}, slots_every(50)),
    "hourly": lambda: ({"interval": interval(3600)}, slots_every(3600)),
    "quarters": lambda: (
        {"crontab": new_york("*/15", "*")},
        slots_in_new_york({0, 15, 30, 45}, None),
    ),
    "02:30": lambda: ({"crontab": new_york("30", "2")}, slots_in_new_york({30}, {2})),
    "daily 09:00": lambda: ({"crontab": new_york("0", "9")}, slots_in_new_york({0}, {9})),
}


def new_york(minute, hour):
    return CrontabSchedule.objects.create(minute=minute, hour=hour, timezone="America/New_York")


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.sampled_from([1, 20, 49, 50, 51, 600, 3600, 5000])),
        st.tuples(st.just("pause"), st.sampled_from([200, 7_000, 90_000, 200_000])),
        st.tuples(st.just("back"), st.sampled_from([1, 60, 4_000])),
        st.tuples(st.sampled_from(["restart", "crash", "edit"]), st.just(0)),
    ),
    min_size=3,
    max_size=14,
)


class Crash(Exception):
    pass


@pytest.mark.parametrize("timing", TIMINGS)
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    events=EVENTS,
    grace=st.sampled_from([None, 0, 30, 3600]),
    coalesce=st.booleans(),
    jitter=st.sampled_from([0, 40]),
)
@example(events=[("restart", 0), ("edit", 0), ("wait", 50)], grace=None, coalesce=False, jitter=0)
def test_each_slot_runs_as_often_as_the_policy_says(
    no_schedules, broker, monkeypatch, timing, events, grace, coalesce, jitter
):
    app.loader.import_default_modules()
    clock = [START]
    monkeypatch.setattr(scheduler_module.timezone, "now", lambda: clock[0])
    with transaction.atomic():
        columns, slots = TIMINGS[timing]()
        row = PeriodicTask.objects.create(name="model", task=TASK, last_run_at=START, **columns)
        SchedulePolicy.objects.create(
            periodic_task=row, misfire_grace_seconds=grace, coalesce=coalesce, jitter_seconds=jitter
        )
        oracle = Oracle(slots, grace, coalesce, jitter_of("model", jitter))
        beat = LeaderScheduler(app=app)
        try:
            for event, seconds in events:
                beat = happen(event, seconds, row, clock, beat, oracle, monkeypatch)
            recorded = list(TaskResult.objects.values_list("task_id", flat=True))
            assert sorted(recorded) == sorted(task_id_of(row.pk, slot) for slot in oracle.expected)
            row.refresh_from_db()
            assert row.total_run_count == len(oracle.expected)
        finally:
            beat.close()
            transaction.set_rollback(True)


def happen(event, seconds, row, clock, beat, oracle, monkeypatch):
    if event == "wait":
        # In steps, as a living beat would tick.
        for _ in range(10):
            clock[0] += timedelta(seconds=seconds / 10)
            beat.tick()
            # A row that was edited since the last look is read again and fired by the next tick,
            # which comes within a second: in the time of the model, at once.
            beat.tick()
            oracle.tick(clock[0])
        return beat
    if event == "back":
        clock[0] -= timedelta(seconds=seconds)
    elif event == "pause":
        clock[0] += timedelta(seconds=seconds)
    elif event == "edit":
        PeriodicTask.objects.filter(pk=row.pk).update(description=str(clock[0]))
        PeriodicTasks.update_changed()
    elif event == "restart":
        beat.close()
        beat = LeaderScheduler(app=app)
    elif event == "crash":
        # Killed after the rows were written and before the commit.
        def crash(_):
            raise Crash

        with monkeypatch.context() as patch:
            patch.setattr("jobs.beat.firing.runs.record", crash)
            try:
                with transaction.atomic():
                    beat.tick()
            except Crash:
                beat.close()
                beat = LeaderScheduler(app=app)
            else:
                # Nothing was to be recorded: what was decided, was decided.
                oracle.tick(clock[0])
    beat.tick()
    beat.tick()
    oracle.tick(clock[0])
    return beat
