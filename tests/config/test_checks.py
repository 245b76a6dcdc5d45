"""Settings that are wrong together are found at boot."""

import pytest
from cryptography.fernet import Fernet
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured

from config import checks


def ids(messages):
    return [message.id for message in messages]


def test_the_settings_of_the_tests_are_right():
    assert run_checks() == []
    checks.refuse_errors()


def test_every_encryption_key_is_examined(settings):
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode(), "x" * 44]
    [message] = checks.encryption_keys_are_fernet_keys()
    assert message.id == "LURKER.E001"
    assert "key 2 of 2" in message.msg
    assert "x" * 44 not in str(message)
    settings.ENCRYPTION_KEYS = []
    assert ids(checks.encryption_keys_are_fernet_keys()) == ["LURKER.E001"]


def test_unknown_brokers_are_refused(settings):
    settings.CELERY_BROKER_URL = "sqs://"
    assert ids(checks.broker_is_known()) == ["LURKER.E002"]


def test_limits_are_in_order(settings):
    settings.CELERY_TASK_SOFT_TIME_LIMIT = settings.CELERY_TASK_TIME_LIMIT = 100
    assert ids(checks.time_limits_are_in_order()) == ["LURKER.E003"]
    settings.CELERY_TASK_SOFT_TIME_LIMIT = 90
    settings.CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 100}
    assert ids(checks.time_limits_are_in_order()) == ["LURKER.E004"]
    settings.CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 101}
    assert checks.time_limits_are_in_order() == []
    settings.CELERY_BROKER_TRANSPORT_OPTIONS = {"confirm_publish": True}  # RabbitMQ
    assert checks.time_limits_are_in_order() == []


@pytest.mark.parametrize(("request_", "call"), [(0, 60), (61, 60), (10, 1740)])
def test_times_for_reddit_are_in_order(settings, request_, call):
    settings.REDDIT_TIMEOUT_SECONDS, settings.REDDIT_DEADLINE_SECONDS = request_, call
    assert ids(checks.reddit_times_are_in_order()) == ["LURKER.E005"]


def test_only_postgres_is_a_database(settings, monkeypatch):
    monkeypatch.setitem(settings.DATABASES["default"], "ENGINE", "django.db.backends.sqlite3")
    assert ids(checks.database_is_postgres()) == ["LURKER.E006"]


@pytest.mark.django_db
def test_an_old_postgres_is_refused(monkeypatch):
    assert checks.postgres_is_recent(databases=["default"]) == []
    monkeypatch.setattr(checks, "OLDEST_POSTGRES", 99)
    assert ids(checks.postgres_is_recent(databases=["default"])) == ["LURKER.E007"]
    assert checks.postgres_is_recent() == []


def test_a_process_with_errors_does_not_start(settings):
    settings.CELERY_BROKER_URL = "sqs://"
    with pytest.raises(ImproperlyConfigured, match=r"(?s)LURKER\.E002.*HINT"):
        checks.refuse_errors()
    settings.SILENCED_SYSTEM_CHECKS = ["LURKER.E002"]
    checks.refuse_errors()
