"""Why a session failed: of the bot's own, or of what passes by itself."""

from bots import pauses
from bots.models import BotConfig
from scraping.models import ScrapeSession, Subreddit

Status = ScrapeSession.Status
Cause = BotConfig.PauseCause

CLOSED = frozenset(Subreddit.Status.values).difference(Subreddit.READABLE)
# Reddit or the app is to blame for these, or another session that reads the stream, but no bot.
PASSING = frozenset({"unavailable", "throttled", "unauthorized", "busy", Subreddit.Status.UNKNOWN})
# What a process ends with that is told to stop; its session ends as failed.
STOPS = ("KeyboardInterrupt", "SystemExit", "WorkerShutdown", "WorkerTerminate")


def cause_of(session: ScrapeSession) -> str | None:
    """What a failed session says against its bot, a `BotConfig.PauseCause`; None: nothing."""
    if session.status != Status.FAILED or session.error.startswith(STOPS):
        return None
    outcomes = {outcome["outcome"] for outcome in session.outcomes.values()}
    if outcomes & PASSING:
        return None
    return Cause.CLOSED if outcomes and outcomes <= CLOSED else Cause.ERRORS


def tell_bot(session: ScrapeSession, *, summary: str) -> None:
    """Let what a session came to, in `summary`'s words, count for or against its bot."""
    if session.bot_id is None:
        return
    if session.status in (Status.COMPLETED, Status.PARTIAL):
        pauses.session_succeeded(session.bot_id)
    elif cause := cause_of(session):
        pauses.session_failed(session.bot_id, cause=cause, reason=summary)
