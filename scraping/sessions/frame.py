"""The frame of each session: it lends a client, counts what that asked, and writes down the end.

All sessions run in it, whatever they read. What is read, and what came of each stream, is their own.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict

from celery.exceptions import SoftTimeLimitExceeded

from bots import refusals
from bots.models import RedditApp
from jobs.errors import Cancelled
from jobs.runs import cancellation
from scraping.budget.app_budget import AppBudget, Lane
from scraping.budget.clients import client_for
from scraping.collecting.page_store import OnProgress, Progress
from scraping.models import ScrapeSession
from scraping.reddit.client import RedditClient
from scraping.reddit.errors import RedditError, Throttled, Unauthorized
from scraping.sessions import lifecycle

logger = logging.getLogger(__name__)

Status = ScrapeSession.Status

# What a session does: it fills the progress, and calls the last of these after each page.
Work = Callable[[RedditClient, Progress, OnProgress], None]
# Notes on the session what follows from a fault that stopped it, and returns its status.
StatusAfter = Callable[[ScrapeSession, Progress, RedditError], str]


def ignore(progress: Progress) -> None:
    """Nobody watches."""


def continued_later(session: ScrapeSession, progress: Progress, fault: RedditError) -> str:
    """Have the bot run again when there is budget; what was not read has the fault as its outcome."""
    if isinstance(fault, Throttled):
        lifecycle.continue_later(session, seconds=fault.retry_after)
    return lifecycle.status_of(progress.outcomes)


def run(
    session: ScrapeSession,
    app: RedditApp,
    work: Work,
    *,
    lane: Lane,
    name: str = "",
    longest_wait: float | None = None,
    on_progress: OnProgress = ignore,
    status_after: StatusAfter = continued_later,
) -> Progress:
    """Let `work` use a client of the app, end the session as that ended, and return what it did.

    `name` tells operators who waits for the budget, by default the session's; `longest_wait` is in
    seconds for one request. What goes wrong with Reddit is the session's to tell and raises nothing;
    `status_after` says how that ends it. `Cancelled` and bugs end it, too, and are raised.
    """
    progress = Progress()

    def finish(status: str, error: str = "") -> None:
        for column, value in asdict(progress).items():
            setattr(session, column, value)
        lifecycle.finish(session, status, error=error)
        logger.info(
            "Session of bot %s %s: %s", session.bot_name, status, lifecycle.summary(session)
        )

    budget = AppBudget(app, lane=lane, name=name or session.bot_name, longest_wait=longest_wait)
    try:
        with counted_client(app, budget, progress, on_progress) as (client, after_page):
            work(client, progress, after_page)
        if app.refused_at:
            refusals.accept(RedditApp.objects.filter(pk=app.pk))  # Reddit answered after all
        finish(lifecycle.status_of(progress.outcomes))
    except RedditError as fault:
        if isinstance(fault, Unauthorized):
            refusals.refuse(app, str(fault))
        finish(status_after(session, progress, fault), str(fault))
    except Cancelled as reason:
        finish(Status.CANCELLED, str(reason))
        raise
    except SoftTimeLimitExceeded:
        finish(Status.PARTIAL, "The time limit of the task was reached.")
    except BaseException as error:
        # Also when the process is told to stop: the session must not seem to run on.
        finish(*lifecycle.end_by(error))
        raise
    return progress


@contextmanager
def counted_client(
    app: RedditApp, budget: AppBudget, progress: Progress, on_progress: OnProgress
) -> Iterator[tuple[RedditClient, OnProgress]]:
    """Lend a client whose requests `progress` tells, and what to call after each page.

    That tells `on_progress`, and raises `Cancelled` when the run of this process was cancelled.
    """
    with client_for(app, permits=budget) as client:

        def count() -> None:
            progress.requests = client.requests
            progress.requests_by_kind = client.requests_by_kind
            progress.wait_seconds = client.waited

        def after_page(progress: Progress) -> None:
            count()
            on_progress(progress)
            cancellation.check()

        try:
            yield client, after_page
        finally:
            count()
