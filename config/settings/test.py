"""The tests: embedded servers of their own in `var/test`, nothing from `.env`.

On other servers: `make test` takes those of `DATABASE_URL` and `CELERY_BROKER_URL`, handed on as
`TEST_DATABASE_URL` and `TEST_CELERY_BROKER_URL`. Of a database server, the tests use databases that
they create and drop themselves (`test_...`); of Redis, keys of a prefix of their own; RabbitMQ's
queues `default`, `scraping` and `cleanup` are emptied, so give them a virtual host. Processes that a
test starts find the database and the broker of that test in the same variables.
"""

import os
import secrets

from cryptography.fernet import Fernet

from config import environment
from config.environment import BASE_DIR
from local.servers import ensure_postgres, ensure_redis
from local.servers.secrets import generated_secret

_VAR = BASE_DIR / "var" / "test"
# Parallel test processes (gw0, gw1, ...) share the Redis server, not its keys.
BROKER_PREFIX = os.environ.get(
    "TEST_BROKER_PREFIX", f"lurker-test-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}:"
)

# Celery itself reads these, and prefers them to any setting.
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
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # fast, and good for nothing
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"

STATIC_ROOT = _VAR / "static"
STATIC_ROOT.mkdir(parents=True, exist_ok=True)  # WhiteNoise warns of a folder that is missing
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}

# Tests of crashes wait for Redis to hand out a dead worker's messages; by default that takes up to
# a hundred seconds beyond the visibility time-out.
if "visibility_timeout" in CELERY_BROKER_TRANSPORT_OPTIONS:
    CELERY_BROKER_TRANSPORT_OPTIONS |= {
        "global_keyprefix": BROKER_PREFIX,
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
    }
# ... and have tasks outlast it on purpose.
SILENCED_SYSTEM_CHECKS = ["LURKER.E004"]
