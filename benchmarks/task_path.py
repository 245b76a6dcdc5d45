"""The cost of the task path: no-op tasks a second through one real worker of four processes.

In each round, four workers run one after the other on the same Redis and PostgreSQL. PostgreSQL
waits for the disk, as in production, and all workers send events, as for Flower. `bare` is Celery
without results. `stock` is django-celery-results that tracks STARTED, set up by its documentation;
`stock_reused` also keeps database connections. `ours` is a job of Lurker with the production
settings: each run is recorded when it is requested, when it starts and when it ends. The messages
are in the queue before the worker starts. The time runs from the first task until the last is
acknowledged. The benchmark needs an idle machine: a busy one delays every process that waits for an
answer.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import psycopg2
import redis

from local.servers.postgres import PostgresServer
from local.servers.redis import RedisServer

ROUNDS = 2
TASKS = {"bare": 2000, "stock": 300, "stock_reused": 500, "ours": 1500}
PROCESSES = 4
SECONDS = 60
APPLICATION = "benchmarks._task_path_app"


def run() -> dict[str, float]:
    """Return tasks a second of each kind (the median of the rounds), and ours against the others."""
    rates: dict[str, list[float]] = {kind: [] for kind in TASKS}
    with tempfile.TemporaryDirectory(prefix="task-path-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "redis").mkdir()
        postgres, broker = PostgresServer(folder / "postgres"), RedisServer(folder / "redis")
        try:
            postgres.start()
            broker.start()
            environment = os.environ | {
                "DJANGO_SETTINGS_MODULE": "config.settings.local",
                "DATABASE_URL": postgres.url(),
                "CELERY_BROKER_URL": broker.url(),
                "LOG_LEVEL": "WARNING",
            }
            _call(environment, "-m", "django", "migrate", "--verbosity", "0")
            for _ in range(ROUNDS):
                for kind in TASKS:
                    rates[kind].append(_rate(kind, environment, broker, folder))
                    _expect_recorded(kind, postgres)
        finally:
            broker.stop()
            postgres.stop()
    median = {kind: statistics.median(values) for kind, values in rates.items()}
    return {f"task_path_{kind}_per_s": rate for kind, rate in median.items()} | {
        "task_path_vs_stock": median["ours"] / median["stock"],
        "task_path_vs_stock_reused": median["ours"] / median["stock_reused"],
        "task_path_vs_bare": median["ours"] / median["bare"],
    }


def _rate(kind: str, environment: Mapping[str, str], broker: RedisServer, folder: Path) -> float:
    number = TASKS[kind]
    environment = environment | {"TASK_PATH_KIND": kind}
    if kind == "bare":
        environment.pop("DJANGO_SETTINGS_MODULE")
    _call(environment, "-m", APPLICATION, str(number))
    with redis.Redis(unix_socket_path=str(broker.socket)) as client:
        worker = subprocess.Popen(
            [
                *(sys.executable, "-m", "celery", "-A", APPLICATION, "worker"),
                *("--queues", "default", "--concurrency", str(PROCESSES), "--loglevel", "WARNING"),
                *(
                    "--task-events",
                    "--without-gossip",
                    "--without-mingle",
                    "--hostname",
                    f"{kind}@%h",
                ),
            ],
            env=environment,
            stdout=(folder / "worker.log").open("ab"),
            stderr=subprocess.STDOUT,
        )
        try:
            deadline = time.monotonic() + SECONDS
            began = None
            while (left := client.llen("default") + client.hlen("unacked")) or began is None:
                if began is None and left < number:
                    began, first = time.perf_counter(), left
                if time.monotonic() > deadline or worker.poll() is not None:
                    log = (folder / "worker.log").read_text()[-4000:]
                    raise RuntimeError(f"{kind}: {left} of {number} tasks are left.\n{log}")
                # Rare enough to take no time from the worker, and frequent enough for one per cent.
                time.sleep(0.02)
            return first / (time.perf_counter() - began)
        finally:
            worker.terminate()
            worker.wait(30)


def _expect_recorded(kind: str, postgres: PostgresServer) -> None:
    """Check that every task succeeded: a worker that failed every task would be fast, too."""
    connection = psycopg2.connect(postgres.url())
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM django_celery_results_taskresult WHERE status = 'SUCCESS'"
            )
            (recorded,) = cursor.fetchone()
            # Each kind starts with an empty history.
            cursor.execute("TRUNCATE django_celery_results_taskresult")
    finally:
        connection.close()
    expected = 0 if kind == "bare" else TASKS[kind]
    if recorded != expected:
        raise RuntimeError(f"{kind}: {recorded} of {expected} runs are recorded as SUCCESS.")


def _call(environment: Mapping[str, str], *arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], env=dict(environment), check=True)
