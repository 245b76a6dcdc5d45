"""Recheck stored items: ask Reddit for new scores and edits, and whether the items still stand.

One answer serves for refresh and verification. A request to `/api/info` (`RedditClient.info`) takes a
hundred items, the longest overdue first. A request that is not full is filled up with items that are
due next. Each answer is stored in one transaction, through `scraping.intake` like any page. If the
process dies before that, only the request is lost: a check stays due until its answer is stored.

If an answer leaves an item out, that proves little, because Reddit leaves out all items of a subreddit
that cannot be read. The item is gone when a second answer, some time later, leaves it out although its
subreddit can be read.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.utils import timezone

from bots import refusals
from bots.models import BotConfig, RedditApp
from jobs.runs import cancellation
from scraping import intake
from scraping.budget.app_budget import AppBudget, BudgetSpent, Lane
from scraping.budget.clients import client_for
from scraping.content import check_plan, deletion, scores
from scraping.content.check_plan import Check
from scraping.models import DeletionReceipt, RedditComment, RedditPost, Subreddit
from scraping.reddit.client import PAGE_SIZE, Page, RedditClient
from scraping.reddit.errors import RedditError, SubredditUnavailable, Throttled, Unauthorized
from scraping.reddit.parse import PARSERS, ParsedItem, ParseError

logger = logging.getLogger(__name__)

Clock = Callable[[], datetime]

# The limits of one run: requests for each app and lane, and seconds for all apps together. The next
# run goes on with the remaining checks.
RUN_REQUESTS = 300
RUN_SECONDS = 240.0
# One query finds at most this many items.
FOUND_AT_ONCE = 10 * PAGE_SIZE
# A request that is not full is filled up with items that are due this soon.
AHEAD = timedelta(minutes=30)
# Refreshes that are overdue by this much are made in the lane for deletions.
LATE = timedelta(hours=2)
# A request waits at most this many seconds for its permit. The next run is near, and other runs need
# the worker.
LONGEST_WAIT = 2.0


@dataclass
class Checked:
    """The result of a run. `requests` counts requests, all other numbers count items."""

    enrolled: int = 0
    asked: int = 0
    updated: int = 0
    purged: int = 0
    left_out: int = 0
    unreadable: int = 0
    rejected: int = 0
    requests: int = 0
    # By app: why the run ended before all due checks were made.
    stopped: dict[str, str] = field(default_factory=dict)


def check_items(
    *,
    clock: Clock = timezone.now,
    requests: int = RUN_REQUESTS,
    seconds: float = RUN_SECONDS,
) -> Checked:
    """Ask Reddit about the items whose check is due, app by app, and store the answers.

    Each app makes at most `requests` requests in each lane, and the run lasts about `seconds` at most.
    An error of an app ends its part of the run and is recorded in the result. The next run goes on
    from there.
    """
    result = Checked(enrolled=check_plan.enrol_new(now=clock()))
    deadline = time.monotonic() + seconds
    for app, subreddits in _shares():
        if time.monotonic() > deadline:
            result.stopped[str(app)] = "the run's time was over"
        elif refusals.may_try(app):
            _check_of(app, subreddits, result, clock=clock, requests=requests, deadline=deadline)
        else:
            result.stopped[str(app)] = f"refused by Reddit: {app.refusal}"
    return result


def _check_of(
    app: RedditApp,
    subreddits: Sequence[int] | None,
    result: Checked,
    *,
    clock: Clock,
    requests: int,
    deadline: float,
) -> None:
    for lane in (Lane.DELETION, Lane.REFRESH):
        budget = AppBudget(app, lane=lane, name=f"checks ({lane.value})", longest_wait=LONGEST_WAIT)
        try:
            with client_for(app, permits=budget) as client:
                try:
                    recheck = Recheck(client, subreddits, result, trusted=_is_trusted(app))
                    recheck.run(lane, clock=clock, requests=requests, deadline=deadline)
                finally:
                    result.requests += client.requests
        except BudgetSpent as error:
            result.stopped[str(app)] = str(error)
        except Unauthorized as error:
            refusals.refuse(app, str(error))
            result.stopped[str(app)] = str(error)
            return
        except RedditError as error:
            logger.warning("Checks by the app “%s” ended: %s", app, error)
            result.stopped[str(app)] = str(error)
            return
        else:
            if app.refused_at:
                refusals.accept(RedditApp.objects.filter(pk=app.pk))


class Recheck:
    """The checks that one app makes in one lane."""

    def __init__(
        self,
        client: RedditClient,
        subreddits: Sequence[int] | None,
        result: Checked,
        *,
        trusted: bool = True,
    ) -> None:
        """`subreddits` are the ids of the subreddits that this app asks about; None means all.

        If the app is not `trusted`, items that its answers leave out do not count as gone.
        """
        self._client = client
        self._subreddits = subreddits
        self._result = result
        self._trusted = trusted
        # Whether subreddits can be read, by id, as far as answers or probes have shown.
        self._readable: dict[int, bool] = {}

    def run(self, lane: Lane, *, clock: Clock, requests: int, deadline: float) -> None:
        """Make the due checks, at most `requests` requests and until `deadline`. Raises `RedditError`."""
        asked: set[str] = set()
        while requests > 0 and time.monotonic() < deadline:
            wanted = min(FOUND_AT_ONCE, requests * PAGE_SIZE)
            found = [
                check for check in self._due(lane, clock(), wanted) if check.fullname not in asked
            ]
            if not found:
                return
            for start in range(0, len(found), PAGE_SIZE):
                batch = found[start : start + PAGE_SIZE]
                self._ask(batch, clock)
                asked.update(check.fullname for check in batch)
                requests -= 1
                cancellation.check()
                if time.monotonic() > deadline:
                    return

    def _due(self, lane: Lane, now: datetime, limit: int) -> list[Check]:
        """Return the checks that this lane makes next, with checks that fill up the last request."""

        found: dict[str, Check] = {}

        def add(some: Iterable[Check], most: int) -> None:
            for check in some:
                if len(found) >= most:
                    return
                found.setdefault(check.fullname, check)

        def find(*, refresh: bool, before: datetime, most: int) -> list[Check]:
            return check_plan.due(
                refresh=refresh, before=before, subreddits=self._subreddits, limit=most
            )

        if lane == Lane.REFRESH:
            add(find(refresh=True, before=now, most=limit), limit)
        else:
            add(check_plan.overdue(now=now, subreddits=self._subreddits, limit=limit), limit)
            if len(found) < limit:
                add(find(refresh=False, before=now, most=limit), limit)
                add(find(refresh=True, before=now - LATE, most=limit), limit)
        full = len(found) + -len(found) % PAGE_SIZE
        if len(found) < full:
            add(find(refresh=True, before=now, most=full), full)
            add(find(refresh=False, before=now + AHEAD, most=full), full)
        return list(found.values())

    def _ask(self, batch: list[Check], clock: Clock) -> None:
        names = [check.fullname for check in batch]
        page = self._client.info(fullnames=names)
        now = clock()
        answer = _read(page, set(names))
        self._result.asked += len(batch)
        self._result.rejected += answer.rejected
        seen = {check.subreddit_id for check in batch if check.fullname in answer.names}
        self._readable |= dict.fromkeys(seen, True)
        missing = [check for check in batch if check.fullname not in answer.names]
        self._probe({check.subreddit_id for check in missing if _is_second(check, now)})
        with transaction.atomic():
            self._store(batch, answer, missing, now)

    def _probe(self, subreddits: Iterable[int]) -> None:
        """Probe whether these subreddits can be read, each once. Call it outside transactions."""
        unknown = [key for key in subreddits if key and key not in self._readable]
        for key, name in Subreddit.objects.filter(pk__in=unknown).values_list("pk", "name"):
            try:
                self._client.listing([name], "new", limit=1)
            except SubredditUnavailable:
                self._readable[key] = False
            except (Throttled, Unauthorized):
                raise
            except RedditError as error:
                logger.info("Whether r/%s can be read is not known: %s", name, error)
                self._readable[key] = False
            else:
                self._readable[key] = True

    def _store(
        self, batch: list[Check], answer: "Answer", missing: list[Check], now: datetime
    ) -> None:
        """Store an answer; the caller's transaction makes it all or nothing."""
        result = self._result
        result.updated += len(intake.take_in(answer.items, now=now).updated)
        told = [check for check in batch if check.fullname in answer.names]
        ended = [
            check.fullname
            for check in told
            if check.fullname in answer.emptied and now - check.created_at > check_plan.APPROVABLE
        ]
        check_plan.record_checked(told, now=now)
        check_plan.forget(ended)
        self._store_missing(missing, now)
        scores.note_refreshed(
            [check.fullname for check in told if check.is_refresh and _is_post(check)], now=now
        )
        names = [check.fullname for check in batch]
        scores.settle(names)
        receipts = DeletionReceipt.objects.filter(fullname__in=names, purged_at=now)
        result.purged += receipts.count()

    def _store_missing(self, missing: list[Check], now: datetime) -> None:
        if not missing:
            return
        held = _held([check.fullname for check in missing])
        check_plan.forget([check.fullname for check in missing if check.fullname not in held])
        gone, once, hidden = [], [], []
        for check in missing:
            if check.fullname not in held:
                continue
            if not (self._trusted and self._readable.get(check.subreddit_id, True)):
                hidden.append(check)
            elif _is_second(check, now):
                gone.append(check)
            else:
                once.append(check)
        deletion.purge(
            {check.fullname: DeletionReceipt.Reason.GONE for check in gone},
            seen_at={check.fullname: check.missing_since for check in gone if check.missing_since},
            now=now,
        )
        check_plan.record_left_out(once, now=now)
        check_plan.record_unreadable(hidden, now=now)
        self._result.left_out += len(once)
        self._result.unreadable += len(hidden)


@dataclass
class Answer:
    """Reddit's answer about the items that were asked for; `names` are the items that it shows."""

    names: set[str] = field(default_factory=set)
    # The shown items that must be purged; moderators may still approve some of them.
    emptied: set[str] = field(default_factory=set)
    items: list[ParsedItem] = field(default_factory=list)
    rejected: int = 0


def _read(page: Page, asked: set[str]) -> Answer:
    """Parse an answer. Items that were not asked for are ignored; items that do not parse still stand."""
    answer = Answer()
    for thing in page.things:
        kind = thing.get("kind") if isinstance(thing, dict) else None
        data = thing.get("data") if isinstance(thing, dict) else None
        name = data.get("name") if isinstance(data, dict) else None
        if not isinstance(name, str) or name not in asked:
            continue
        answer.names.add(name)
        try:
            if kind not in PARSERS:
                raise ParseError(name, f"kind: expected t1 or t3, got {kind!r}")
            item: ParsedItem = PARSERS[kind](data)
        except ParseError as error:
            answer.rejected += 1
            logger.warning("Item not refreshed: %s", error)
            continue
        if deletion.reason_to_purge(item):
            answer.emptied.add(name)
        answer.items.append(item)
    return answer


def _is_second(check: Check, now: datetime) -> bool:
    """Whether an earlier answer, long enough ago, also left the item out."""
    return check.missing_since is not None and now - check.missing_since >= check_plan.CONFIRM_AFTER


def _is_post(check: Check) -> bool:
    return check.fullname.startswith("t3_")


def _held(fullnames: Sequence[str]) -> set[str]:
    """Return which of these items are still stored: retention may have deleted some meanwhile."""
    return {
        name
        for model in (RedditPost, RedditComment)
        for name in model.objects.filter(pk__in=fullnames).values_list("pk", flat=True)
    }


def _is_trusted(app: RedditApp) -> bool:
    """Whether an item that the app's answers leave out may count as gone.

    A simulator does not know the items that were collected from Reddit. So its answers count only if
    no app asks Reddit itself.
    """
    real = RedditApp.Service.REDDIT
    return app.service == real or not RedditApp.objects.filter(service=real).exists()


def _shares() -> list[tuple[RedditApp, list[int] | None]]:
    """Return the apps with the ids of the subreddits that each asks about; None means all subreddits.

    An app of a bot that names the subreddit asks about it. Among several apps, an app of Reddit comes
    before an app of a simulator, then an app that Reddit accepts, then the oldest app. Subreddits that
    no bot names, and items without a subreddit (id 0), go to the first app in that order.
    """
    apps = sorted(RedditApp.objects.all(), key=_preference)
    if len(apps) < 2:
        return [(app, None) for app in apps]
    by_name: dict[str, RedditApp] = {}
    rank = {app.pk: number for number, app in enumerate(apps)}
    by_pk = {app.pk: app for app in apps}
    for app_id, names in BotConfig.objects.values_list("reddit_app_id", "subreddits"):
        for name in (name.lower() for name in names):
            if name not in by_name or rank[app_id] < rank[by_name[name].pk]:
                by_name[name] = by_pk[app_id]
    shares: dict[int, list[int]] = {app.pk: [] for app in apps}
    shares[apps[0].pk].append(0)
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, lower(name) FROM scraping_subreddit ORDER BY id")
        for key, name in cursor.fetchall():
            shares[by_name.get(name, apps[0]).pk].append(key)
    return [(app, shares[app.pk]) for app in apps if shares[app.pk]]


def _preference(app: RedditApp) -> tuple[bool, bool, int]:
    return app.service != RedditApp.Service.REDDIT, app.is_refused, app.pk
