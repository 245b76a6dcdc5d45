"""Between tests that commit, the database is as `migrate` left it."""

import threading

import pytest
from django.contrib.auth.models import Permission
from django.db import connection, transaction
from django_celery_beat.models import PeriodicTask

from accounts.models import User
from bots.models import BotConfig
from scraping.models import RedditPost
from tests import clean_database
from tests.factories import BotFactory

pytestmark = pytest.mark.django_db(transaction=True)


def size(model):
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_relation_size(%s::regclass)", [model._meta.db_table])
        return cursor.fetchone()[0]


def test_what_a_test_added_is_gone_in_every_table():
    BotFactory()

    clean_database.restore()

    assert not BotConfig.objects.exists()
    assert not User.objects.exists()
    assert not PeriodicTask.objects.filter(name__startswith="scrape-bot-").exists()


def test_what_a_test_deleted_or_changed_is_back():
    permissions, schedules = (
        list(model.objects.order_by("pk").values()) for model in (Permission, PeriodicTask)
    )
    assert permissions
    assert schedules
    Permission.objects.all().delete()
    PeriodicTask.objects.update(enabled=False)

    clean_database.restore()

    assert list(Permission.objects.order_by("pk").values()) == permissions
    assert list(PeriodicTask.objects.order_by("pk").values()) == schedules


def test_a_table_that_grew_large_gives_its_space_back():
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO scraping_redditpost (fullname, title, created_at, first_seen_at,"
            " refreshed_at, extra, removal) SELECT 't3_' || n, repeat('x', 200), now(), now(),"
            " now(), '{}', '' FROM generate_series(1, 6000) n"
        )
    assert size(RedditPost) > clean_database.TRUNCATE_BYTES

    clean_database.restore()

    assert size(RedditPost) == 0


def test_it_waits_for_what_another_process_is_writing():
    written, end = threading.Event(), threading.Event()

    def write():
        try:
            with transaction.atomic():
                BotFactory()
                written.set()
                end.wait(10)
        finally:
            connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    assert written.wait(10)
    threading.Timer(0.2, end.set).start()

    clean_database.restore()

    writer.join(10)
    assert not BotConfig.objects.exists()
