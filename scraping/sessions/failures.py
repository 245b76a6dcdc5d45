"""Why a session failed: for a reason of the bot's own, or for a reason that passes by itself."""

from bots import pauses
from bots.models import BotConfig
from scraping.models import ScrapeSession, Subreddit

Status = ScrapeSession.Status
Cause = BotConfig.PauseCause

CLOSED = frozenset(Subreddit.Status.values).difference(Subreddit.READABLE)
# Outcomes for which Reddit, the app, or another session that reads the stream is to blame, and no bot.
PASSING = frozenset({"unavailable", "throttled", "unauthorized", "busy", Subreddit.Status.UNKNOWN})
# Exceptions of a process that is told to stop; its session ends as failed.
STOPS = ("KeyboardInterrupt", "SystemExit", "WorkerShutdown", "WorkerTerminate")


def cause_of(session: ScrapeSession) -> str | None:
    """Return what a failed session says against its bot, a `BotConfig.PauseCause`; None if nothing."""
    if session.status != Status.FAILED or session.error.startswith(STOPS):
        return None
    outcomes = {outcome["outcome"] for outcome in session.outcomes.values()}
    if outcomes & PASSING:
        return None
    return Cause.CLOSED if outcomes and outcomes <= CLOSED else Cause.ERRORS


def tell_bot(session: ScrapeSession, *, summary: str) -> None:
    """Count the end of a session for or against its bot; `summary` is the reason that the bot shows."""
    if session.bot_id is None:
        return
    if session.status in (Status.COMPLETED, Status.PARTIAL):
        pauses.session_succeeded(session.bot_id)
    elif cause := cause_of(session):
        pauses.session_failed(session.bot_id, cause=cause, reason=summary)
