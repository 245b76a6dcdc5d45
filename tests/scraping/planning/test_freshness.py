"""What a bot's schedule promises, and what its streams had, side by side."""

import io
import json
from datetime import timedelta
from math import inf

import pytest
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone
from hypothesis import example, given
from hypothesis import strategies as st

from scraping.models import ScrapeSession
from scraping.planning.freshness import achieved, in_words
from tests.factories import BotFactory, SuperuserFactory

pytestmark = pytest.mark.django_db


def session(bot, seconds, *, hours_ago=1):
    return ScrapeSession.objects.create(
        bot=bot,
        bot_name=bot.name,
        trigger="schedule",
        status="completed",
        queued_at=timezone.now() - timedelta(hours=hours_ago),
        freshness_seconds=seconds,
    )


def test_of_the_last_day_by_bot():
    bot, other = BotFactory(every=5), BotFactory(every=1, period="hours")
    for seconds in range(300, 401):
        session(bot, seconds)
    session(bot, 9_999, hours_ago=25)
    session(bot, None)
    session(other, 7_200)

    told = achieved([bot, other])

    assert (told[bot.pk].promised, told[bot.pk].sessions) == (300, 101)
    assert (told[bot.pk].p50, told[bot.pk].p95, told[bot.pk].longest) == (350, 395, 400)
    assert (told[other.pk].promised, told[other.pk].longest) == (3_600, 7_200)
    assert (
        str(told[other.pk])
        == "half within 2.0 h, 95 % within 2.0 h, all within 2.0 h; promised 1.0 h"
    )


def test_bots_that_promise_nothing_and_had_no_session_are_left_out():
    sample = BotFactory(listing="hot")
    session(sample, 60)

    assert achieved([sample, BotFactory()]) == {}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(4.4, "4 s"), (59, "59 s"), (312, "5.2 min"), (5_400, "1.5 h"), (259_200, "3.0 days")],
)
def test_spans_are_told_as_people_say_them(seconds, words):
    assert in_words(seconds) == words


@given(st.floats(min_value=0, max_value=10 * 86_400))
@example(59.5)
@example(3_597.0)
@example(2 * 86_400 - 180.0)
def test_a_span_has_one_way_to_be_told(seconds):
    number, unit = in_words(seconds).split()
    size, below = {"s": (1, 60), "min": (60, 60), "h": (3_600, 48), "days": (86_400, inf)}[unit]

    assert float(number) < below
    assert unit == "s" or float(number) >= (2 if unit == "days" else 1)
    assert abs(float(number) * size - seconds) <= size * (0.5 if unit == "s" else 0.0501)


def test_a_command_prints_it():
    bot = BotFactory(name="Cats", every=5)
    session(bot, 312.5)
    session(BotFactory(auto_scrape_enabled=False), 60)
    output = io.StringIO()

    call_command("freshness", "--json", stdout=output)

    assert json.loads(output.getvalue()) == [
        {
            "bot": bot.pk,
            "name": "Cats",
            "promised": 300,
            "p50": 312.5,
            "p95": 312.5,
            "longest": 312.5,
            "sessions": 1,
        }
    ]


def test_the_admin_shows_it_in_the_list_and_on_the_page(client, django_assert_max_num_queries):
    client.force_login(SuperuserFactory())
    for _ in range(3):
        session(BotFactory(every=5), 310)
    bot = BotFactory()
    url = reverse("admin:bots_botconfig_changelist")

    with django_assert_max_num_queries(20):
        page = client.get(url).content.decode()

    assert (
        page.count("half within 5.2 min, 95 % within 5.2 min, all within 5.2 min; promised 5.0 min")
        == 3
    )
    change = reverse("admin:bots_botconfig_change", args=[bot.pk])
    assert client.get(change).status_code == 200
    session(bot, 610)
    assert "all within 10.2 min; promised 5.0 min" in client.get(change).content.decode()


def test_sessions_show_their_columns(client):
    client.force_login(SuperuserFactory())
    shown = session(BotFactory(), 312)
    ScrapeSession.objects.update(
        requests=5, requests_by_kind={"token": 1, "listing": 4}, gaps_opened=2
    )

    url = reverse("admin:scraping_scrapesession_change", args=[shown.pk])
    page = client.get(url).content.decode()

    assert "4 listing, 1 token" in page
    assert "5.2 min" in page


def test_streams_show_their_rates(client):
    from scraping.subreddits import ensure_streams

    client.force_login(SuperuserFactory())
    (stream,) = ensure_streams(["python"], "posts")
    stream.arrivals_per_hour = 1234.5
    stream.save()

    assert "1,23" in client.get(reverse("admin:scraping_stream_changelist")).content.decode()
