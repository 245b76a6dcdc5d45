import time

import pytest

from scraping.simulator.budget import Budget
from scraping.simulator.server import SimulatorServer

from .api import START, Api


@pytest.fixture(scope="module")
def tight():
    with SimulatorServer(
        start=START, speed=0.0, subreddits=2, budget=5, window=2.0, control=True
    ) as server:
        yield server


@pytest.mark.slow
def test_headers_count_and_the_budget_ends(tight):
    api, second = Api(tight, "one"), Api(tight, "one")
    other = Api(tight, "two")
    tight.control("reset", {})
    seen = []
    for client in (api, second, api, second, api):
        answer = client.raw("/r/python/new", limit=1)
        assert answer.status_code == 200
        names = ("x-ratelimit-remaining", "x-ratelimit-used")
        seen.append(tuple(answer.headers[name] for name in names))
        assert answer.headers["x-ratelimit-reset"] in ("1", "2")
    # Both tokens of one client id draw on the same budget.
    assert seen == [(f"{4 - n}.0", str(n + 1)) for n in range(5)]
    refused = second.raw("/r/python/new")
    assert refused.status_code == 429
    assert refused.headers["content-type"] == "text/html; charset=UTF-8"
    wait = refused.headers["retry-after"]
    assert wait in ("1", "2")
    assert refused.text.lstrip().startswith("<!doctype html>")
    assert not [name for name in refused.headers if name.startswith("x-ratelimit")]
    assert other.raw("/r/python/new").status_code == 200
    time.sleep(int(wait))
    assert api.raw("/r/python/new").headers["x-ratelimit-used"] == "1"


def test_refused_tokens_cost_nothing(tight):
    api = Api(tight, "three")
    good = api.session.headers["Authorization"]
    for _ in range(7):
        api.session.headers["Authorization"] = "bearer wrong"
        assert api.raw("/r/python/new").status_code == 401
    api.session.headers["Authorization"] = good
    assert api.raw("/r/python/new").headers["x-ratelimit-used"] == "1"


def test_reddits_budget_is_the_default():
    budget = Budget(source=lambda: 0.0)
    standings = [budget.spend("x") for _ in range(1001)]
    assert all(standing.allowed for standing in standings[:1000])
    assert not standings[1000].allowed
    assert standings[4].headers() == {"remaining": "995.0", "used": "5", "reset": "600"}


def test_a_window_begins_anew_after_its_end():
    now = [0.0]
    budget = Budget(2, window=10, source=lambda: now[0])
    assert [budget.spend("x").allowed for _ in range(3)] == [True, True, False]
    now[0] = 9.9
    assert (budget.spend("x").allowed, budget.spend("x").reset) == (False, 1)
    now[0] = 10.0
    assert budget.spend("x").allowed


def test_unlimited_is_never_spent():
    budget = Budget(None)
    assert all(budget.spend("x").allowed for _ in range(5000))
