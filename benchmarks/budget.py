"""Eight worker processes share one Reddit app: they use the whole budget and never exceed it.

The simulator enforces a budget of 200 requests in windows of 10 s. Real processes send real HTTP
requests in the lanes fresh, manual and backfill, and always have work. The benchmark watches three
windows from the first request on. `budget_429` is how many requests the simulator refused.
`budget_used_share` is the share of the three windows' requests that was used. `budget_permit_ms` is
the cost in a worker of a permit and of its correction by the answer. `budget_fresh_share` is the
share of requests that the three workers in the highest lane sent.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks._database import own_database
from scraping.simulator.server import SimulatorServer

WINDOW_SECONDS = 10
REQUESTS = 200
WINDOWS = 3
LANES = ("fresh", "fresh", "fresh", "manual", "manual", "backfill", "backfill", "backfill")
HERE = Path(__file__).resolve()


def run() -> dict[str, float]:
    """Measure three windows."""
    with (
        SimulatorServer(
            process=True,
            control=True,
            budget=REQUESTS,
            window=float(WINDOW_SECONDS),
            subreddits=4,
            history_hours=2.0,
        ) as simulator,
        own_database() as database,
    ):
        from accounts.models import User
        from bots.models import RedditApp

        app = RedditApp.objects.create(
            owner=User.objects.create_user("bench@example.org"),
            name="benchmark",
            service=RedditApp.Service.SIMULATOR,
            client_id="benchmark",
            client_secret="a secret",
            user_agent="linux:org.example.lurker:1.0 (by /u/someone)",
            requests_per_minute=REQUESTS * 60 // WINDOW_SECONDS,
        )
        environment = os.environ | {
            "TEST_DATABASE_URL": database,
            "SIMULATOR_URL": simulator.url,
            "REDDIT_BUDGET_WINDOW_SECONDS": str(WINDOW_SECONDS),
        }
        workers = [
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks.budget", str(app.pk), lane],
                env=environment,
                cwd=HERE.parents[1],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for lane in LANES
        ]
        try:
            return _measure(simulator, workers)
        finally:
            for worker in workers:
                worker.kill()
                worker.communicate()


def _measure(simulator: SimulatorServer, workers: list[subprocess.Popen]) -> dict[str, float]:
    for worker in workers:
        worker.stdout.readline()  # the worker has imported, connected and got its token
    end = time.time() + WINDOWS * WINDOW_SECONDS
    for worker in workers:
        worker.stdin.write(f"{end}\n")
        worker.stdin.flush()
    results = [json.loads(worker.stdout.readline()) for worker in workers]
    requests = sum(result["requests"] for result in results)
    fresh = sum(r["requests"] for r, lane in zip(results, LANES, strict=True) if lane == "fresh")
    kinds = simulator.control("requests")["clients"]["benchmark"].values()
    refused = sum(statuses.get("429", 0) for statuses in kinds)
    return {
        "budget_429": float(refused),
        "budget_used_share": requests / (WINDOWS * REQUESTS),
        "budget_fresh_share": fresh / requests,
        "budget_permit_ms": sum(r["permit_seconds"] for r in results) / requests * 1000,
    }


def work(app_id: int, lane: str) -> None:
    """Run one worker: ask for pages until the moment that it reads from standard input."""
    import django

    django.setup()
    from bots.models import RedditApp
    from scraping.budget.app_budget import AppBudget, BudgetSpent, Lane
    from scraping.budget.clients import client_for

    app = RedditApp.objects.get(pk=app_id)
    budget = _Timed(AppBudget(app, lane=Lane(lane), name=lane, longest_wait=WINDOW_SECONDS))
    requests = 0
    with client_for(app, permits=budget) as client:
        client._reddit._core._authorizer.refresh()
        print("ready", flush=True)
        end = float(sys.stdin.readline())
        while time.time() < end:
            try:
                client.listing(["python"], "new", limit=1)
            except BudgetSpent:
                break
            if time.time() < end:
                requests += 1
    print(json.dumps({"requests": requests, "permit_seconds": budget.seconds}), flush=True)
    sys.stdin.readline()


class _Timed:
    """Permits, with the time that they cost, without the waits."""

    def __init__(self, budget: object) -> None:
        self._budget = budget
        self._sleep = budget._sleep
        budget._sleep = self._pause
        self.seconds = 0.0

    def _pause(self, seconds: float) -> None:
        began = time.perf_counter()
        self._sleep(seconds)
        self.seconds -= time.perf_counter() - began

    def take(self) -> object:
        """Take a permit, and time it."""
        began = time.perf_counter()
        try:
            return self._budget.take()
        finally:
            self.seconds += time.perf_counter() - began

    def answered(self, permit: object, answer: object) -> None:
        """Correct the budget by an answer, and time it."""
        began = time.perf_counter()
        self._budget.answered(permit, answer)
        self.seconds += time.perf_counter() - began


if __name__ == "__main__":
    work(int(sys.argv[1]), sys.argv[2])
