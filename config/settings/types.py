"""Settings for the type checker: it imports the models and needs no server or stored secret.

mypy's Django plugin reads these settings, in `make types` and in an editor.
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
