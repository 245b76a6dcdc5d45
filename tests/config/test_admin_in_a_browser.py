"""The admin works in a browser under the content security policy."""

import os

import pytest

from tests import needs

pytestmark = pytest.mark.slow


@pytest.fixture
def page():
    needs.CHROMIUM.require()
    from playwright.sync_api import sync_playwright

    # It runs an event loop in this thread; whatever needs the database comes before or after.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=needs.CHROMIUM_PATH, args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        page = browser.new_page()
        page.problems = []
        page.on(
            "console",
            lambda message: message.type == "error" and page.problems.append(message.text),
        )
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        yield page
        browser.close()


def test_scripts_run_and_nothing_violates_the_policy(live_server, admin_user, page):
    page.goto(f"{live_server.url}/admin/")
    page.fill("input[name=username]", "admin@example.com")
    page.fill("input[name=password]", "password")
    page.click("button[type=submit]")
    page.wait_for_url(f"{live_server.url}/admin/")
    page.goto(f"{live_server.url}/admin/accounts/user/")
    page.wait_for_load_state("networkidle")
    # Alpine.js evaluates the expressions of unfold's attributes: without that, all stays as served.
    assert page.evaluate("typeof window.Alpine") == "object"
    assert page.locator("[x-cloak]").count() == 0
    assert page.problems == []
