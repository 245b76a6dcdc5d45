"""Probes: ask Reddit whether subreddits can be read, seldom and mostly in batches.

A merged listing silently leaves out members that cannot be read. `/api/info?sr_name=` takes a hundred
names. A subreddit that it leaves out cannot be read, and the fields of a subreddit that it shows say
most. Recorded answers show: `subscribers` is null if the app may not read the subreddit, and
`subreddit_type` is then "private" for a private subreddit and "public" for a banned subreddit. Only a
gated subreddit looks like any other. So a subreddit that is not known to be readable must show an item
in a listing, or is asked for by itself.

A subreddit that cannot be read is probed again after a pause. The pause is as long as the subreddit
has been closed, at least an hour and at most a day: 1, 1, 2, 4, 8, 16 and then every 24 hours.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from bots import pauses, refusals
from bots.models import BotConfig, RedditApp
from scraping.budget.app_budget import AppBudget, Lane
from scraping.budget.clients import client_for
from scraping.coverage import ledger
from scraping.models import Subreddit
from scraping.models.streams import FIRST_PAUSE, QUIET_PAUSE
from scraping.reddit.client import PAGE_SIZE, Page, RedditClient
from scraping.reddit.errors import RedditError, SubredditUnavailable, Throttled, Unauthorized

logger = logging.getLogger(__name__)

Status = Subreddit.Status

# At most this many subreddits are asked for by themselves at a time. The others have their turn later.
SINGLE_REQUESTS = 10


@dataclass(frozen=True)
class State:
    """The result of a probe. `outcome` is a status, or the error of the probe itself.

    If `is_known` is False, only a later probe can tell, and nothing is recorded.
    """

    outcome: str
    detail: str = ""
    renamed_to: str = ""
    is_known: bool = True


def still_closed(
    client: RedditClient, subreddits: Sequence[Subreddit], *, dry_run: bool = False
) -> dict[str, State]:
    """Return the states of the subreddits that cannot be read, by name; probe them if a pause is over.

    During their pause, subreddits keep the state that Reddit last reported. Raises `Unauthorized` and
    `Throttled`. After any other error the states stay as they were, and the next caller probes again.
    """
    closed = {subreddit.name: subreddit for subreddit in subreddits if not subreddit.is_readable}
    due = [subreddit for subreddit in closed.values() if subreddit.probe_is_due]
    if due and not dry_run:
        due = _claim(due)
    states = {
        name: State(subreddit.status, standing(subreddit), subreddit.renamed_to)
        for name, subreddit in closed.items()
    }
    found: dict[str, State] = {}
    try:
        if due:
            found = _ask(client, due)
    except (Unauthorized, Throttled):
        raise
    except RedditError as error:
        logger.warning("Probe of %s: %s", ", ".join(map(str, due)), error)
    finally:
        if not dry_run:
            _give_back(subreddit for subreddit in due if subreddit.name not in found)
    if not dry_run:
        record_all((s, found[s.name]) for s in due if s.name in found)
    states |= {name: state for name, state in found.items() if state.is_known}
    return {name: state for name, state in states.items() if state.outcome != Status.OK}


def of_silent(
    client: RedditClient,
    subreddits: Sequence[Subreddit],
    *,
    dry_run: bool = False,
) -> dict[str, State]:
    """Probe silent members; return the states of those that cannot be read or are not known, by name.

    Raises `Unauthorized` and `Throttled`.
    """
    try:
        states = _ask(client, subreddits)
    except (Unauthorized, Throttled):
        raise
    except RedditError as error:
        logger.warning("Probe of %s: %s", ", ".join(map(str, subreddits)), error)
        return {s.name: _failed(error) for s in subreddits}
    if not dry_run:
        record_all((s, states[s.name]) for s in subreddits if s.name in states)
    unasked = State(Status.UNKNOWN, "nothing seen; whether it can be read is asked soon")
    found = {s.name: states.get(s.name, unasked) for s in subreddits}
    return {name: state for name, state in found.items() if state.outcome != Status.OK}


def probe_watched() -> dict[str, int]:
    """Probe all subreddits that active bots watch, that cannot be read, and whose pause is over.

    An app of a bot that watches the subreddit asks, in the lane of refreshes. Returns how many
    subreddits were asked about, and how many of them can be read again.
    """
    closed = Subreddit.objects.unreadable()
    due = {
        subreddit.name.lower(): subreddit
        for subreddit in closed.filter(
            Q(probed_at=None) | Q(probed_at__lte=timezone.now() - FIRST_PAUSE)
        )
        if subreddit.probe_is_due
    }
    asked = opened = 0
    for app, subreddits in _by_app(due):
        budget = AppBudget(app, lane=Lane.REFRESH, name="probes of subreddits")
        try:
            with client_for(app, permits=budget) as client:
                remaining = still_closed(client, subreddits)
        except Unauthorized as error:
            refusals.refuse(app, str(error))
        except RedditError as error:
            logger.info("Probes of the app %s wait: %s", app, error)
        else:
            asked += len(subreddits)
            opened += len(subreddits) - len(remaining)
    return {"asked": asked, "readable": opened}


def record(name: str, error: SubredditUnavailable, *, was_shown: bool = False) -> int:
    """Record why a subreddit that was asked for by itself cannot be read.

    Merged listings do not tell since when a subreddit has been gated. So what was recorded about it
    is in doubt, unless it `was_shown` a moment ago. Returns how many gaps that opens.
    """
    subreddit = Subreddit.objects.named([name]).first()
    if subreddit is None:
        return 0
    with transaction.atomic():
        record_all([(subreddit, _state_of(error))])
        in_doubt = error.status == Status.GATED and not was_shown
        return ledger.record_doubt([subreddit.pk]) if in_doubt else 0


def record_readable(names: Iterable[str]) -> None:
    """Record that these subreddits were read, so that no probe is needed."""
    now = timezone.now()
    subreddits = Subreddit.objects.named(names)
    opened = list(subreddits.unreadable().values_list("name", flat=True))
    subreddits.exclude(status=Status.OK).update(
        status=Status.OK, status_since=now, probed_at=now, renamed_to=""
    )
    if opened:
        pauses.subreddits_opened(opened)
    # Only stale rows: otherwise each walk would write the rows of all its subreddits.
    stale = Q(probed_at=None) | Q(probed_at__lt=now - QUIET_PAUSE / 2)
    subreddits.filter(stale).update(probed_at=now)


def record_all(found: Iterable[tuple[Subreddit, State]]) -> None:
    """Record the states of subreddits, and since when they hold, in the database and on the objects."""
    now = timezone.now()
    changed: list[Subreddit] = []
    confirmed: list[Subreddit] = []
    opened: list[str] = []
    for subreddit, state in found:
        if not state.is_known:
            continue
        subreddit.probed_at = now
        differs = (subreddit.status, subreddit.renamed_to) != (state.outcome, state.renamed_to)
        if differs:
            if state.outcome == Status.OK and not subreddit.is_readable:
                opened.append(subreddit.name)
            subreddit.status, subreddit.renamed_to = state.outcome, state.renamed_to
            subreddit.status_since = now
        (changed if differs else confirmed).append(subreddit)
    with transaction.atomic():
        # Lock the rows in one order: sessions of two bots may probe the same subreddits.
        keys = [subreddit.pk for subreddit in (*changed, *confirmed)]
        list(Subreddit.objects.filter(pk__in=keys).order_by("pk").select_for_update())
        Subreddit.objects.bulk_update(
            changed, ["status", "renamed_to", "status_since", "probed_at"], batch_size=500
        )
        Subreddit.objects.filter(pk__in=[s.pk for s in confirmed]).update(probed_at=now)
    if opened:
        pauses.subreddits_opened(opened)


def subreddits_of(page: Page) -> set[str]:
    """Return the names, in lower case, of the subreddits that a listing's page shows."""
    return {_subreddit_of(thing) for thing in page.things}


def _ask(client: RedditClient, subreddits: Sequence[Subreddit]) -> dict[str, State]:
    """Return what Reddit says about each subreddit.

    Subreddits whose turn has not come are left out, or have a state that is not known.
    """
    states: dict[str, State] = {}
    unexplained: list[Subreddit] = []
    unconfirmed: list[Subreddit] = []
    for start in range(0, len(subreddits), PAGE_SIZE):
        batch = subreddits[start : start + PAGE_SIZE]
        shown = _described(client.info(subreddits=[s.name for s in batch]).things)
        states |= _moved(client, [s for s in batch if s.name.lower() not in shown])
        for subreddit in batch:
            if subreddit.name in states:
                continue
            data = shown.get(subreddit.name.lower())
            if data is None or data.get("subscribers", ...) is None:
                state = _hidden(subreddit, data)
                if state is not None:
                    states[subreddit.name] = state
                else:
                    unexplained.append(subreddit)
            elif subreddit.status == Status.OK and data.get("quarantine") is not True:
                states[subreddit.name] = State(Status.OK)
            else:
                unconfirmed.append(subreddit)
    if len(unconfirmed) > 1:
        # One merged listing shows most of the subreddits that can be read and have items.
        page = client.listing([s.name for s in unconfirmed[:PAGE_SIZE]], "new")
        seen = subreddits_of(page)
        states |= {s.name: State(Status.OK) for s in unconfirmed if s.name.lower() in seen}
    rest = [*unexplained, *(s for s in unconfirmed if s.name not in states)]
    for subreddit in rest[:SINGLE_REQUESTS]:
        states[subreddit.name] = _single(client, subreddit.name)
    for subreddit in unexplained[SINGLE_REQUESTS:]:
        detail = "Reddit does not show it; why will be asked soon"
        states[subreddit.name] = State(Status.MISSING, detail, is_known=False)
    return states


def _hidden(subreddit: Subreddit, data: dict[str, Any] | None) -> State | None:
    """Return the state of a subreddit that Reddit hides; None if it must be asked for by itself."""
    if data is not None and data.get("subreddit_type") == "private":
        return State(Status.PRIVATE, "Reddit shows it as private")
    if not subreddit.is_readable:
        return State(subreddit.status, standing(subreddit), subreddit.renamed_to)
    return None


def standing(subreddit: Subreddit) -> str:
    """Return the detail of a subreddit whose state is unchanged: since when, and when it is asked again."""
    since, at = subreddit.status_since, subreddit.next_probe_at
    known = f"since {since:%Y-%m-%d %H:%M}" if since else "for some time"
    now = f", as r/{subreddit.renamed_to}" if subreddit.renamed_to else ""
    return f"{known}{now}; asked again from {at:%H:%M} on" if at else known + now


def _moved(client: RedditClient, absent: Sequence[Subreddit]) -> dict[str, State]:
    """Return the states of those subreddits whose fullname Reddit now shows under another name."""
    by_id = {s.reddit_id: s for s in absent if s.reddit_id}
    if not by_id:
        return {}
    states = {}
    for name, data in _described(client.info(fullnames=list(by_id)).things).items():
        fullname = data.get("name")
        subreddit = by_id.get(fullname) if isinstance(fullname, str) else None
        if subreddit is not None and subreddit.name.lower() != name:
            states[subreddit.name] = _renamed(data["display_name"])
    return states


def _single(client: RedditClient, name: str) -> State:
    try:
        client.listing([name], "new", limit=1)
    except SubredditUnavailable as error:
        return _state_of(error)
    return State(Status.OK)


def _state_of(error: SubredditUnavailable) -> State:
    if error.status == Status.RENAMED:
        return _renamed(error.renamed_to)
    return State(error.status, str(error))


def _renamed(name: str) -> State:
    return State(Status.RENAMED, f"its name is r/{name} now: edit its bots", renamed_to=name)


def _failed(error: RedditError) -> State:
    return State(error.outcome, str(error), is_known=False)


def _described(things: Iterable[Any]) -> dict[str, dict[str, Any]]:
    """Return the data of subreddits by lower-case name."""
    found: dict[str, dict[str, Any]] = {}
    for thing in things:
        data = thing.get("data") if isinstance(thing, dict) else None
        if isinstance(data, dict) and isinstance(name := data.get("display_name"), str):
            found[name.lower()] = data
    return found


def _subreddit_of(thing: Any) -> str:
    data = thing.get("data") if isinstance(thing, dict) else None
    name = data.get("subreddit") if isinstance(data, dict) else None
    return name.lower() if isinstance(name, str) else ""


def _claim(due: Sequence[Subreddit]) -> list[Subreddit]:
    """Return the subreddits that no other session is probing, and keep others from probing them.

    They count as probed from now on, so their pause begins again.
    """
    before = {subreddit.pk: subreddit.probed_at for subreddit in due}
    with transaction.atomic():
        rows = Subreddit.objects.filter(pk__in=before).select_for_update(skip_locked=True)
        free = {pk for pk, at in rows.values_list("pk", "probed_at") if at == before[pk]}
        Subreddit.objects.filter(pk__in=free).update(probed_at=timezone.now())
    return [subreddit for subreddit in due if subreddit.pk in free]


def _give_back(unasked: Iterable[Subreddit]) -> None:
    """Let the next caller probe the subreddits about which Reddit has said nothing."""
    for subreddit in unasked:
        Subreddit.objects.filter(pk=subreddit.pk).update(probed_at=subreddit.probed_at)


def _by_app(due: dict[str, Subreddit]) -> Iterator[tuple[RedditApp, list[Subreddit]]]:
    """Yield each app with the subreddits that it asks about; leave out those that no bot watches."""
    if not due:
        return
    chosen: dict[int, list[Subreddit]] = {}
    apps: dict[int, RedditApp] = {app.pk: app for app in RedditApp.objects.all()}
    left = dict(due)
    bots = BotConfig.objects.filter(is_active=True).order_by("pk")
    for key, names in bots.values_list("reddit_app", "subreddits").iterator():
        if apps[key].is_refused:
            continue
        for name in names:
            subreddit = left.pop(name.lower(), None)
            if subreddit is not None:
                chosen.setdefault(key, []).append(subreddit)
    for key, subreddits in chosen.items():
        yield apps[key], subreddits
