"""The life of a session: queued, running, one of five ends. States only move forward."""

import logging
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from bots.models import BotConfig
from bots.services import SCRAPE_TASK
from jobs import locks
from jobs.runs import execution
from jobs.runs import requests as runs
from jobs.runs.requests import RunRequest
from jobs.runs.transitions import one_line
from scraping.models import BotItem, ScrapeSession
from scraping.sessions import failures

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

THREADS_TASK = "scraping.read_threads"
TASKS = {Kind.LISTINGS: SCRAPE_TASK, Kind.THREADS: THREADS_TASK}

# Ends that leave something to do.
AGAIN = (Status.PARTIAL, Status.FAILED, Status.CANCELLED, Status.INTERRUPTED)

# So long the end of a session waits for a database that is away: it is restarted within seconds.
END_PATIENCE_SECONDS = 60

# Outcomes of a stream that mean it was read as far as it had to be.
GOOD_OUTCOMES = frozenset({"ok", "empty"})


class CannotCancel(Exception):
    """A session that nobody can end from here; the message says who can."""


class CannotRunAgain(Exception):
    """A session that has no work left, or nobody to do it; the message says which."""


# The lock that a bot's session holds for as long as its process lives.
LOCK = "scrape-bot:{bot_id}"
THREADS_LOCK = "read-threads:{bot_id}"
LOCKS = {Kind.LISTINGS: LOCK, Kind.THREADS: THREADS_LOCK}


def lock_key(bot_id: int, kind: str = Kind.LISTINGS) -> str:
    """The key of a bot's lock for sessions of this kind."""
    return LOCKS[Kind(kind)].format(bot_id=bot_id)


def queue(
    bot: BotConfig, *, trigger: str, task_id: str, kind: str = Kind.LISTINGS
) -> ScrapeSession:
    """Write down that a run was asked for, in the transaction that records the run."""
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
    """Open the session of a run whose lock the caller holds.

    Returns None when the run has had its session. One that was interrupted, or failed, may have
    another: the run was started again. One whose predecessor was interrupted says that it resumes
    it: what that one read is stored, and what it left is read by this one.
    """
    lock = lock_key(bot.pk, kind)
    with transaction.atomic():
        # The lock is ours, so whoever left a session running under it is dead.
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
    """The last session of the bot that began, if it was interrupted."""
    began = ScrapeSession.objects.filter(bot=bot, kind=kind, started_at__isnull=False)
    last = began.order_by("-started_at", "-pk").first()
    return last if last is not None and last.status == Status.INTERRUPTED else None


def start_without_bot(name: str, *, trigger: str, lock: str) -> ScrapeSession:
    """Open a session that no bot asked for; the caller holds `lock`."""
    return _run(ScrapeSession(bot_name=name[:NAME_LENGTH], trigger=trigger), lock)


def start_backfill(bot: BotConfig, *, lock: str) -> ScrapeSession:
    """Open a backfill of the bot, beside its ordinary sessions; the caller holds `lock`."""
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
    """End a running session with its counts and tell its bot; return False if it had ended before.

    A database that is away is waited for. Raises OperationalError when it stays away.
    """
    session.status = status
    session.error = error
    session.ended_at = timezone.now()
    return execution.patiently(lambda: _write_end(session), seconds=END_PATIENCE_SECONDS)


def end_by(error: BaseException) -> tuple[str, str]:
    """The status and the words of a session that was ended by an error that is none of Reddit's.

    One that the database broke off goes on as soon as that is back; it says nothing against its bot.
    """
    if execution.is_away(error):
        return Status.INTERRUPTED, one_line(f"The database broke it off: {error}")
    return Status.FAILED, f"{type(error).__name__}: {error}"


def _write_end(session: ScrapeSession) -> bool:
    if session.bot_id is not None and session.kind == Kind.LISTINGS:
        # What an interrupted one has marked is told by the one that resumes it.
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
    """How many items were marked as the bot's by its end and since its last one that told so.

    Whichever session stored them: that of another bot may have read this one's streams.
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
    """Note on the session when its bot should run again, unless an earlier session's time is to come.

    `seconds` are those that Reddit or the budget asked to wait; None: neither said, so nothing is
    noted. Called before `finish`, which writes it.
    """
    if seconds is None or session.bot_id is None:
        return
    now = timezone.now()
    others = ScrapeSession.objects.filter(bot=session.bot_id, kind=session.kind)
    if not others.filter(continues_at__gt=now).exists():
        session.continues_at = now + timedelta(seconds=seconds)


def status_of(outcomes: Mapping[str, Mapping[str, Any]]) -> str:
    """How a session ended, from the outcomes of its streams."""
    good = [outcome["outcome"] in GOOD_OUTCOMES for outcome in outcomes.values()]
    if all(good):
        return Status.COMPLETED
    return Status.PARTIAL if any(good) or _has(outcomes, "gap") else Status.FAILED


def _has(outcomes: Mapping[str, Mapping[str, Any]], name: str) -> bool:
    return any(outcome["outcome"] == name for outcome in outcomes.values())


def cancel_queued(task_id: str, *, reason: str) -> int:
    """End the session of a run that will not start."""
    return ScrapeSession.objects.filter(task_id=task_id, status=Status.QUEUED).update(
        status=Status.CANCELLED, ended_at=timezone.now(), error=reason
    )


def cancel(session: ScrapeSession, *, by: object) -> bool:
    """Cancel a session on behalf of `by`; return False when it has ended.

    A queued one never starts; a running one ends at its next safe point, between two requests.
    Raises `CannotCancel` for one that runs in a terminal. Who may do so is the caller's to check.
    """
    if not session.is_open:
        return False
    if not session.task_id:
        raise CannotCancel(
            f"The session of {session.bot_name} runs in a terminal: press Ctrl-C there."
        )
    reason = f"Cancelled by {by}."
    with transaction.atomic():
        if any(runs.cancel([session.task_id], reason=reason)):
            return True
        # The run is gone or has ended: nobody will start the session.
        return bool(cancel_queued(session.task_id, reason=reason))


def run_again(session: ScrapeSession) -> RunRequest:
    """Request a session that does what this one did not; the new one says that it resumes it.

    It reads on from the watermarks, or from where the trees were left. Raises `CannotRunAgain` for
    one that needs none or cannot have one.
    """
    if session.status not in AGAIN:
        raise CannotRunAgain(
            f"The session of {session.bot_name} is {session.get_status_display().lower()}: only "
            "one that ended before its work was done runs again."
        )
    bot = session.bot
    if bot is None or not bot.is_active:
        raise CannotRunAgain(
            f"{session.bot_name}: the bot is gone or inactive, or there was none. Activate it, or "
            "run manage.py scrape."
        )
    task = TASKS[Kind(session.kind)]
    trigger = ScrapeSession.Trigger.MANUAL
    with transaction.atomic():
        run = runs.request_run(task, {"bot_id": bot.pk, "trigger": trigger}, trigger=trigger)
        ScrapeSession.objects.filter(task_id=run.task_id).update(resumes=session)
    return run


def close_interrupted() -> int:
    """End the running sessions whose process died; return how many there were.

    A live session holds its lock on a connection that dies with it: a free lock is the proof.
    """
    running = ScrapeSession.objects.filter(status=Status.RUNNING)
    keys = dict(running.values_list("pk", "lock_key"))
    held = locks.holders(list(set(keys.values())))
    dead = [key for key, lock in keys.items() if lock not in held]
    return interrupt(ScrapeSession.objects.filter(pk__in=dead, status=Status.RUNNING))


def interrupt(sessions: Iterable[ScrapeSession]) -> int:
    """End sessions whose process is known to be dead; what they stored is stored."""
    ended = []
    for session in sessions:
        session.ended_at = timezone.now()
        session.status = Status.INTERRUPTED
        session.error = "The process that ran it ended without a word."
        changed = ScrapeSession.objects.filter(pk=session.pk, status=Status.RUNNING).update(
            status=session.status, ended_at=session.ended_at, error=session.error
        )
        if changed:
            ended.append(session)
            logger.warning("Session %s of bot %s was interrupted", session.pk, session.bot_name)
    _tell_bots(ended)
    return len(ended)


def summary(session: ScrapeSession) -> str:
    """What came of a session in one line."""
    if session.error:
        return session.error
    counts = (
        f"{session.posts_seen} posts, {session.comments_seen} comments, {session.new} new, "
        f"{session.matched} matched"
    )
    faults: dict[str, list[str]] = {}
    for stream, outcome in session.outcomes.items():
        if outcome["outcome"] not in GOOD_OUTCOMES:
            faults.setdefault(outcome["outcome"], []).append(stream)
    return "; ".join([counts, *(f"{name}: {', '.join(of)}" for name, of in faults.items())])


def _tell_bots(sessions: Iterable[ScrapeSession]) -> None:
    for session in sessions:
        # A bot's page tells how fresh its listings are: trees and backfills say nothing of that.
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
