"""Lurker's beat against django-celery-beat's scheduler, with 10,000 and 100,000 schedules.

Ratios say how many times better Lurker's beat is. `beat_edit_speedup_*` compares the seconds from
an edit until the scheduler acts on it. `beat_writeback_statement_ratio` and
`beat_writeback_speedup` compare writing back 500 fired entries; `beat_fire_500_s` also records the
runs, which the stock scheduler does not do. `beat_memory_ratio_*` is the memory per schedule as a
share of stock's, each in a fresh process. `beat_p99_lateness_s` is how late runs are recorded, in
seconds, while 50 schedules a second fall due for a minute, among 100,000.

The benchmark creates a database on the embedded PostgreSQL and drops it at the end.
BENCH_HOLD_SECONDS shortens the minute.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg2

from config.environment import BASE_DIR
from local.servers import ensure_postgres, ensure_redis

DATABASE = "bench_beat"
SIZES = {"10k": 10_000, "100k": 100_000}
FIRED = 500
# The best of so many rounds counts, for both schedulers.
ROUNDS = 3
PER_SECOND = 50
HOLD_SECONDS = int(os.environ.get("BENCH_HOLD_SECONDS", "60"))
# For each process, which measures one thing.
TIMEOUT_SECONDS = 240
TASK = "scraping.close_interrupted_sessions"


def run() -> dict[str, float]:
    """Measure both schedulers, each in a fresh process."""
    numbers: dict[str, float] = {}
    with _database() as environment:
        for label, count in SIZES.items():
            _child("fill", count, environment)
            measured = {who: _child(f"load_{who}", count, environment) for who in ("ours", "stock")}
            for who, found in measured.items():
                numbers[f"beat_edit_{who}_s_{label}"] = found["edit_s"]
                numbers[f"beat_load_{who}_s_{label}"] = found["load_s"]
                numbers[f"beat_bytes_per_schedule_{who}_{label}"] = found["bytes"] / count
            ours, stock = measured["ours"], measured["stock"]
            numbers[f"beat_edit_speedup_{label}"] = stock["edit_s"] / ours["edit_s"]
            numbers[f"beat_memory_ratio_{label}"] = ours["bytes"] / stock["bytes"]
            numbers[f"beat_resync_s_{label}"] = ours["resync_s"]
        hold = _child("hold", SIZES["100k"], environment)
        numbers |= {f"beat_{name}": value for name, value in hold.items()}
        _child("fill", FIRED, environment)
        ours = _child("writeback_ours", FIRED, environment)
        _child("fill", FIRED, environment)
        stock = _child("writeback_stock", FIRED, environment)
    numbers["beat_writeback_statement_ratio"] = stock["statements"] / ours["statements"]
    numbers["beat_writeback_speedup"] = stock["seconds"] / ours["seconds"]
    numbers["beat_fire_500_s"] = ours["fire_s"]
    numbers["beat_writeback_ours_s"] = ours["seconds"]
    numbers["beat_writeback_stock_s"] = stock["seconds"]
    return numbers


@contextmanager
def _database() -> Iterator[dict[str, str]]:
    """Yield the environment of processes that use the benchmark's own database and broker."""
    server = ensure_postgres(BASE_DIR / "var" / "bench" / "postgres", durable=False)
    broker = ensure_redis(BASE_DIR / "var" / "bench" / "redis")
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "config.settings.test",
        "TEST_DATABASE_URL": urlunsplit(urlsplit(server)._replace(path=f"/{DATABASE}")),
        "TEST_CELERY_BROKER_URL": broker,
    }
    drop = f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)"
    try:
        _execute(server, drop)
        _execute(server, f"CREATE DATABASE {DATABASE}")
        migrate = [sys.executable, "manage.py", "migrate", "--verbosity=0"]
        subprocess.run(migrate, check=True, cwd=BASE_DIR, env=environment, timeout=120)
        yield environment
    finally:
        _execute(server, drop)
        subprocess.run(
            [sys.executable, "-m", "benchmarks.beat", "empty_broker", "0"],
            check=False,
            cwd=BASE_DIR,
            env=environment,
            timeout=30,
        )


def _execute(url: str, statement: str) -> None:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(statement)
    connection.close()


def _child(name: str, count: int, environment: dict[str, str]) -> dict[str, float]:
    finished = subprocess.run(
        [sys.executable, "-m", "benchmarks.beat", name, str(count)],
        cwd=BASE_DIR,
        env=environment,
        timeout=TIMEOUT_SECONDS,
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode:
        raise RuntimeError(f"{name} {count} failed:\n{finished.stderr[-3000:]}")
    return json.loads(finished.stdout.strip().splitlines()[-1])


# --- The work of the processes --------------------------------------------------------------------


def _execute_here(statement: str, *parameters: Any) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def fill(count: int) -> dict[str, float]:
    """Create `count` hourly schedules, none of them due in the next ten minutes."""
    from django.db import connection
    from django_celery_beat.models import IntervalSchedule, PeriodicTasks

    connection.ensure_connection()
    _execute_here(
        "TRUNCATE django_celery_beat_periodictask, django_celery_results_taskresult CASCADE"
    )
    hourly, _ = IntervalSchedule.objects.get_or_create(every=3600, period="seconds")
    _execute_here(
        """
        INSERT INTO django_celery_beat_periodictask
            (name, task, interval_id, args, kwargs, headers, queue, one_off, enabled, last_run_at,
             total_run_count, date_changed, description, expire_seconds)
        SELECT 'bot:' || n, %s, %s, '[]', '{"bot_id": ' || n || '}', '{}', 'scraping', false, true,
               now() - make_interval(secs => (n * 0.61803)::numeric %% 3000), 0, now(), '', 3600
        FROM generate_series(1, %s) n
        """,
        TASK,
        hourly.pk,
        count,
    )
    _execute_here("ANALYZE django_celery_beat_periodictask")
    PeriodicTasks.update_changed()
    return {}


def _scheduler(who: str) -> Any:
    from django_celery_beat.schedulers import DatabaseScheduler

    from config.celery import app
    from jobs.beat.scheduler import LeaderScheduler

    app.loader.import_default_modules()
    return (LeaderScheduler if who == "ours" else DatabaseScheduler)(app=app)


def _memory() -> int:
    import gc

    import psutil

    gc.collect()
    return psutil.Process().memory_info().rss


def _load(who: str, count: int) -> dict[str, float]:
    from django.utils import timezone
    from django_celery_beat.models import PeriodicTask, PeriodicTasks

    PeriodicTask.objects.first()  # the schedulers do not pay for the first query
    before = _memory()
    began = time.perf_counter()
    scheduler = _scheduler(who)
    scheduler.tick()
    loaded = time.perf_counter() - began
    used = _memory() - before
    resync, edits = [], []
    for number in range(3):
        if who == "ours":
            began = time.perf_counter()
            scheduler.loaded.refresh()
            resync.append(time.perf_counter() - began)
        row = PeriodicTask.objects.get(name=f"bot:{count // 2 + number}")
        row.last_run_at = timezone.now() - timezone.timedelta(seconds=4000)
        PeriodicTask.objects.filter(pk=row.pk).update(last_run_at=row.last_run_at)
        PeriodicTasks.update_changed()
        began = time.perf_counter()
        while PeriodicTask.objects.get(pk=row.pk).last_run_at == row.last_run_at:
            scheduler.tick()
            if who == "stock" and scheduler._dirty:
                break  # sent; stock writes it back minutes later
        edits.append(time.perf_counter() - began)
    if who == "ours":
        scheduler.close()
    return {
        "load_s": loaded,
        "bytes": used,
        "edit_s": sorted(edits)[1],
        "resync_s": min(resync, default=0.0),
    }


def load_ours(count: int) -> dict[str, float]:
    """Load all, then make three schedules due by an edit; measure the median until beat fires them."""
    return _load("ours", count)


def load_stock(count: int) -> dict[str, float]:
    """Measure the same with django-celery-beat's own scheduler."""
    return _load("stock", count)


def hold(count: int) -> dict[str, float]:
    """Let `PER_SECOND` schedules fall due each second; measure how late beat records their runs."""
    from django.db import connection
    from django.utils import timezone

    scheduler = _scheduler("ours")
    scheduler.tick()
    start = timezone.now() + timezone.timedelta(seconds=2)
    due = PER_SECOND * HOLD_SECONDS
    _execute_here(
        """
        UPDATE django_celery_beat_periodictask t
        SET last_run_at = %s + make_interval(secs => n.at / %s::float) - interval '1 hour'
        FROM (SELECT id, row_number() OVER (ORDER BY md5(name)) AS at
              FROM django_celery_beat_periodictask LIMIT %s) n
        WHERE n.id = t.id
        """,
        start,
        PER_SECOND,
        due,
    )
    scheduler._resync_at = 0.0
    _execute_here("DELETE FROM django_celery_results_taskresult")
    end = time.monotonic() + HOLD_SECONDS + 4
    busy = 0.0
    while time.monotonic() < end:
        began = time.perf_counter()
        pause = scheduler.tick()
        busy += time.perf_counter() - began
        time.sleep(pause)
    scheduler.close()
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT count(*), percentile_cont(0.99) WITHIN GROUP (ORDER BY lateness), max(lateness)
            FROM (SELECT extract(epoch FROM r.date_created - t.last_run_at)::float AS lateness
                  FROM django_celery_results_taskresult r
                  JOIN django_celery_beat_periodictask t ON t.name = r.periodic_task_name
                  WHERE t.last_run_at >= %s) l
            """,
            [start],
        )
        fired, p99, worst = cursor.fetchone()
    if fired != due:
        raise RuntimeError(f"{fired} of {due} runs were fired")
    return {
        "p99_lateness_s": p99,
        "max_lateness_s": worst,
        "busy_share": busy / (HOLD_SECONDS + 4),
    }


def _make_due() -> None:
    _execute_here(
        "UPDATE django_celery_beat_periodictask SET last_run_at = now() - interval '3700 seconds'"
    )


@contextmanager
def _measured() -> Iterator[dict[str, float]]:
    from django.db import connection

    found = {"statements": 0.0}

    def count(execute: Any, *arguments: Any) -> Any:
        found["statements"] += 1
        return execute(*arguments)

    began = time.perf_counter()
    with connection.execute_wrapper(count):
        yield found
    found["seconds"] = time.perf_counter() - began


def writeback_ours(count: int) -> dict[str, float]:
    """Write back fired entries; `fire_s` is the whole firing, with the recording of the runs."""
    from django.db import transaction
    from django.utils import timezone

    from jobs.beat.firing import decide, fire, write_back

    scheduler = _scheduler("ours")
    scheduler.tick()
    rounds, fires = [], []
    for _ in range(ROUNDS):
        _make_due()
        due = scheduler.loaded.refresh().changed
        decisions = [decide(schedule, timezone.now()) for schedule in due]
        with _measured() as measured, transaction.atomic():
            written = write_back(decisions)
        rounds.append(measured)
        _make_due()
        due = scheduler.loaded.refresh().changed
        began = time.perf_counter()
        fired = fire(scheduler.app, scheduler.loaded, due, timezone.now())
        fires.append(time.perf_counter() - began)
        if not len(written) == len(fired.runs) == count:
            raise RuntimeError(f"{len(written)} and {len(fired.runs)} of {count} were fired")
    scheduler.close()
    return min(rounds, key=lambda found: found["seconds"]) | {"fire_s": min(fires)}


def writeback_stock(count: int) -> dict[str, float]:
    """Write back as many entries by stock's `sync`, which runs after they were sent."""
    scheduler = _scheduler("stock")
    rounds = []
    for _ in range(ROUNDS):
        for entry in list(scheduler.schedule.values()):
            scheduler.schedule[entry.name] = scheduler.reserve(entry)
        if len(scheduler._dirty) != count:
            raise RuntimeError(f"{len(scheduler._dirty)} of {count} are to be written")
        with _measured() as measured:
            scheduler.sync()
        rounds.append(measured)
    return min(rounds, key=lambda found: found["seconds"])


def empty_broker(_: int) -> dict[str, float]:
    """Remove the messages that the benchmark sent."""
    from config.celery import app

    with app.connection_for_write() as connection:
        connection.default_channel.client.flushdb()
    return {}


if __name__ == "__main__":
    import logging

    import django

    django.setup()
    logging.disable(logging.CRITICAL)
    print(json.dumps(globals()[sys.argv[1]](int(sys.argv[2]))))
