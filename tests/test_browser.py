"""A person saves a bot in a real browser and sees when it runs next.

Slow: starts headless Chromium. Skipped where there is no browser.
"""

import os
import re
import shutil

import pytest
from django.urls import reverse
from django_celery_beat.models import PeriodicTask

from bots.models import BotConfig
from tests.factories import PASSWORD, RedditAppFactory, SuperuserFactory

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
ARGUMENTS = ["--no-sandbox", "--headless", "--disable-gpu", "--disable-background-networking"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no browser: none of chromium, chromium-browser, google-chrome"
    ),
]


@pytest.fixture
def page(monkeypatch):
    """A page of a browser; whatever it writes to its console as an error fails the test."""
    # Playwright's loop runs in this thread, which makes Django refuse the database to it.
    monkeypatch.setitem(os.environ, "DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    from playwright.sync_api import sync_playwright

    complaints = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
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
