"""Each stream is wanted as often as the most eager of its bots asks for it."""

from datetime import timedelta

import pytest
from django.db import connection

from scraping.planning.demand import demands, freshness_of, wanted_kinds
from tests.factories import BotFactory, RedditAppFactory

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def app():
    return RedditAppFactory()


def bot(app, **fields):
    return BotFactory(owner=app.owner, reddit_app=app, **fields)


def wanted(app):
    return {demand.key: (demand.freshness, demand.bot_ids) for demand in demands(app)}


def test_the_shortest_interval_counts_and_names_are_told_apart_without_case(app):
    slow = bot(app, subreddits=["Python", "berlin"], every=1, period="hours")
    fast = bot(app, subreddits=["PYTHON"], every=5, period="minutes", comments="stream")

    assert wanted(app) == {
        ("berlin", "posts"): (HOUR, (slow.pk,)),
        ("python", "comments"): (5 * MINUTE, (fast.pk,)),
        ("python", "posts"): (5 * MINUTE, (slow.pk, fast.pk)),
    }


@pytest.mark.parametrize("off", [{"is_active": False}, {"auto_scrape_enabled": False}])
def test_bots_that_do_not_run_by_themselves_want_nothing(app, off):
    bot(app, **off)
    bot(RedditAppFactory(), subreddits=["another_app"])

    assert demands(app) == []


@pytest.mark.parametrize(
    ("fields", "kinds"),
    [
        ({}, ("posts",)),
        ({"comments": "stream"}, ("posts", "comments")),
        ({"listing": "hot"}, ()),
        ({"listing": "search", "search_query": "a", "comments": "stream"}, ("comments",)),
    ],
)
def test_samples_are_no_streams(app, fields, kinds):
    assert wanted_kinds(bot(app, **fields)) == kinds


@pytest.mark.parametrize(
    ("crontab", "distance"),
    [
        ("*/10 * * * *", 10 * MINUTE),
        ("* * * * *", MINUTE),
        ("0 9,10,17 * * *", HOUR),
        ("30 4 * * *", 24 * HOUR),
        ("0 6 * * 1", 7 * 24 * HOUR),
    ],
)
def test_a_crontab_promises_its_shortest_distance(app, crontab, distance):
    promised = freshness_of(bot(app, schedule="crontab", crontab=crontab))

    assert promised == distance


def test_the_day_on_which_the_clock_changes_does_not_end_in_an_error(app):
    promised = freshness_of(
        bot(app, schedule="crontab", crontab="30 2 * * *", timezone="Europe/Berlin")
    )

    assert 22 * HOUR < promised <= 25 * HOUR


def test_a_crontab_that_raw_sql_broke_stops_no_other_bot(app):
    bot(app, subreddits=["python"])
    bot(app, subreddits=["berlin"], schedule="crontab", crontab="0 9 * * *")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE bots_botconfig SET crontab = '61 * *' WHERE crontab <> ''")

    assert wanted(app)["python", "posts"][0] == 5 * MINUTE
