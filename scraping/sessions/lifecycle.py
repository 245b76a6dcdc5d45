"""The life of a session: queued, running, and one of five ends. The status only moves forward."""

import logging
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from bots.models import BotConfig
from bots.services import SCRAPE_TASK
from jobs import locks
from jobs.runs import execution
from jobs.runs import requests as runs
from jobs.runs.requests import RunRequest
from jobs.runs.transitions import one_line
from scraping.models import BotItem, ScrapeSession
from scraping.sessions import failures
from scraping.sessions.counts import in_words

logger = logging.getLogger(__name__)

Status = ScrapeSession.Status
Kind = ScrapeSession.Kind
NAME_LENGTH = ScrapeSession._meta.get_field("bot_name").max_length
SUMMARY_LENGTH = BotConfig._meta.get_field("last_session_summary").max_length

COUNTS = (
    "posts_seen",
    "comments_seen",
    "new",
    "updated",
    "rejected",
    "matched",
    "requests",
    "wait_seconds",
    "gaps_opened",
    "gaps_closed",
)

# The columns that the summary of a session tells.
TOLD = ("posts_seen", "comments_seen", "new", "matched")

THREADS_TASK = "scraping.read_threads"
TASKS = {Kind.LISTINGS: SCRAPE_TASK, Kind.THREADS: THREADS_TASK}

# Ends of a session whose work is not done.
AGAIN = (Status.PARTIAL, Status.FAILED, Status.CANCELLED, Status.INTERRUPTED)

# The end of a session waits this long for a database that is away. A restart takes only seconds.
END_PATIENCE_SECONDS = 60

# Outcomes of a stream that was read as far as it had to be.
GOOD_OUTCOMES = frozenset({"ok", "empty"})


class CannotCancel(Exception):
    """The session cannot be ended from here; the message says who can end it."""


class CannotRunAgain(Exception):
    """The session has no work left, or no active bot to do it; the message says which."""


# The locks of a bot's sessions. A session holds its lock for as long as its process lives.
LOCK = "scrape-bot:{bot_id}"
THREADS_LOCK = "read-threads:{bot_id}"
LOCKS = {Kind.LISTINGS: LOCK, Kind.THREADS: THREADS_LOCK}

# The jobs that open sessions without a run of their own, by the beginning of the session's lock. All
# other sessions without a run belong to a command in a terminal.
JOBS_BY_LOCK = {
    "deep-walk": "scraping.deep_walk",
    "search-gaps": "scraping.deep_walk",
    "read-early": "scraping.read_early",
}


def lock_key(bot_id: int, kind: str = Kind.LISTINGS) -> str:
    """Return the key of a bot's lock for sessions of this kind."""
    return LOCKS[Kind(kind)].format(bot_id=bot_id)


def queue(
    bot: BotConfig, *, trigger: str, task_id: str, kind: str = Kind.LISTINGS
) -> ScrapeSession:
    """Record a queued session, in the transaction that records its run."""
    return ScrapeSession.objects.create(
        bot=bot,
        bot_name=bot.name,
        kind=kind,
        trigger=trigger,
        status=Status.QUEUED,
        task_id=task_id,
    )


def start(
    bot: BotConfig, *, trigger: str, task_id: str = "", kind: str = Kind.LISTINGS
) -> ScrapeSession | None:
    """Open the session of a run; the caller holds the lock.

    Returns None when the run has had its session. If the run's earlier session was interrupted or
    failed, the run was started again and gets another session. If the bot's previous session was
    interrupted, the new session resumes it: it reads what the previous session left unread.
    """
    lock = lock_key(bot.pk, kind)
    with transaction.atomic():
        # We hold the lock, so the process of any session that still seems to run under it is dead.
        interrupt(ScrapeSession.objects.filter(bot=bot, status=Status.RUNNING, lock_key=lock))
        session = ScrapeSession(
            bot=bot, bot_name=bot.name, kind=kind, trigger=trigger, task_id=task_id
        )
        if task_id:
            earlier = ScrapeSession.objects.filter(task_id=task_id)
            queued = earlier.filter(status=Status.QUEUED).select_for_update().first()
            again = (Status.INTERRUPTED, Status.FAILED)
            if queued is None and earlier.exclude(status__in=again).exists():
                return None
            session = queued or session
        if session.resumes_id is None:
            session.resumes = _interrupted_before(bot, kind)
        return _run(session, lock)


def _interrupted_before(bot: BotConfig, kind: str) -> ScrapeSession | None:
    """Return the bot's last session of this kind that began, if it was interrupted."""
    began = ScrapeSession.objects.filter(bot=bot, kind=kind, started_at__isnull=False)
    last = began.order_by("-started_at", "-pk").first()
    return last if last is not None and last.status == Status.INTERRUPTED else None


def start_without_bot(name: str, *, trigger: str, lock: str) -> ScrapeSession:
    """Open a session without a bot; the caller holds `lock`."""
    return _run(ScrapeSession(bot_name=name[:NAME_LENGTH], trigger=trigger), lock)


def start_backfill(bot: BotConfig, *, lock: str) -> ScrapeSession:
    """Open the session of a backfill, beside the bot's ordinary sessions; the caller holds `lock`."""
    trigger = ScrapeSession.Trigger.BACKFILL
    interrupt(ScrapeSession.objects.filter(bot=bot, status=Status.RUNNING, lock_key=lock))
    return _run(ScrapeSession(bot=bot, bot_name=bot.name, trigger=trigger), lock)


def _run(session: ScrapeSession, lock: str) -> ScrapeSession:
    session.status = Status.RUNNING
    session.started_at = timezone.now()
    session.lock_key = lock
    session.save()
    return session


def finish(session: ScrapeSession, status: str, *, error: str = "") -> bool:
    """End a running session with its counts and update its bot; return False if it had ended before.

    Waits for a database that is away. Raises OperationalError when it stays away.
    """
    session.status = status
    session.error = error
    session.ended_at = timezone.now()
    return execution.patiently(lambda: _write_end(session), seconds=END_PATIENCE_SECONDS)


def end_by(error: BaseException) -> tuple[str, str]:
    """Return the status and error text of a session that ended by an error that is not Reddit's.

    If the database broke the session off, the session counts as interrupted: it goes on as soon as
    the database is back, and says nothing against its bot.
    """
    if execution.is_away(error):
        return Status.INTERRUPTED, one_line(f"The database went away during the session: {error}")
    return Status.FAILED, f"{type(error).__name__}: {error}"


def _write_end(session: ScrapeSession) -> bool:
    if session.bot_id is not None and session.kind == Kind.LISTINGS:
        # The session that resumes an interrupted session reports the matches of both.
        session.matched = 0 if session.status == Status.INTERRUPTED else _matched(session)
    written = (
        *COUNTS,
        "requests_by_kind",
        "freshness_seconds",
        "outcomes",
        "status",
        "error",
        "ended_at",
        "continues_at",
    )
    columns = {name: getattr(session, name) for name in written}
    with transaction.atomic():
        open_session = ScrapeSession.objects.filter(pk=session.pk, status=Status.RUNNING)
        if not open_session.update(**columns):
            return False
        _tell_bots([session])
    return True


def _matched(session: ScrapeSession) -> int:
    """Return how many items matched the bot from the end of its previous session to this end.

    Interrupted sessions and sessions that never started do not count as the previous session. All
    matches count, because the session of another bot may have read this bot's streams.
    """
    last = (
        ScrapeSession.objects.filter(
            bot=session.bot_id, kind=Kind.LISTINGS, ended_at__lte=session.started_at
        )
        .exclude(status=Status.INTERRUPTED)
        .exclude(started_at=None)
        .aggregate(last=Max("ended_at"))["last"]
    )
    items = BotItem.objects.filter(bot=session.bot_id, matched_at__lte=session.ended_at)
    return (items.filter(matched_at__gt=last) if last else items).count()


def continue_later(session: ScrapeSession, *, seconds: float | None) -> None:
    """Set on the session when its bot should run again, unless an earlier session's time is to come.

    `seconds` is how long Reddit or the budget asked to wait. Nothing is set if it is None, because
    neither gave a time, or if the session has no bot. Call this before `finish`, which saves it.
    """
    if seconds is None or session.bot_id is None:
        return
    now = timezone.now()
    others = ScrapeSession.objects.filter(bot=session.bot_id, kind=session.kind)
    if not others.filter(continues_at__gt=now).exists():
        session.continues_at = now + timedelta(seconds=seconds)


def status_of(outcomes: Mapping[str, Mapping[str, Any]]) -> str:
    """Return how a session ended, from the outcomes of its streams."""
    good = [outcome["outcome"] in GOOD_OUTCOMES for outcome in outcomes.values()]
    if all(good):
        return Status.COMPLETED
    return Status.PARTIAL if any(good) or _has(outcomes, "gap") else Status.FAILED


def _has(outcomes: Mapping[str, Mapping[str, Any]], name: str) -> bool:
    return any(outcome["outcome"] == name for outcome in outcomes.values())


def cancel_queued(task_id: str, *, reason: str) -> int:
    """End the queued session of a run that will not start; return how many sessions that ended."""
    return ScrapeSession.objects.filter(task_id=task_id, status=Status.QUEUED).update(
        status=Status.CANCELLED, ended_at=timezone.now(), error=reason
    )


def cancel(session: ScrapeSession, *, by: object) -> bool:
    """Cancel a session on behalf of `by`; return False when it has ended.

    A queued session never starts. A running session ends at its next safe point, between two requests.
    Raises `CannotCancel` for a session without a run of its own: a command's session, or a session that
    a system job opened. The caller checks the permission.
    """
    if not session.is_open:
        return False
    if not session.task_id:
        raise CannotCancel(_how_to_cancel(session))
    reason = f"Cancelled by {by}."
    with transaction.atomic():
        if any(runs.cancel([session.task_id], reason=reason)):
            return True
        # The run is gone or has ended, so no worker will start the session.
        return bool(cancel_queued(session.task_id, reason=reason))


def _how_to_cancel(session: ScrapeSession) -> str:
    """Return where a session without a run of its own can be cancelled."""
    job = JOBS_BY_LOCK.get(session.lock_key.partition(":")[0])
    if job is None:
        return _(
            "The session “%(session)s” belongs to a command in a terminal. Press Ctrl-C there."
        ) % {"session": session.bot_name}
    return _(
        "The session “%(session)s” belongs to a run of the job %(job)s. Cancel the run on the page "
        "“Runs”."
    ) % {"session": session.bot_name, "job": job}


def run_again(session: ScrapeSession) -> RunRequest:
    """Request a session that does the work that this session left undone, and resumes it.

    The new session reads on from the watermarks, or from the saved state of the comment trees. Raises
    `CannotRunAgain` if this session left no work, or if its bot is gone or inactive.
    """
    if session.status not in AGAIN:
        raise CannotRunAgain(
            _(
                "The session “%(session)s” has the status “%(status)s”. Only a session that ended "
                "before its work was done can run again."
            )
            % {"session": session.bot_name, "status": session.get_status_display()}
        )
    bot = session.bot
    if bot is None or not bot.is_active:
        raise CannotRunAgain(
            _(
                "The session “%(session)s” has no active bot. Activate the bot, or collect with "
                "manage.py scrape."
            )
            % {"session": session.bot_name}
        )
    task = TASKS[Kind(session.kind)]
    trigger = ScrapeSession.Trigger.MANUAL
    with transaction.atomic():
        run = runs.request_run(task, {"bot_id": bot.pk, "trigger": trigger}, trigger=trigger)
        ScrapeSession.objects.filter(task_id=run.task_id).update(resumes=session)
    return run


def close_interrupted() -> int:
    """End the running sessions whose process died; return how many there were.

    A live session holds its lock on a connection that dies with its process. So a free lock proves
    that the process is dead.
    """
    running = ScrapeSession.objects.filter(status=Status.RUNNING)
    keys = dict(running.values_list("pk", "lock_key"))
    held = locks.holders(list(set(keys.values())))
    dead = [key for key, lock in keys.items() if lock not in held]
    return interrupt(ScrapeSession.objects.filter(pk__in=dead, status=Status.RUNNING))


def interrupt(sessions: Iterable[ScrapeSession]) -> int:
    """End sessions whose process is known to be dead, and return how many; what they stored stays."""
    ended = []
    for session in sessions:
        session.ended_at = timezone.now()
        session.status = Status.INTERRUPTED
        session.error = "The process of the session ended without reporting an error."
        changed = ScrapeSession.objects.filter(pk=session.pk, status=Status.RUNNING).update(
            status=session.status, ended_at=session.ended_at, error=session.error
        )
        if changed:
            ended.append(session)
            logger.warning("Session %s of bot %s was interrupted", session.pk, session.bot_name)
    _tell_bots(ended)
    return len(ended)


def summary(session: ScrapeSession) -> str:
    """Return the result of a session in one line, in English: the line is stored with the bot."""
    if session.error:
        return session.error
    with translation.override("en"):
        told = in_words({name: getattr(session, name) for name in TOLD})
    faults: dict[str, list[str]] = {}
    for stream, outcome in session.outcomes.items():
        if outcome["outcome"] not in GOOD_OUTCOMES:
            faults.setdefault(outcome["outcome"], []).append(stream)
    return "; ".join([told, *(f"{name}: {', '.join(of)}" for name, of in faults.items())])


def _tell_bots(sessions: Iterable[ScrapeSession]) -> None:
    for session in sessions:
        # A bot's page shows how fresh its listings are. Trees and backfills say nothing about that.
        if (
            session.bot_id is None
            or session.kind != Kind.LISTINGS
            or session.trigger == ScrapeSession.Trigger.BACKFILL
        ):
            continue
        changes: dict[str, Any] = {
            "last_session_at": session.ended_at,
            "last_session_status": session.status,
            "last_session_summary": summary(session)[:SUMMARY_LENGTH],
        }
        if session.status == Status.COMPLETED:
            changes["last_success_at"] = session.ended_at
        BotConfig.objects.filter(pk=session.bot_id).update(**changes)
        failures.tell_bot(session, summary=summary(session))
