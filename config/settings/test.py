"""Settings of the tests: embedded servers of their own in `var/test`, and nothing from `.env`.

To use other servers, run `make test` with `DATABASE_URL` and `CELERY_BROKER_URL`, which it passes
on as `TEST_DATABASE_URL` and `TEST_CELERY_BROKER_URL`. On a database server, the tests use only
databases that they create and drop themselves (`test_...`). On Redis, they use only keys with their
own prefix. On RabbitMQ, they empty the queues `default`, `scraping` and `cleanup`, so give them a
virtual host of their own. Processes that a test starts find the test's database and broker in the
same variables.
"""

import os
import secrets

from cryptography.fernet import Fernet

from config import environment
from config.environment import BASE_DIR
from local.servers import ensure_postgres, ensure_redis
from local.servers.secrets import generated_secret

_VAR = BASE_DIR / "var" / "test"
# Parallel test processes (gw0, gw1, ...) share the Redis server, but each has its own keys.
BROKER_PREFIX = os.environ.get(
    "TEST_BROKER_PREFIX", f"lurker-test-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}:"
)

# Celery itself reads these variables, and prefers them to any setting.
for _name in ("BROKER_URL", "BROKER_READ_URL", "BROKER_WRITE_URL", "RESULT_BACKEND"):
    os.environ.pop(f"CELERY_{_name}", None)

environment.read_as(DATABASE_URL="TEST_DATABASE_URL", CELERY_BROKER_URL="TEST_CELERY_BROKER_URL")
environment.provide(
    SECRET_KEY=lambda: generated_secret(_VAR / "secret-key", lambda: secrets.token_urlsafe(48)),
    ENCRYPTION_KEYS=lambda: generated_secret(
        _VAR / "encryption-keys", lambda: Fernet.generate_key().decode()
    ),
    DATABASE_URL=lambda: ensure_postgres(_VAR / "postgres", durable=False),
    CELERY_BROKER_URL=lambda: ensure_redis(_VAR / "redis"),
)

from config.settings.base import *  # noqa: E402

ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # fast, but not secure
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"

STATIC_ROOT = _VAR / "static"
STATIC_ROOT.mkdir(parents=True, exist_ok=True)  # WhiteNoise warns about a missing folder
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}

# Tests of crashes wait until Redis delivers a dead worker's messages again. By default, this takes
# up to a hundred seconds longer than the visibility time-out.
if "visibility_timeout" in CELERY_BROKER_TRANSPORT_OPTIONS:
    CELERY_BROKER_TRANSPORT_OPTIONS |= {
        "global_keyprefix": BROKER_PREFIX,
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
    }
# Tests of crashes let tasks outlast the visibility time-out on purpose.
SILENCED_SYSTEM_CHECKS = ["LURKER.E004"]

# Tests of half-open connections wait for missed heartbeats, so they make heartbeats come sooner.
CELERY_BROKER_HEARTBEAT = int(os.environ.get("TEST_BROKER_HEARTBEAT", CELERY_BROKER_HEARTBEAT))
if "health_check_interval" in CELERY_BROKER_TRANSPORT_OPTIONS:
    CELERY_BROKER_TRANSPORT_OPTIONS["health_check_interval"] = min(
        CELERY_BROKER_TRANSPORT_OPTIONS["health_check_interval"], CELERY_BROKER_HEARTBEAT
    )
