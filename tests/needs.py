"""What some tests need that not every machine has. A test without it is skipped, and says so.

`pytest --must-run chromium,recordings` fails when a test was skipped for want of one of these, or for a
reason that is none of the needs here.
"""

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from kombu import Connection
from kombu.exceptions import KombuError

from config.environment import BASE_DIR

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_PATH = next(filter(None, map(shutil.which, BROWSERS)), None)

# Recorded answers of Reddit's API, which are no part of the project.
RECORDINGS_FOLDER = Path(os.environ.get("REDDIT_REFERENCE") or "REDDIT_REFERENCE-is-not-set")

RABBITMQ_URL = os.environ.get("TEST_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672//")


@dataclass(frozen=True)
class Need:
    """Something that a machine has or lacks, and what to do to have it."""

    name: str
    remedy: str
    is_met: Callable[[], bool]

    @property
    def reason(self) -> str:
        """Why a test was skipped, as `skipped_for` reads it."""
        return f"needs {self.name}: {self.remedy}"

    def mark(self) -> pytest.MarkDecorator:
        """A mark for tests that need this."""
        return pytest.mark.skipif(not self.is_met(), reason=self.reason)

    def require(self) -> None:
        """Skip the running test where this is lacking."""
        if not self.is_met():
            pytest.skip(self.reason)


def _rabbitmq_answers() -> bool:
    try:
        with Connection(RABBITMQ_URL, connect_timeout=2) as connection:
            connection.ensure_connection(max_retries=1, timeout=2)
    except (KombuError, OSError):
        return False
    return True


def _broker_is_redis() -> bool:
    from django.conf import settings

    return settings.CELERY_BROKER_URL.startswith(("redis", "rediss"))


CHROMIUM = Need(
    "chromium", f"none of {', '.join(BROWSERS)} is on PATH", lambda: CHROMIUM_PATH is not None
)
RECORDINGS = Need(
    "recordings",
    "REDDIT_REFERENCE names no folder of recorded answers",
    RECORDINGS_FOLDER.is_dir,
)
RABBITMQ = Need(
    "rabbitmq", f"nothing answers at {RABBITMQ_URL}; set TEST_RABBITMQ_URL", _rabbitmq_answers
)
REDIS = Need("redis", "the tests' broker is not Redis, whose queues can be read", _broker_is_redis)
ROOT = Need("root", "only root can become another user", lambda: os.geteuid() == 0)
NO_DOTENV = Need(
    "no-dotenv",
    "the .env of this checkout fills in what the test leaves out",
    lambda: not (BASE_DIR / ".env").exists(),
)
ALL = {need.name: need for need in (CHROMIUM, RECORDINGS, RABBITMQ, REDIS, ROOT, NO_DOTENV)}


def skipped_for(reason: str) -> str | None:
    """The name of the need for want of which a test was skipped, by its reason."""
    found = re.search(r"needs ([a-z-]+): ", reason)
    return found[1] if found and found[1] in ALL else None
