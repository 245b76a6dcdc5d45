"""Settings for development and the demo; they work in a fresh checkout without configuration."""

import secrets

from cryptography.fernet import Fernet

from config import environment
from config.environment import BASE_DIR
from local.servers import ensure_postgres, ensure_redis
from local.servers.secrets import generated_secret

environment.read_dotenv()

_VAR = BASE_DIR / "var"
environment.provide(
    SECRET_KEY=lambda: generated_secret(_VAR / "secret-key", lambda: secrets.token_urlsafe(48)),
    ENCRYPTION_KEYS=lambda: generated_secret(
        _VAR / "encryption-keys", lambda: Fernet.generate_key().decode()
    ),
    DATABASE_URL=lambda: ensure_postgres(_VAR / "postgres"),
    CELERY_BROKER_URL=lambda: ensure_redis(_VAR / "redis"),
)

from config.settings.base import *  # noqa: E402

DEBUG = environment.boolean("DEBUG", default=True)
ALLOWED_HOSTS = environment.words("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])

EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"

# Serve static files directly from the apps, so that nothing has to be collected after a change.
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG
