"""Fault 15: five thousand bots are deleted in the admin while somebody edits another one."""

import threading
import uuid
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from django_celery_results.models import TaskResult

from bots import services
from bots.models import BotConfig
from jobs.runs import store
from jobs.runs.store import RunRequest
from tests.database import recorded_statements
from tests.factories import BotFactory
from tests.jobs.runs.test_transitions import deliver

pytestmark = pytest.mark.django_db(transaction=True)

BOTS = reverse("admin:bots_botconfig_changelist")
MANY = 5_000


def bots_like(bot, number):
    return BotConfig.objects.bulk_create(
        BotConfig(
            owner=bot.owner,
            reddit_app=bot.reddit_app,
            name=f"{uuid.uuid4().hex}",
            subreddits=["python"],
        )
        for _ in range(number)
    )


def delete(admin_client, bots):
    """What the page of confirmation sends."""
    return admin_client.post(
        BOTS,
        {
            "action": "delete_selected",
            "_selected_action": [bot.pk for bot in bots],
            "post": "yes",
        },
    )


def edit(bot, problems):
    """Edit a bot and its schedule in a session of its own, and give up soon if they are locked."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '5s'")
        found = BotConfig.objects.get(pk=bot.pk)
        found.name = "Edited"
        found.save()
        PeriodicTask.objects.filter(name="another").update(description="edited")
    except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
        problems.append(error)
    finally:
        connection.close()


@pytest.mark.slow
def test_deleting_5000_bots_blocks_no_edit_and_leaves_no_orphans(
    admin_client, beat, broker, monkeypatch
):
    kept = BotFactory()
    others = bots_like(kept, MANY)
    PeriodicTask.objects.create(
        name="another", task="jobs.sweep", interval=PeriodicTask.objects.first().interval
    )
    monkeypatch.setattr(store, "publish", lambda requests, **_: 0)
    waiting = RunRequest(
        services.SCRAPE_TASK,
        {"bot_id": others[0].pk},
        "scraping",
        "schedule",
        schedule=services.schedule_name(others[0].pk),
    )
    store.record([waiting])
    beat.tick()
    assert len(beat.knows()) == MANY + 2
    few = bots_like(kept, 10)
    with recorded_statements() as for_few:
        assert delete(admin_client, few).status_code == 302

    problems = []
    with transaction.atomic():
        with recorded_statements() as for_many:
            assert delete(admin_client, others).status_code == 302
        # All that the deletion has locked is locked still.
        editor = threading.Thread(target=edit, args=(kept, problems))
        editor.start()
        editor.join(20)
        assert not editor.is_alive()
    assert not problems

    kept.refresh_from_db()
    assert kept.name == "Edited"
    assert set(PeriodicTask.objects.values_list("name", "description")) == {
        (
            services.schedule_name(kept.pk),
            PeriodicTask.objects.get(name__contains="scrape").description,
        ),
        ("another", "edited"),
    }
    # A statement more for each thousand rows or so, not one for each bot.
    assert len(for_many) - len(for_few) <= MANY / 100
    PeriodicTask.objects.update(last_run_at=timezone.now() - timedelta(days=2))
    beat.resync()
    assert set(beat.knows()) == {services.schedule_name(kept.pk), "another"}
    fired = TaskResult.objects.exclude(task_id=waiting.task_id)
    assert set(fired.values_list("periodic_task_name", flat=True)) == set(beat.knows())
    deliver(waiting)
    row = TaskResult.objects.get(task_id=waiting.task_id)
    assert (row.status, "does not exist any more" in row.meta) == ("SKIPPED", True)
