"""The settings modules, each in a process of its own, as nothing reads settings twice."""

import os
import secrets
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.fernet import Fernet

from config.environment import BASE_DIR
from local.servers.secrets import generated_secret
from tests import needs

pytestmark = pytest.mark.slow

PRODUCTION = {
    "DJANGO_SETTINGS_MODULE": "config.settings.production",
    "SECRET_KEY": secrets.token_urlsafe(48),
    "DATABASE_URL": "postgresql://lurker:hunter2@db.internal:5432/lurker",
    "CELERY_BROKER_URL": "redis://broker.internal:6379/0",
    "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    "ALLOWED_HOSTS": "lurker.test",
}
SHOW = "from django.conf import settings; print({})"


@pytest.fixture
def production(tmp_path):
    """Run Python with production settings and the given changes of the environment (None: unset)."""
    needs.NO_DOTENV.require()

    def run(*arguments, **changes):
        environment = {"PATH": os.environ["PATH"], **PRODUCTION, **changes}
        return subprocess.run(
            [sys.executable, *arguments],
            env={key: value for key, value in environment.items() if value is not None},
            cwd=BASE_DIR,
            capture_output=True,
            text=True,
        )

    return run


def test_a_deployment_passes_all_checks(production):
    done = production("manage.py", "check", "--deploy", "--fail-level", "WARNING")
    assert done.returncode == 0, done.stderr
    assert "no issues (2 silenced)" in done.stdout


def test_the_checks_of_a_deployment_can_fail(production):
    done = production(
        *("manage.py", "check", "--deploy", "--fail-level", "WARNING"), SECURE_SSL_REDIRECT="no"
    )
    assert done.returncode == 1
    assert "security.W008" in done.stderr


@pytest.mark.parametrize("name", [name for name in PRODUCTION if name != "DJANGO_SETTINGS_MODULE"])
def test_production_has_no_default_for(name, production):
    done = production("-c", SHOW.format("settings.DEBUG"), **{name: None})
    assert done.returncode == 1
    assert f"{name}: is not set and has no default." in done.stderr


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("SECRET_KEY", "too-short", "SECRET_KEY: has 9 characters, fewer than 50"),
        ("SECRET_KEY", "django-insecure-" + "abcdefgh" * 8, "is a placeholder and no secret"),
        ("ENCRYPTION_KEYS", "short", "ENCRYPTION_KEYS: has 5 characters"),
        ("DATABASE_URL", "sqlite:///db.sqlite3", "'sqlite' is not PostgreSQL"),
        ("LOCK_DATABASE_URL", "mysql://host/name", "LOCK_DATABASE_URL: 'mysql' is not PostgreSQL"),
        ("CELERY_BROKER_URL", "memory://", "unknown scheme 'memory'"),
        ("SECURE_SSL_REDIRECT", "ture", "'ture' is neither true nor false"),
        ("REDDIT_URL", "reddit.com", "REDDIT_URL: 'reddit.com' is no http address"),
        ("LOG_LEVEL", "info", "'info' is not a choice"),
        ("REDDIT_TIMEOUT_SECONDS", "0", "REDDIT_TIMEOUT_SECONDS: 0 is out of bounds"),
    ],
)
def test_a_value_that_cannot_be_used_ends_the_process(name, value, message, production):
    done = production("-c", SHOW.format("settings.DEBUG"), **{name: value})
    assert done.returncode == 1
    assert message in done.stderr
    assert "hunter2" not in done.stderr


def test_production_is_strict(production):
    names = (
        "settings.DEBUG, settings.SESSION_COOKIE_SECURE, settings.CSRF_COOKIE_SECURE, "
        "settings.SECURE_SSL_REDIRECT, settings.SECURE_PROXY_SSL_HEADER"
    )
    assert production("-c", SHOW.format(names)).stdout == "False True True True None\n"
    done = production(
        "-c", SHOW.format("settings.SECURE_PROXY_SSL_HEADER"), TRUST_PROXY_HEADERS="1"
    )
    assert done.stdout == "('HTTP_X_FORWARDED_PROTO', 'https')\n"


def test_sentry_is_off_without_an_address(production):
    script = (
        "from django.conf import settings; settings.DEBUG; import sys; "
        "print('sentry_sdk' in sys.modules and __import__('sentry_sdk').get_client().is_active())"
    )
    assert production("-c", script).stdout == "False\n"
    dsn = "https://0123456789abcdef0123456789abcdef@sentry.test/1"
    assert production("-c", script, SENTRY_DSN=dsn).stdout == "True\n"


def test_rabbitmq_gets_quorum_queues_and_no_options_of_redis(production):
    show = SHOW.format(
        "settings.CELERY_BROKER_TRANSPORT_OPTIONS, settings.CELERY_WORKER_DISABLE_PREFETCH, "
        "{queue.queue_arguments['x-queue-type'] for queue in settings.CELERY_TASK_QUEUES}, "
        "{queue.exchange.type for queue in settings.CELERY_TASK_QUEUES}"
    )
    done = production("-c", show, CELERY_BROKER_URL="amqp://user:hunter2@host:5672//")
    assert done.stdout == "{'confirm_publish': True} False {'quorum'} {'topic'}\n"


def test_celery_takes_every_setting(production):
    """A misspelt CELERY_ setting is silently ignored by Celery."""
    script = """
import django; django.setup()
from django.conf import settings
from celery.app.defaults import NAMESPACES, flatten
known = {name for name, _ in flatten(NAMESPACES)}
ours = {name for name in dir(settings) if name.startswith("CELERY_")}
# Read by Celery's Django fixup under its whole name; passed on in the transport options.
ours -= {"CELERY_DB_REUSE_MAX", "CELERY_VISIBILITY_TIMEOUT", "CELERY_SOFT_SHUTDOWN_TIMEOUT"}
print(sorted(name for name in ours if name.removeprefix("CELERY_").lower() not in known))
from config.celery import app
from tests import needs
print(app.conf.get("CELERY_DB_REUSE_MAX"), app.conf.task_acks_late, app.conf.result_backend)
"""
    done = production("-c", script)
    assert done.stdout == "[]\n500 True jobs.runs.backend:RunBackend\n", done.stderr


def test_the_tests_do_not_touch_the_servers_of_the_shell():
    """The tests empty their broker: they must not find one that a person has exported."""
    script = (
        "import django; django.setup(); from config.celery import app; "
        "write = app.connection_for_write(); "
        "print(write.hostname, write.virtual_host); "
        "from django.conf import settings; print(settings.DATABASES['default']['HOST'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ
        | PRODUCTION
        | {
            "DJANGO_SETTINGS_MODULE": "config.settings.test",
            "TEST_DATABASE_URL": "postgresql://me@chosen.test/name",
            "TEST_CELERY_BROKER_URL": "redis://chosen.test:6379/5",
        },
        cwd=BASE_DIR,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "chosen.test 5\nchosen.test\n", done.stderr


def test_the_secrets_of_a_checkout_are_generated_once_and_kept_private(tmp_path):
    path = tmp_path / "var" / "secret"
    drawn = iter(f"secret-{number}" for number in range(100))
    with ThreadPoolExecutor(8) as executor:
        futures = [executor.submit(generated_secret, path, lambda: next(drawn)) for _ in range(16)]
        values = {future.result() for future in futures}
    assert len(values) == 1
    assert values == {path.read_text().strip()}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]
