"""Fixtures for all tests. Servers are started by `config.settings.test`."""

import fcntl
import os
from contextlib import ExitStack, contextmanager

import pytest
import redis

from config.environment import database_url
from tests import needs
from tests.clean_database import quick_flush
from tests.processes import running_processes


def pytest_addoption(parser):
    parser.addoption(
        "--must-run",
        default="",
        metavar="NEED,...",
        help="fail when a test was skipped for want of one of these, or for a reason that is no need "
        f"of tests/needs.py: {', '.join(needs.ALL)}",
    )


def pytest_configure(config):
    config.stash[FORBIDDEN_SKIPS] = []
    unknown = _must_run(config) - needs.ALL.keys()
    if unknown:
        raise pytest.UsageError(f"--must-run: no such need: {', '.join(sorted(unknown))}")
    config.pluginmanager.register(_Skips(config), "forbidden-skips")


def _must_run(config):
    return set(filter(None, config.getoption("--must-run").split(",")))


FORBIDDEN_SKIPS = pytest.StashKey()


class _Skips:
    """Fails the run for tests that were skipped though this machine has what they need."""

    def __init__(self, config):
        self.config = config
        self.must_run = _must_run(config)

    def pytest_runtest_logreport(self, report):
        if not self.must_run or not report.skipped or hasattr(report, "wasxfail"):
            return
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        need = needs.skipped_for(reason)
        if need is None or need in self.must_run:
            self.config.stash[FORBIDDEN_SKIPS].append(f"{report.nodeid}: {reason}")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session, exitstatus):
        if self.config.stash[FORBIDDEN_SKIPS] and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter):
        for skip in self.config.stash[FORBIDDEN_SKIPS]:
            terminalreporter.write_line(f"SKIPPED, but must run here: {skip}", red=True)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    """The test database, which tests that commit bring back to what `migrate` left."""
    with ExitStack() as stack:
        with django_db_blocker.unblock():
            stack.enter_context(quick_flush())
        yield


@pytest.fixture
def broker(settings):
    """The address of this test process's broker, empty of what is ours before and after the test."""
    from config.celery import app

    def empty():
        with app.connection_for_write() as connection:
            if connection.transport.driver_type == "redis":
                client = connection.default_channel.client.connection_pool
                plain = redis.Redis(connection_pool=client)
                for key in plain.scan_iter(match=f"{settings.BROKER_PREFIX}*"):
                    plain.delete(key)
            else:
                app.control.purge(connection=connection)

    with broker_for_itself(settings):
        empty()
        yield settings.CELERY_BROKER_URL
        empty()


@contextmanager
def broker_for_itself(settings):
    """RabbitMQ has no keys to prefix: tests that use its queues wait for one another."""
    if not settings.CELERY_BROKER_URL.startswith("amqp"):
        yield
        return
    with (settings.STATIC_ROOT.parent / "broker.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def process_environment(transactional_db, broker, settings):
    """The environment of a process that works on the database and the broker of this test.

    Both settings modules that a child may use find them: the test settings by the names with
    TEST_, the others without.
    """
    from django.db import connection

    database = database_url(connection.settings_dict)
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in {"LOG_LEVEL", "LOG_FORMAT"} and not name.startswith("PYTEST_")
    }
    return kept | {
        "DJANGO_SETTINGS_MODULE": "config.settings.test",
        "DATABASE_URL": database,
        "TEST_DATABASE_URL": database,
        "CELERY_BROKER_URL": broker,
        "TEST_CELERY_BROKER_URL": broker,
        "TEST_BROKER_PREFIX": settings.BROKER_PREFIX,
        "PYTHONUNBUFFERED": "1",
    }


@pytest.fixture
def processes(process_environment, tmp_path):
    """Start real workers, beats and servers; all of them are killed when the test ends."""
    with running_processes(folder=tmp_path, environment=process_environment) as started:
        yield started
