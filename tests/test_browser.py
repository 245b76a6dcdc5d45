"""A person saves a bot in a real browser and sees when it runs next.

Slow: starts headless Chromium. Skipped where there is no browser.
"""

import os
import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from bots.models import BotConfig
from scraping.models import Gap, ScrapeSession, Stream
from scraping.subreddits import ensure_streams
from tests import needs
from tests.factories import PASSWORD, BotFactory, RedditAppFactory, SuperuserFactory

ARGUMENTS = ["--no-sandbox", "--headless", "--disable-gpu", "--disable-background-networking"]

pytestmark = [pytest.mark.slow, needs.CHROMIUM.mark()]


@pytest.fixture
def page(monkeypatch):
    """A page of a browser; whatever it writes to its console as an error fails the test."""
    # Playwright's loop runs in this thread, which makes Django refuse the database to it.
    monkeypatch.setitem(os.environ, "DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    from playwright.sync_api import sync_playwright

    complaints = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=needs.CHROMIUM_PATH, args=ARGUMENTS)
        page = browser.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda message: complaints.append(message.text) if message.type == "error" else None,
        )
        yield page
        browser.close()
    assert complaints == []


def test_a_bot_saved_in_the_form_appears_with_its_next_run(page, live_server):
    owner = SuperuserFactory()
    RedditAppFactory(owner=owner, name="The app")

    page.goto(live_server.url + reverse("admin:bots_botconfig_changelist"))
    page.fill("input[name=username]", owner.email)
    page.fill("input[name=password]", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_url("**" + reverse("admin:bots_botconfig_changelist"))

    page.goto(live_server.url + reverse("admin:bots_botconfig_add"))
    page.fill("input[name=name]", "Cats of the world")
    page.select_option("select[name=reddit_app]", label="The app")
    page.fill("textarea[name=subreddits]", "r/cats\nhttps://www.reddit.com/r/CatsStandingUp/")
    page.fill("textarea[name=include_terms]", "kitten\nre:cats?")
    page.fill("input[name=every]", "7")
    page.wait_for_selector("text=Adds about")
    page.click("[name=_save]")
    page.wait_for_url("**" + reverse("admin:bots_botconfig_changelist"))

    row = page.locator("tr", has_text="Cats of the world")
    shown = re.sub(r"\s+", " ", row.first.inner_text())
    assert "r/cats, r/CatsStandingUp" in shown
    assert "every 7 minutes" in shown
    assert re.search(r"\d{1,2}:\d\d:\d\d, in [67] minutes", shown), shown
    bot = BotConfig.objects.get()
    assert bot.include_terms == ["kitten", "re:cats?"]
    assert PeriodicTask.objects.get(name=f"scrape-bot-{bot.pk}").enabled


def test_a_fault_is_shown_beside_what_was_typed(page, live_server):
    owner = SuperuserFactory()
    RedditAppFactory(owner=owner, name="The app")
    page.goto(live_server.url + reverse("admin:bots_botconfig_add"))
    page.fill("input[name=username]", owner.email)
    page.fill("input[name=password]", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_selector("textarea[name=subreddits]")

    page.fill("input[name=name]", "Cats")
    page.select_option("select[name=reddit_app]", label="The app")
    page.fill("textarea[name=subreddits]", "cats\nall")
    page.click("[name=_save]")

    page.wait_for_selector("text=“all” is a view over other subreddits")
    assert page.input_value("textarea[name=subreddits]").split() == ["cats", "all"]
    assert not BotConfig.objects.exists()


def test_the_front_page_fits_a_phone(page, live_server):
    owner = SuperuserFactory()
    bot = BotFactory(owner=owner, name="Cats of the world")
    ScrapeSession.objects.create(bot=bot, bot_name=bot.name, status="completed", new=7)
    page.set_viewport_size({"width": 390, "height": 844})

    page.goto(live_server.url + reverse("admin:index"))
    page.fill("input[name=username]", owner.email)
    page.fill("input[name=password]", PASSWORD)
    page.click("button[type=submit]")

    page.wait_for_selector("text=Latest sessions")
    for shown in ("New items in 24 hours", "Cats of the world"):
        box = page.locator(f"text={shown}").first.bounding_box()
        assert box["x"] + box["width"] <= 390
    headings = [heading for heading in page.locator("table th").all() if heading.is_visible()]
    assert [heading.inner_text() for heading in headings] == ["Bot", "Status", "Started", "New"]
    last = headings[-1].bounding_box()
    assert last["x"] + last["width"] <= 390


def test_a_streams_week_is_drawn(page, live_server):
    owner = SuperuserFactory()
    now = timezone.now()
    for number, name in enumerate(["python", "berlin", "france"]):
        stream = ensure_streams([name], "posts")[0]
        Stream.objects.filter(pk=stream.pk).update(
            complete_since=now - timedelta(days=9 - 3 * number), watermark=now, last_fetch_at=now
        )
        Gap.objects.create(
            stream=stream, starts_at=now - timedelta(hours=40), ends_at=now - timedelta(hours=31),
            reason="listing_cap",
        )  # fmt: skip

    page.goto(live_server.url + reverse("admin:scraping_stream_changelist"))
    page.fill("input[name=username]", owner.email)
    page.fill("input[name=password]", PASSWORD)
    page.click("button[type=submit]")

    page.wait_for_selector("td svg[role=img]")
    strips = page.locator("td svg[role=img]")
    assert strips.count() == 3
    assert strips.first.bounding_box()["width"] == 144
    table = page.locator("#result_list").bounding_box()
    assert table["x"] + table["width"] <= page.viewport_size["width"], "all columns are in sight"
    fills = {rect.get_attribute("fill") for rect in page.locator("td svg rect").all()}
    assert fills == {"#16a34a", "#f59e0b", "#dc2626", "#94a3b8"}

    page.locator("td a", has_text="1").first.click()
    page.wait_for_selector("text=Reddit lists no further back")
