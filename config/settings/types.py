"""The type checker, which imports the models and runs nothing: no server, no stored secret.

mypy's plugin for Django reads these settings, in `make types` and in an editor alike.
"""

import secrets

from cryptography.fernet import Fernet

from config import environment

environment.provide(
    SECRET_KEY=lambda: secrets.token_urlsafe(48),
    ENCRYPTION_KEYS=lambda: Fernet.generate_key().decode(),
    DATABASE_URL=lambda: "postgresql://nobody@localhost/nothing",
    CELERY_BROKER_URL=lambda: "redis://localhost",
)

from config.settings.base import *  # noqa: E402
