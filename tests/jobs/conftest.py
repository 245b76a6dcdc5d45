"""Workers with jobs of the tests on either broker, beats inside the test process, and servers to kill."""

import uuid
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from celery import Celery
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask, PeriodicTasks
from django_celery_results.models import TaskResult
from kombu import Connection

from config.celery import app
from config.environment import parse_database_url
from jobs.beat.scheduler import LeaderScheduler
from jobs.models import SchedulePolicy
from jobs.runs import liveness, store
from jobs.runs import requests as runs
from local.servers.postgres import PostgresServer
from local.servers.redis import RedisServer
from tests import needs
from tests.jobs import worker_jobs
from tests.processes import running_processes, wait_until
from tests.tcp_proxy import TcpProxy

# A worker reads it as its visibility time-out; longer than most tests, shorter than patience.
VISIBILITY_SECONDS = "6"


class Broker:
    """A broker with a queue of this test's own, and a Celery application that sends to it."""

    def __init__(self, url, *, queue="default", own_url=None):
        self.url = url
        self.own_url = own_url or url
        self.queue = queue
        self.sender = Celery("sender", set_as_current=False)
        self.sender.config_from_object("django.conf:settings", namespace="CELERY")
        self.sender.conf.broker_url = url
        self.sender.conf.task_queues = worker_jobs.queues(url, queue)
        if url.startswith("amqp"):
            self.sender.conf.broker_transport_options = {"confirm_publish": True}
        self.environment = {
            "TEST_CELERY_BROKER_URL": url,
            "CELERY_BROKER_URL": url,  # Celery itself prefers it to any setting
            "TEST_QUEUE": queue,
        }

    def close(self):
        if self.url.startswith("amqp"):
            with Connection(self.own_url) as connection:
                channel = connection.default_channel
                channel.queue_delete(self.queue)
                channel.exchange_delete(self.queue)


@pytest.fixture(params=["redis", "rabbitmq"])
def either_broker(request, broker, monkeypatch):
    """The embedded Redis, then RabbitMQ where there is one. This process publishes to it, too."""
    if request.param == "redis":
        used = Broker(broker)
    else:
        needs.RABBITMQ.require()
        used = Broker(needs.RABBITMQ_URL, queue=f"test-{uuid.uuid4().hex[:12]}")
    monkeypatch.setattr(store, "current_app", used.sender)
    yield used
    used.sender.close()
    used.close()


@pytest.fixture
def own_redis(tmp_path, monkeypatch):
    """A Redis server that the test may kill, and that this process publishes to."""
    data_dir = tmp_path / "redis"
    data_dir.mkdir()
    server = RedisServer(data_dir)
    server.start()
    server.broker = Broker(server.url())
    monkeypatch.setattr(store, "current_app", server.broker.sender)
    yield server
    server.stop()


@pytest.fixture(params=["redis", "rabbitmq"])
def breakable_broker(request, tmp_path, monkeypatch):
    """Either broker behind a proxy, which the test may close, freeze and cut; also for publishing."""
    if request.param == "redis":
        data_dir = tmp_path / "redis"
        data_dir.mkdir()
        server = RedisServer(data_dir)
        server.start()
        proxy = TcpProxy(str(server.socket))
        used = Broker(f"redis://127.0.0.1:{proxy.port}/0")
    else:
        needs.RABBITMQ.require()
        there = urlsplit(needs.RABBITMQ_URL)
        proxy = TcpProxy((there.hostname, there.port or 5672))
        login = there.netloc.rpartition("@")[0]
        address = there._replace(netloc=f"{login}{'@' if login else ''}127.0.0.1:{proxy.port}")
        # Its queue is removed past the proxy, which may be closed by then.
        used = Broker(
            urlunsplit(address), queue=f"test-{uuid.uuid4().hex[:12]}", own_url=needs.RABBITMQ_URL
        )
    used.proxy = proxy
    monkeypatch.setattr(store, "current_app", used.sender)
    yield used
    proxy.end()
    used.sender.close()
    used.close()
    if request.param == "redis":
        server.stop()


@pytest.fixture
def folder(tmp_path):
    """Where the jobs of the tests leave their files."""
    path = tmp_path / "files"
    path.mkdir()
    return Folder(path)


class Folder:
    """Counts what jobs have left."""

    def __init__(self, path: Path):
        self.path = path

    def count(self, name):
        return len(list(self.path.glob(f"{name}.*")))

    def wait_for(self, name, number=1, seconds=20):
        wait_until(
            lambda: self.count(name) >= number, seconds=seconds, what=f"{number} times {name}"
        )

    def release(self):
        (self.path / "release").touch()


@pytest.fixture
def start_worker(process_environment, tmp_path, folder):
    """Start a worker with the tests' jobs."""
    with running_processes(folder=tmp_path, environment=process_environment) as processes:

        def start(broker=None, *options, name="", concurrency=1, **environment):
            return processes.worker(
                *options,
                name=name,
                concurrency=concurrency,
                application="tests.jobs.worker_jobs",
                queues=broker.queue if broker else "default",
                environment={
                    "TASK_FOLDER": str(folder.path),
                    "CELERY_VISIBILITY_TIMEOUT": VISIBILITY_SECONDS,
                }
                | (broker.environment if broker else {})
                | environment,
            )

        yield start


def request(name, kwargs=None, *, broker=None, **options):
    """Ask for a run of one of the tests' jobs."""
    return runs.request_run(
        name, kwargs or {}, trigger="manual", queue=broker.queue if broker else None, **options
    )


def row_of(run):
    return TaskResult.objects.get(task_id=run.task_id)


def state_of(run):
    return row_of(run).status


def ended_row(run, seconds=30):
    """Wait for the end of a run and return its row."""
    wait_until(
        lambda: state_of(run) not in ("PENDING", "RETRY", "STARTED"),
        seconds=seconds,
        what=f"the end of {run.task}: {state_of(run)}",
    )
    return row_of(run)


def publish_again(run, times=1):
    """Send copies of a run's message."""
    for _ in range(times):
        assert runs.publish([run]) == 1


# A registered task that needs no Reddit; it is never run here.
TASK = "scraping.close_interrupted_sessions"


@pytest.fixture
def no_schedules(db):
    """No schedule but those of the test: migrations install some."""
    PeriodicTask.objects.all()._raw_delete("default")
    PeriodicTasks.update_changed()


class Beat:
    """A scheduler whose ticks the test makes."""

    def __init__(self):
        app.loader.import_default_modules()
        self.scheduler = LeaderScheduler(app=app)

    def tick(self):
        pause = self.scheduler.tick()
        self.scheduler.publisher.drain()
        return pause

    def resync(self):
        """Let the time of the next unasked look come."""
        self.scheduler._resync_at = 0.0
        return self.tick()

    def knows(self):
        return {schedule.name: schedule for schedule in self.scheduler.loaded.by_id.values()}


@pytest.fixture
def beat(no_schedules, broker):
    found = Beat()
    yield found
    found.scheduler.close()


def schedule(name="hourly", *, every=3600, overdue=None, policy=None, **columns):
    """Create a schedule, due so many seconds ago if `overdue` is given."""
    if not {"interval", "crontab", "clocked", "solar"} & columns.keys():
        columns["interval"] = interval(every)
    if overdue is not None:
        columns["last_run_at"] = timezone.now() - timedelta(seconds=every + overdue)
    row = PeriodicTask.objects.create(name=name, **{"task": TASK, "queue": "scraping", **columns})
    if policy is not None:
        SchedulePolicy.objects.create(periodic_task=row, **policy)
    return row


def interval(seconds):
    found, _ = IntervalSchedule.objects.get_or_create(every=seconds, period="seconds")
    return found


def daily(hour, zone="UTC"):
    return CrontabSchedule.objects.create(minute="0", hour=str(hour), timezone=zone)


def runs_of(name):
    return list(TaskResult.objects.filter(periodic_task_name=name).order_by("pk"))


def waiting_in(queue):
    """How many messages wait in a queue."""
    with app.connection_for_write() as connection:
        channel = connection.default_channel
        if connection.transport.driver_type == "redis":
            return channel.client.llen(queue)
        return channel.queue_declare(queue, passive=True).message_count


@pytest.fixture
def own_postgres(transactional_db, tmp_path):
    """A PostgreSQL server that the test may stop; this process works on its database, too."""
    folder = tmp_path / "server"
    folder.mkdir()
    # Durable: what was committed must be there after the server was stopped at once.
    server = PostgresServer(folder / "postgres")
    server.start()
    kept = dict(connection.settings_dict)
    connection.close()
    connection.settings_dict.update(parse_database_url(server.url()))
    call_command("migrate", verbosity=0)
    yield server
    connection.close()
    connection.settings_dict.update(kept)
    server.stop()


@pytest.fixture(autouse=True)
def no_sign_of_life_left():
    """This process's own connection would keep the test database from being dropped."""
    yield
    liveness.abandon()
