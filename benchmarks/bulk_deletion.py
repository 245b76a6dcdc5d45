"""The time to delete 5,000 bots with their schedules, and the time of an edit meanwhile.

`delete_bots_s` is the admin's action after its page of confirmation, through Django's test client,
with the commit; it should stay below 2 s on an idle machine. `delete_bots_edit_s` is the slowest of
the edits that another session makes meanwhile to another bot and its schedule.
"""

import threading
import time
import uuid

from benchmarks._database import own_database

BOTS = 5_000


def run() -> dict[str, float]:
    """Return the seconds of the deletion, and of the slowest edit beside it."""
    with own_database():
        from django.test import override_settings

        with override_settings(ALLOWED_HOSTS=["testserver"]):
            return _measure()


def _measure() -> dict[str, float]:
    from django.test import Client
    from django.urls import reverse

    from bots.models import BotConfig
    from tests.factories import BotFactory, SuperuserFactory

    kept = BotFactory()
    bots = BotConfig.objects.bulk_create(
        BotConfig(
            owner=kept.owner,
            reddit_app=kept.reddit_app,
            name=uuid.uuid4().hex,
            subreddits=["python"],
        )
        for _ in range(BOTS)
    )
    _expect_schedules(BOTS + 1)
    client = Client()
    client.force_login(SuperuserFactory())
    page = reverse("admin:bots_botconfig_changelist")
    client.get(page)  # load the modules, as on a running server
    done = threading.Event()
    edits: list[float] = []
    editor = threading.Thread(target=_edit, args=(kept.pk, done, edits))
    editor.start()
    began = time.perf_counter()
    response = client.post(
        page,
        {
            "action": "delete_selected",
            "_selected_action": [bot.pk for bot in bots],
            "post": "yes",
        },
    )
    seconds = time.perf_counter() - began
    done.set()
    editor.join()
    if response.status_code != 302 or BotConfig.objects.count() != 1:
        raise RuntimeError(f"The bots were not deleted: status {response.status_code}.")
    _expect_schedules(1)
    if not edits:
        raise RuntimeError("No edit ended while the bots were deleted.")
    return {"delete_bots_s": seconds, "delete_bots_edit_s": max(edits)}


def _edit(pk: int, done: threading.Event, edits: list[float]) -> None:
    from django.db import connection

    from bots.models import BotConfig

    try:
        while not done.is_set():
            began = time.perf_counter()
            bot = BotConfig.objects.get(pk=pk)
            bot.every = 5 + len(edits) % 2
            bot.save()
            edits.append(time.perf_counter() - began)
            time.sleep(0.05)  # edits must not take the processor from the deletion
    finally:
        connection.close()


def _expect_schedules(number: int) -> None:
    from django_celery_beat.models import PeriodicTask

    from bots.services import SCRAPE_TASK

    found = PeriodicTask.objects.filter(task=SCRAPE_TASK).count()
    if found != number:
        raise RuntimeError(f"{found} schedules of bots where there should be {number}.")
