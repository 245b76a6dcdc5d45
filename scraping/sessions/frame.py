"""The frame of every session: it lends a client, counts the client's requests, and records the end.

All sessions run in this frame, whatever they read. The session's own work reads and records outcomes.
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

# The work of a session: it fills the progress, and calls `OnProgress` after each page.
Work = Callable[[RedditClient, Progress, OnProgress], None]
# Called with the error that stopped a session: it may set `continues_at`, and returns the status.
StatusAfter = Callable[[ScrapeSession, Progress, RedditError], str]


def ignore(progress: Progress) -> None:
    """Do nothing: the default for `on_progress`."""


def continued_later(session: ScrapeSession, progress: Progress, fault: RedditError) -> str:
    """Have the bot run again when there is budget; return the status, from the outcomes."""
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
    """Call `work` with a client of the app, end the session accordingly, and return its progress.

    `name` shows operators who waits for the budget; the default is the name of the session's bot.
    `longest_wait` limits the wait for one request, in seconds.

    An error of Reddit's is recorded in the session and not raised; `status_after` returns the
    session's status. The soft time limit ends the session as partial and is not raised either.
    `Cancelled` and bugs end the session, too, and are raised.
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
        finish(Status.PARTIAL, "The session reached the time limit of its task.")
    except BaseException as error:
        # This also catches the end of the process, so that the session does not seem to run on.
        finish(*lifecycle.end_by(error))
        raise
    return progress


@contextmanager
def counted_client(
    app: RedditApp, budget: AppBudget, progress: Progress, on_progress: OnProgress
) -> Iterator[tuple[RedditClient, OnProgress]]:
    """Lend a client whose requests are counted in `progress`, and a function to call after each page.

    The function calls `on_progress`, and raises `Cancelled` if this process's run was cancelled.
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
