"""Schedules become what is asked for, in few statements, and nothing else is touched."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction
from django_celery_beat.models import (
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    PeriodicTasks,
)

from jobs.schedules import services as schedules
from jobs.schedules.services import ScheduleSpec
from tests.database import recorded_statements, row_versions, writes

pytestmark = pytest.mark.django_db

PREFIX = "test-"
LONG_AGO = datetime(2026, 1, 1, 9, tzinfo=UTC)


def spec(number=1, **changes):
    """A schedule of every five minutes, unless `changes` give a crontab."""
    timing = {} if "crontab" in changes else {"every": timedelta(minutes=5)}
    values = {
        "name": f"{PREFIX}{number}",
        "task": "tests.task",
        "kwargs": {"number": number},
        "queue": "default",
    }
    return ScheduleSpec(**values | timing | changes)


def row(number=1):
    return PeriodicTask.objects.get(name=f"{PREFIX}{number}")


def versions():
    return row_versions("django_celery_beat_periodictask", "name")


class TestSpec:
    def test_neither_interval_nor_crontab_is_refused(self):
        with pytest.raises(ValueError, match="schedule test-1: give an interval or a crontab"):
            spec(every=None)

    def test_both_are_refused(self):
        with pytest.raises(ValueError, match="one of them"):
            spec(every=timedelta(minutes=1), crontab="0 9 * * *")

    def test_less_than_a_second_is_refused(self):
        with pytest.raises(ValueError, match="under one second"):
            spec(every=timedelta(milliseconds=999))


class TestUpsert:
    def test_creates_what_is_missing(self):
        changes = schedules.upsert([spec(description="Why")])

        assert (changes.created, changes.updated, changes.removed) == (["test-1"], [], [])
        made = row()
        assert (made.task, made.kwargs, made.queue) == ("tests.task", '{"number": 1}', "default")
        assert (made.interval.every, made.interval.period) == (5, "minutes")
        assert made.enabled
        assert made.description == "Why"
        assert made.expire_seconds == 300
        assert made.last_run_at is None

    def test_updates_what_differs(self):
        schedules.upsert([spec(1), spec(2)])

        changes = schedules.upsert([spec(1), spec(2, queue="scraping")])

        assert (changes.created, changes.updated) == ([], ["test-2"])
        assert row(2).queue == "scraping"

    def test_writes_nothing_when_nothing_differs(self, django_capture_on_commit_callbacks):
        schedules.upsert([spec(1), spec(2, crontab="0 9 * * *")])
        PeriodicTask.objects.update(last_run_at=LONG_AGO, total_run_count=7)
        before = versions()

        with (
            recorded_statements() as statements,
            django_capture_on_commit_callbacks() as callbacks,
        ):
            changes = schedules.upsert([spec(1), spec(2, crontab="0 9 * * *")])

        assert not changes
        assert writes(statements) == []
        assert versions() == before
        assert callbacks == []

    def test_new_words_leave_the_phase_alone(self):
        schedules.upsert([spec(description="Old words")])
        PeriodicTask.objects.update(last_run_at=LONG_AGO, total_run_count=7)

        changes = schedules.upsert([spec(description="New words")])

        assert changes.updated == ["test-1"]
        after = row()
        assert (after.description, after.last_run_at) == ("New words", LONG_AGO)
        assert after.total_run_count == 7

    def test_interval_becomes_crontab_and_back(self):
        schedules.upsert([spec()])

        schedules.upsert([spec(crontab="30 9 * * 1-5", timezone="Asia/Tokyo")])
        on_crontab = row()
        assert on_crontab.interval is None
        assert on_crontab.expire_seconds is None
        assert on_crontab.crontab.minute == "30"
        assert on_crontab.crontab.day_of_week == "1-5"
        assert str(on_crontab.crontab.timezone) == "Asia/Tokyo"
        on_crontab.full_clean()

        schedules.upsert([spec()])
        on_interval = row()
        assert on_interval.crontab is None
        assert on_interval.interval.every == 5
        on_interval.full_clean()

    def test_a_new_crontab_has_missed_nothing(self):
        """A run that was never promised is not made up for when a timetable is changed."""
        schedules.upsert([spec()])
        PeriodicTask.objects.update(last_run_at=LONG_AGO)
        before = datetime.now(UTC)

        schedules.upsert([spec(crontab="0 9 * * *")])
        assert row().last_run_at >= before

        PeriodicTask.objects.update(last_run_at=LONG_AGO)
        schedules.upsert([spec(crontab="0 11 * * *")])
        assert row().last_run_at >= before

    def test_a_resumed_crontab_does_not_run_its_missed_slots(self):
        schedules.upsert([spec(crontab="0 9 * * *", enabled=False)])
        PeriodicTask.objects.update(last_run_at=LONG_AGO)
        before = datetime.now(UTC)

        schedules.upsert([spec(crontab="0 9 * * *")])

        assert row().last_run_at >= before

    def test_a_resumed_interval_is_overdue(self):
        schedules.upsert([spec(enabled=False)])
        PeriodicTask.objects.update(last_run_at=LONG_AGO)

        schedules.upsert([spec()])

        assert row().enabled
        assert row().last_run_at == LONG_AGO

    def test_equal_timings_share_one_row(self):
        schedules.upsert(
            [spec(number) for number in range(3)]
            + [spec(number, every=timedelta(seconds=300)) for number in range(3, 6)]
            + [spec(number, crontab="0 9 * * *") for number in range(6, 9)]
            + [spec(9, crontab="0 9 * * *", timezone="Europe/Berlin")]
        )

        assert IntervalSchedule.objects.filter(every=5, period="minutes").count() == 1
        assert not IntervalSchedule.objects.filter(every=300, period="seconds").exists()
        assert CrontabSchedule.objects.filter(minute="0", hour="9", timezone="UTC").count() == 1
        assert len({row(number).crontab_id for number in (6, 7, 8)}) == 1
        assert row(9).crontab_id != row(8).crontab_id

    def test_duplicate_timing_rows_do_not_disturb(self):
        for _ in range(2):
            IntervalSchedule.objects.create(every=5, period="minutes")

        schedules.upsert([spec()])

        assert not schedules.upsert([spec()])

    @pytest.mark.parametrize(
        ("every", "shown"),
        [
            (timedelta(seconds=90), (90, "seconds")),
            (timedelta(minutes=90), (90, "minutes")),
            (timedelta(hours=36), (36, "hours")),
            (timedelta(days=2), (2, "days")),
        ],
    )
    def test_intervals_are_said_in_the_largest_unit_that_fits(self, every, shown):
        schedules.upsert([spec(every=every)])

        assert (row().interval.every, row().interval.period) == shown

    def test_a_dry_run_says_the_same_and_writes_nothing(self):
        schedules.upsert([spec(1)])
        before, timings = versions(), IntervalSchedule.objects.count()
        wanted = [spec(1, every=timedelta(minutes=7)), spec(2, crontab="1 2 3 4 5")]

        with recorded_statements() as statements:
            foreseen = schedules.upsert(wanted, dry_run=True)

        assert writes(statements) == []
        assert versions() == before
        assert IntervalSchedule.objects.count() == timings
        assert schedules.upsert(wanted) == foreseen

    def test_is_undone_with_the_callers_transaction(self):
        with transaction.atomic():
            schedules.upsert([spec()])
            transaction.set_rollback(True)

        assert not PeriodicTask.objects.filter(name="test-1").exists()


class TestAnnouncement:
    """Beat looks at one row to see that something changed: it must change, and not too early."""

    @pytest.fixture
    def stamp(self):
        PeriodicTasks.objects.update_or_create(ident=1, defaults={"last_update": LONG_AGO})
        return lambda: PeriodicTasks.last_change()

    @pytest.mark.parametrize(
        "change",
        [
            lambda: schedules.upsert([spec(2)]),
            lambda: schedules.upsert([spec(1, queue="scraping")]),
            lambda: schedules.remove(["test-1"]),
        ],
        ids=["created", "updated", "removed"],
    )
    def test_beat_is_told_on_commit_and_not_before(
        self, change, stamp, django_capture_on_commit_callbacks
    ):
        schedules.upsert([spec(1)])

        with django_capture_on_commit_callbacks() as callbacks:
            change()
        assert stamp() == LONG_AGO

        assert len(callbacks) == 1
        callbacks[0]()
        assert stamp() > LONG_AGO

    def test_beat_is_not_told_of_what_was_rolled_back(
        self, stamp, django_capture_on_commit_callbacks
    ):
        with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
            schedules.upsert([spec(1)])
            transaction.set_rollback(True)

        assert stamp() == LONG_AGO


class TestRemove:
    def test_removes_all_in_one_delete(self):
        schedules.upsert([spec(number) for number in range(20)])

        with recorded_statements() as statements:
            removed = schedules.remove([f"test-{number}" for number in range(15)] + ["unknown"])

        assert removed == 15
        assert len(writes(statements)) == 1
        assert PeriodicTask.objects.filter(name__startswith=PREFIX).count() == 5

    def test_nothing_to_remove_announces_nothing(self, django_capture_on_commit_callbacks):
        with django_capture_on_commit_callbacks() as callbacks:
            assert schedules.remove(["unknown"]) == 0

        assert callbacks == []


class TestReconcile:
    @pytest.fixture
    def drift(self):
        """One schedule that is right, one that drifted, one orphan, and others' schedules."""
        schedules.upsert([spec(1), spec(2), spec(3)])
        PeriodicTask.objects.filter(name="test-2").update(task="wrong", enabled=False)
        interval = IntervalSchedule.objects.first()
        for name in ("other-1", "TEST-9", "a test-1"):
            PeriodicTask.objects.create(name=name, task="others", interval=interval)
        return [spec(1), spec(2), spec(4)]

    def test_heals_missing_drifted_and_orphaned(self, drift):
        changes = schedules.reconcile(PREFIX, drift)

        assert changes.created == ["test-4"]
        assert changes.updated == ["test-2"]
        assert changes.removed == ["test-3"]
        assert row(2).task == "tests.task"
        assert not schedules.reconcile(PREFIX, drift)

    def test_leaves_others_alone(self, drift):
        ours = ("test-1", "test-2", "test-3", "test-4")
        foreign = {name: version for name, version in versions().items() if name not in ours}
        assert len(foreign) >= 3

        schedules.reconcile(PREFIX, drift)

        after = {name: version for name, version in versions().items() if name not in ours}
        assert after == foreign

    def test_a_dry_run_says_the_same_and_writes_nothing(self, drift):
        before = versions()

        foreseen = schedules.reconcile(PREFIX, drift, dry_run=True)

        assert versions() == before
        assert schedules.reconcile(PREFIX, drift) == foreseen

    def test_a_spec_of_another_prefix_is_refused(self):
        with pytest.raises(ValueError, match="other-1: its name does not start with 'test-'"):
            schedules.reconcile(PREFIX, [spec(name="other-1")])


@pytest.mark.parametrize(
    "change",
    [
        lambda number: schedules.upsert([spec(n) for n in range(2 * number)]),
        lambda number: schedules.upsert([spec(n) for n in range(number)]),
        lambda number: schedules.upsert([spec(n, queue="scraping") for n in range(number)]),
        lambda number: schedules.remove([spec(n).name for n in range(number)]),
        lambda number: schedules.reconcile(PREFIX, [spec(n) for n in range(number // 2)]),
    ],
    ids=["create", "unchanged", "update", "remove", "reconcile"],
)
def test_a_hundred_times_the_schedules_take_the_same_number_of_statements(change):
    def statements(number):
        schedules.remove([spec(n).name for n in range(2_000)])
        schedules.upsert([spec(n) for n in range(number)])
        with recorded_statements() as executed:
            change(number)
        return len(executed)

    assert statements(1_000) == statements(10)


def test_install_creates_once_and_leaves_the_operators_edit_alone():
    assert schedules.install(spec())
    PeriodicTask.objects.filter(name="test-1").update(enabled=False)

    assert not schedules.install(spec())
    assert not row().enabled


class TestNextRun:
    NOW = datetime(2026, 3, 28, 12, tzinfo=UTC)

    def interval(self, **values):
        return PeriodicTask(
            interval=IntervalSchedule(every=5, period="minutes"), date_changed=None, **values
        )

    def crontab(self, text, zone="UTC", **values):
        names = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
        timing = CrontabSchedule(**dict(zip(names, text.split(), strict=True)), timezone=zone)
        return PeriodicTask(crontab=timing, date_changed=None, **values)

    def test_an_interval_runs_when_it_has_passed(self):
        row = self.interval(last_run_at=self.NOW - timedelta(minutes=2))

        assert schedules.next_run_at(row, self.NOW) == self.NOW + timedelta(minutes=3)

    def test_an_overdue_one_runs_now(self):
        row = self.interval(last_run_at=self.NOW - timedelta(days=2))

        assert schedules.next_run_at(row, self.NOW) == self.NOW

    def test_one_that_never_ran_counts_from_its_last_change(self):
        row = self.interval()
        row.date_changed = self.NOW - timedelta(minutes=1)

        assert schedules.next_run_at(row, self.NOW) == self.NOW + timedelta(minutes=4)

    def test_a_disabled_one_does_not_run(self):
        assert schedules.next_run_at(self.interval(enabled=False), self.NOW) is None

    @pytest.mark.parametrize(
        ("text", "zone", "last", "now", "expected"),
        [
            ("30 9 * * *", "UTC", "2026-01-05 09:30", "2026-01-05 12:00", "2026-01-06 09:30"),
            ("30 9 * * 1-5", "UTC", "2026-01-09 09:30", "2026-01-09 12:00", "2026-01-12 09:30"),
            ("0 9 * * *", "Asia/Tokyo", "2026-01-05 00:00", "2026-01-05 12:00", "2026-01-06 00:00"),
            # Clocks go forward on 2026-03-29 and back on 2026-10-25 in Europe.
            ("30 9 * * *", "Europe/Berlin", "2026-03-27 08:30", "2026-03-27 12:00", "2026-03-28 08:30"),
            ("30 9 * * *", "Europe/Berlin", "2026-03-28 08:30", "2026-03-28 12:00", "2026-03-29 07:30"),
            ("30 9 * * *", "Europe/Berlin", "2026-10-24 07:30", "2026-10-24 12:00", "2026-10-25 08:30"),
            ("30 9 * * *", "America/New_York", "2026-03-07 14:30", "2026-03-07 18:00", "2026-03-08 13:30"),
            ("0 0 29 2 *", "UTC", "2024-02-29 00:00", "2026-01-01 00:00", "2028-02-29 00:00"),
        ],
    )  # fmt: skip
    def test_a_crontab_keeps_its_zones_clock(self, text, zone, last, now, expected):
        def utc(moment):
            return datetime.fromisoformat(moment).replace(tzinfo=UTC)

        row = self.crontab(text, zone, last_run_at=utc(last))

        assert schedules.next_run_at(row, utc(now)) == utc(expected)
