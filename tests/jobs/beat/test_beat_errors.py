"""No error ends the beat: it is logged once, the healthy schedules run on, the end of it is logged."""

import itertools
import json
import logging
import threading
import time
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, PeriodicTask, PeriodicTasks

from config.heartbeat import start_beat_pulse
from jobs.beat import firing, problems, rows, scheduler
from jobs.beat.loaded import LoadedSchedules
from jobs.beat.publisher import Publisher
from jobs.models import SchedulePolicy
from tests.jobs.conftest import runs_of, schedule, waiting_in
from tests.processes import wait_until


class Bug(Exception):
    """An error that nobody expects."""


def fail(*_, **__):
    raise Bug("nobody expects it")


def errors_in(caplog):
    return [record for record in caplog.records if record.levelno >= logging.ERROR]


def problem_of(name):
    policy = SchedulePolicy.objects.filter(periodic_task__name=name).first()
    return policy.problem if policy else ""


# --- Errors in a tick -----------------------------------------------------------------------------

# Where an error may arise, and whether schedules that are healthy are fired all the same.
PLACES = {
    "leading": (scheduler.LeaderScheduler, "_is_leader", False),
    "replacing the connection": (scheduler.LeaderScheduler, "_replace_old_connection", False),
    "looking": (LoadedSchedules, "_changed_blocks", True),
    "looking at timings": (LoadedSchedules, "_refresh_timings", True),
    "reporting problems": (problems, "report", True),
    "publishing": (Publisher, "put", True),
    "pausing": (scheduler.LeaderScheduler, "_pause", True),
}


@pytest.mark.parametrize("place", PLACES)
def test_an_error_in_a_tick_is_logged_once_and_so_is_its_end(beat, monkeypatch, caplog, place):
    owner, name, fires = PLACES[place]
    row = schedule(overdue=-0.5)
    beat.tick()
    time.sleep(0.6)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fail)
        beat.scheduler._resync_at = 0.0
        for _ in range(5):
            assert 0.05 <= beat.tick() <= 1
        assert len(errors_in(caplog)) == 1
        assert errors_in(caplog)[0].exc_info
        assert len(runs_of("hourly")) == int(fires)
    beat.scheduler._look_again_at = 0.0
    beat.scheduler._resync_at = 0.0
    row.description = "edited"
    row.save()
    schedule("another", overdue=1)
    for _ in range(2):
        beat.tick()
    assert len(runs_of("hourly")) == 1
    assert len(runs_of("another")) == 1
    assert len(errors_in(caplog)) == 1
    assert caplog.text.count("works again") == 1


# A real beat, whose every tick raises until a file exists.
FAILING_BEAT = """
import sys
from pathlib import Path
import django
from celery.__main__ import main
django.setup()
from jobs.beat.scheduler import LeaderScheduler
mended, pause = Path(sys.argv[1]), LeaderScheduler._pause
def fail_for_now(self):
    if not mended.exists():
        raise RuntimeError("nobody expects it")
    return pause(self)
LeaderScheduler._pause = fail_for_now
sys.argv = ["celery", "-A", "config", "beat", "--pidfile="]
main()
"""


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_process_outlives_errors_in_its_ticks_and_ends_when_told(processes, tmp_path):
    PeriodicTask.objects.all()._raw_delete("default")
    schedule("every second", every=1, overdue=1)
    PeriodicTasks.update_changed()
    mended = tmp_path / "mended"
    beat = processes.start("-c", FAILING_BEAT, str(mended), name="beat", ready="a tick failed")
    wait_until(lambda: len(runs_of("every second")) >= 4)
    assert beat.is_running
    assert beat.output.count("Traceback") == 1
    mended.touch()
    beat.wait_for("works again")
    assert beat.output.count("a tick failed") == 1
    assert beat.terminate(seconds=10) == 0


def test_another_error_is_logged_beside_the_first(beat, monkeypatch, caplog):
    def fail_otherwise(*_):
        raise KeyError("x")

    for failing in (fail, fail_otherwise, fail):
        monkeypatch.setattr(LoadedSchedules, "_changed_blocks", failing)
        for _ in range(3):
            beat.scheduler._look_again_at = 0.0
            beat.resync()
    assert [record.exc_info[0] for record in errors_in(caplog)] == [Bug, KeyError]


@pytest.mark.parametrize("end", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("place", [(LoadedSchedules, "_changed_blocks"), (firing, "decide")])
def test_a_tick_still_ends_with_its_process(beat, monkeypatch, place, end):
    def leave(*_):
        raise end

    schedule(overdue=1)
    with monkeypatch.context() as patch:
        patch.setattr(*place, leave)
        with pytest.raises(end):
            beat.tick()
    beat.scheduler._look_again_at = 0.0
    beat.tick()
    assert len(runs_of("hourly")) == 1


def test_a_look_that_broke_off_loses_no_schedule(beat, monkeypatch):
    monkeypatch.setattr("jobs.beat.loaded.ROWS_AT_A_TIME", 2)
    for number in range(6):
        schedule(f"due {number}", overdue=1)
    read, calls = LoadedSchedules._rows, itertools.count()

    def fail_at_the_second(self, columns, ids):
        if next(calls) == 1:
            raise connection.Database.OperationalError("the statement was cancelled")
        return read(self, columns, ids)

    monkeypatch.setattr(LoadedSchedules, "_rows", fail_at_the_second)
    for _ in range(2):
        beat.tick()
    assert [len(runs_of(f"due {number}")) for number in range(6)] == [1] * 6


def test_timings_whose_reading_broke_off_are_read_again(beat, monkeypatch):
    schedule(overdue=1)
    looked, calls = LoadedSchedules._refresh_timings, itertools.count()

    def fail_in_between(self, found):
        with monkeypatch.context() as patch:
            if next(calls) == 0:
                patch.setattr("jobs.beat.loaded.timing_of_row", fail)
            looked(self, found)

    monkeypatch.setattr(LoadedSchedules, "_refresh_timings", fail_in_between)
    beat.tick()
    beat.scheduler._look_again_at = 0.0
    beat.resync()
    assert len(runs_of("hourly")) == 1


# --- Errors of one schedule -----------------------------------------------------------------------


@pytest.mark.parametrize("place", ["due", "expiry", "queue_of"])
def test_a_schedule_that_cannot_be_fired_is_marked_retried_and_stops_no_other(
    beat, monkeypatch, caplog, place
):
    broken = schedule("broken", every=60, overdue=1)
    for number in range(5):
        schedule(f"fine {number}", overdue=1)
    known = getattr(firing, place)

    def fail_for_one(timing, *rest, **options):
        if (
            getattr(timing, "every", None) == timedelta(seconds=60)
            or timing == "celery.backend_cleanup"
        ):
            raise Bug("nobody expects it")
        return known(timing, *rest, **options)

    if place == "queue_of":
        PeriodicTask.objects.filter(pk=broken.pk).update(queue=None, task="celery.backend_cleanup")
    with monkeypatch.context() as patch:
        patch.setattr(firing, place, fail_for_one)
        patch.setattr("jobs.beat.rows.examine", lambda *_: "")
        patch.setattr("jobs.beat.loaded.examine", lambda *_: "")
        for _ in range(3):
            beat.tick()
        assert [len(runs_of(f"fine {number}")) for number in range(5)] == [1] * 5
        assert "nobody expects it" in problem_of("broken")
        assert "tries again" in problem_of("broken")
        assert len([record for record in errors_in(caplog) if record.exc_info]) == 1
        assert caplog.text.count("schedule broken does not run") == 1
        assert beat.knows()["broken"].due > timezone.now()
        # What failed is tried again, each time after a longer pause.
        pauses = []
        for _ in range(9):
            try_again(beat, "broken")
            left = beat.knows()["broken"].due - timezone.now()
            pauses.append(round(left.total_seconds()))
        assert pauses == sorted(pauses)
        assert pauses[-1] == 60
        assert caplog.text.count("schedule broken does not run") == 1
        assert "can run again" not in caplog.text
    PeriodicTask.objects.filter(pk=broken.pk).update(queue=None)
    beat.resync()
    beat.tick()
    assert len(runs_of("broken")) == 1
    assert problem_of("broken") == ""
    assert caplog.text.count("works again") == 1
    assert caplog.text.count("schedule broken can run again") == 1


def try_again(beat, name):
    """Let the time of the next try come."""
    known = beat.knows()[name]
    known.due = timezone.now()
    beat.scheduler._due.push(known)
    beat.resync()


def test_a_run_that_the_database_refuses_is_marked_once_and_retried(beat, caplog):
    row = schedule("refused", overdue=1, total_run_count=2_147_483_647)
    schedule(overdue=1)
    for _ in range(4):
        beat.resync()
    for _ in range(3):
        try_again(beat, "refused")
    assert "refuses" in problem_of("refused")
    assert caplog.text.count("schedule refused does not run") == 1
    assert "can run again" not in caplog.text
    PeriodicTask.objects.filter(pk=row.pk).update(total_run_count=0)
    beat.resync()
    assert len(runs_of("refused")) == 1
    assert problem_of("refused") == ""


def test_a_schedule_whose_next_run_cannot_be_computed_stops_no_other(beat, monkeypatch):
    schedule("broken", every=60, overdue=1)
    schedule(overdue=1)
    known = rows.next_fire

    def fail_for_one(timing, *rest):
        if timing.every == timedelta(seconds=60):
            raise Bug("nobody expects it")
        return known(timing, *rest)

    monkeypatch.setattr(rows, "next_fire", fail_for_one)
    beat.tick()
    assert len(runs_of("hourly")) == 1
    assert "nobody expects it" in problem_of("broken")


def change(name, assignment):
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE django_celery_beat_periodictask SET {assignment} WHERE name = %s", [name]
        )


# The driver reads these as the first and the last moment that Python knows.
BEARABLE = ["expires = 'infinity'", "start_time = 'infinity'", "last_run_at = '-infinity'"]


@pytest.mark.parametrize(
    "assignment",
    [
        *BEARABLE,
        "start_time = '-infinity'",
        "last_run_at = 'infinity'",
        "last_run_at = '0044-03-15 BC'",
        "expires = '12000-01-01'",
        "args = repeat('[', 100000)",
    ],
)
def test_a_row_that_python_cannot_hold_stops_no_other(beat, assignment):
    schedule("odd", overdue=1)
    schedule(overdue=1)
    change("odd", assignment)
    for _ in range(2):
        beat.resync()
    assert len(runs_of("hourly")) == 1
    assert problem_of("odd") or assignment in BEARABLE
    change("odd", "expires = NULL, start_time = NULL, last_run_at = '2020-01-01', args = '[]'")
    for _ in range(2):
        beat.resync()
    assert problem_of("odd") == ""
    assert runs_of("odd")


def test_a_timing_that_cannot_be_read_stops_no_other(beat):
    schedule(overdue=1)
    rows = [CrontabSchedule.objects.create(minute="0", hour=str(hour)) for hour in range(3)]
    for number, row in enumerate(rows):
        schedule(f"crontab {number}", crontab=row)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE django_celery_beat_crontabschedule SET timezone = 'Mars/Olympus' WHERE id = %s",
            [rows[1].pk],
        )
    beat.tick()
    assert len(runs_of("hourly")) == 1
    assert "Mars/Olympus" in problem_of("crontab 1")
    assert (problem_of("crontab 0"), problem_of("crontab 2")) == ("", "")


# --- Beside the tick ------------------------------------------------------------------------------


def test_a_dead_publisher_thread_is_replaced(beat):
    schedule(overdue=1)
    publisher = beat.scheduler.publisher
    publisher._thread = threading.Thread(target=lambda: None)
    publisher._thread.start()
    publisher._thread.join()
    beat.tick()
    assert publisher.drain(5)


def test_a_thread_that_cannot_start_sends_them_when_it_can(beat, monkeypatch, caplog):
    def refuse(_):
        raise RuntimeError("can't start new thread")

    schedule(overdue=1)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        beat.tick()
        assert not beat.scheduler.publisher.drain(5)
    (run,) = runs_of("hourly")
    assert "can't start new thread" in caplog.text
    assert len(errors_in(caplog)) == 1
    schedule("another", overdue=1)
    beat.tick()
    assert waiting_in(json.loads(run.meta)["queue"]) == 2


def test_a_run_that_can_never_be_sent_is_told_once(beat, monkeypatch, caplog):
    row = schedule(every=1, overdue=1)
    monkeypatch.setattr("jobs.beat.publisher.runs.send", fail)
    for _ in range(3):
        PeriodicTask.objects.filter(pk=row.pk).update(
            last_run_at=timezone.now() - timedelta(seconds=1.1)
        )
        beat.resync()
    assert len(runs_of("hourly")) == 3
    assert len(errors_in(caplog)) == 1


def test_a_sign_of_life_that_cannot_be_written_ends_nothing(beat, monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("HEARTBEAT_FILE", str(tmp_path / "gone" / "beat.alive"))

    class Service:
        scheduler = beat.scheduler

    schedule(overdue=1)
    start_beat_pulse(Service())
    for _ in range(3):
        beat.tick()
    assert len(runs_of("hourly")) == 1
    assert len(errors_in(caplog)) == 1
    (tmp_path / "gone").mkdir()
    beat.tick()
    assert (tmp_path / "gone" / "beat.alive").exists()
