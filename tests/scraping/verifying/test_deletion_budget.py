"""Verification beside collection, on one enforced budget: in time where it suffices, and told where not.

Real time, as Reddit's windows are; the hours of the checks pass in fractions of a second.
"""

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.db.models import F

from bots.models import RedditApp
from scraping.budget import clients
from scraping.budget.app_budget import RESERVES
from scraping.content import check_plan, receipts
from scraping.models import DeletionReceipt, ItemCheck, RequestBudget, Stream
from scraping.reddit.client import RedditClient
from scraping.sessions import services
from scraping.verifying import recheck
from tests.factories import BotFactory
from tests.scraping.still_reddit import START, still_reddit

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

NAMES = ("python", "berlin")
WINDOW_SECONDS = 2
HOURS_A_SECOND = 9
SECONDS = 11
PROMISED = timedelta(hours=48)
# A session takes one request for posts and one for comments, and there is one so often.
SESSION_PAUSE = 0.8


class Clock:
    """The time of the checks, which begins with the simulator's and runs fast."""

    def __init__(self):
        self.began = time.monotonic()

    def __call__(self):
        hours = (time.monotonic() - self.began) * HOURS_A_SECOND
        return datetime.fromtimestamp(START, UTC) + timedelta(hours=hours)


@pytest.fixture
def reddit(settings):
    with still_reddit(
        history_hours=48, posts_per_hour=6, comments_per_post=1, window=WINDOW_SECONDS
    ) as server:
        settings.SIMULATOR_URL = server.url
        settings.REDDIT_BUDGET_WINDOW_SECONDS = WINDOW_SECONDS
        yield server


@pytest.fixture
def bot(reddit, monkeypatch):
    """It has read all there is, and each item is planned to be looked up again."""
    with monkeypatch.context() as patched:
        patched.setattr(
            "scraping.content.upsert.timezone.now", lambda: datetime.fromtimestamp(START, UTC)
        )
        bot = BotFactory(
            subreddits=list(NAMES), comments="stream", reddit_app__requests_per_minute=6_000
        )
        assert services.scrape_bot(bot.pk, trigger="manual").status == "completed"
        clients.close_all()
    check_plan.enrol_new(now=datetime.fromtimestamp(START, UTC), everything=True)
    assert 1500 < ItemCheck.objects.count() < 2500
    return bot


@pytest.fixture
def asked(monkeypatch):
    """When Reddit told last of each item, by our own account."""
    asked = {}
    info = RedditClient.info

    def noted(client, *, fullnames=(), **options):
        page = info(client, fullnames=fullnames, **options)
        moment = asked["clock"]()
        asked.update(dict.fromkeys(fullnames, moment))
        return page

    monkeypatch.setattr(RedditClient, "info", noted)
    return asked


def enforce(reddit, requests):
    """From now on, on both sides, so many requests in a window."""
    RedditApp.objects.update(requests_per_minute=requests * 60 // WINDOW_SECONDS)
    RequestBudget.objects.all().delete()
    reddit.simulator.budget.requests = requests
    reddit.simulator.budget.reset()
    reddit.simulator.journal.reset()


def collect(bot, ended, statuses):
    """Read everything anew at each turn, as bots on schedule do."""
    try:
        while not ended.wait(SESSION_PAUSE):
            Stream.objects.update(last_fetch_at=F("last_fetch_at") - timedelta(hours=1))
            statuses.append(services.scrape_bot(bot.pk, trigger="schedule").status)
    finally:
        clients.close_all()
        connection.close()


def run_beside_collection(bot, clock, each_turn):
    """Let the sweep run for `SECONDS`; return how the sessions beside it ended."""
    ended, statuses = threading.Event(), []
    collection = threading.Thread(target=collect, args=(bot, ended, statuses))
    collection.start()
    try:
        while time.monotonic() < clock.began + SECONDS:
            recheck.check_items(clock=clock, seconds=1)
            each_turn()
            time.sleep(0.02)
    finally:
        ended.set()
        collection.join(20)
    return statuses


def answered(reddit, kind=None):
    """How many requests the simulator granted, and how many it refused."""
    (kinds,) = reddit.control("requests")["clients"].values()
    granted = refused = 0
    for name, statuses in kinds.items():
        if name != "token" and kind in (None, name):
            granted += statuses.get("200", 0)
            refused += statuses.get("429", 0)
    return granted, refused


def age_of_oldest(clock):
    return clock() - receipts.verification().oldest_at


def test_where_it_suffices_all_is_verified_and_purged_in_time(bot, reddit, asked):
    enforce(reddit, requests=30)
    clock = asked["clock"] = Clock()
    doomed = list(ItemCheck.objects.order_by("fullname").values_list("fullname", flat=True))[::200]
    deleted, ages = {}, []

    def each_turn():
        ages.append(age_of_oldest(clock))
        # One by one, so that they fall into all parts of the schedule.
        if doomed and clock.began + len(deleted) * 0.4 < time.monotonic():
            fullname = doomed.pop()
            reddit.control(f"items/{fullname}", {"action": "delete"})
            deleted[fullname] = clock()

    statuses = run_beside_collection(bot, clock, each_turn)

    assert answered(reddit)[1] == 0, "Reddit refused a request"
    assert len(statuses) > SECONDS / SESSION_PAUSE / 2
    assert set(statuses) == {"completed"}
    assert max(ages) < PROMISED
    assert len(deleted) > 8
    due = {name for name, moment in deleted.items() if clock() - moment > PROMISED}
    purged = dict(DeletionReceipt.objects.values_list("fullname", "purged_at"))
    assert due
    assert due <= purged.keys() <= deleted.keys()
    assert all(purged[name] - deleted[name] < PROMISED for name in purged)


def test_where_it_does_not_the_rest_is_used_up_and_the_gauge_tells(bot, reddit, asked):
    """The lane takes its share, gives it to what waits longest, and says how long that is."""
    requests = 4
    enforce(reddit, requests=requests)
    clock = asked["clock"] = Clock()
    stored = set(ItemCheck.objects.values_list("fullname", flat=True))
    told = datetime.fromtimestamp(START, UTC)
    errors = []

    def each_turn():
        known = min(asked.get(name, told) for name in stored)
        errors.append(abs(receipts.verification().oldest_at - known))

    statuses = run_beside_collection(bot, clock, each_turn)

    granted, refused = answered(reddit)
    assert refused == 0, "Reddit refused a request"
    looked_up = answered(reddit, "info")[0]
    # A quarter of each window is kept for collection, which waits for no more than that.
    assert set(statuses) == {"completed"}
    assert granted - looked_up >= RESERVES["deletion"] * granted
    assert granted >= 0.75 * requests * SECONDS / WINDOW_SECONDS, "the rest of the budget is used"
    assert age_of_oldest(clock) > PROMISED, "it suffices: this shows nothing"
    # A moment passes between the answer and the row, and hours pass in it.
    assert max(errors) < timedelta(hours=HOURS_A_SECOND * 0.1)
    # What waits longest comes first once its 42 hours are over; until then, what is young.
    verified = ItemCheck.objects.filter(checked_at__gt=told).count()
    assert looked_up * 100 / 3 < verified <= looked_up * 100
