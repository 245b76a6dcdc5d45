"""The budget of each Reddit app: one row, shared by all workers of all machines.

Reddit counts the requests of a client id in windows of 600 s that begin anew, not in a steady stream,
and allows bursts within a window. We count in the same way: each request takes a permit by one
statement on autocommit, and each answer corrects the row by its headers.

- A permit counts as spent for good. If a worker dies between permit and request, the permit is wasted.
  Requests under way at the end of a window count in the next window, too. Both errors are on the safe
  side: they never cause a 429.
- The end of a window is the earliest end that the answers allow. `x-ratelimit-reset` is in whole
  seconds, rounded up, so each answer gives an upper bound, and many answers narrow it down.
- Lanes: a share of the window's remaining requests is held back for higher lanes. The share shrinks as
  the window passes, so that in the end every lane can use everything that is left.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.conf import settings
from django.db import connection

from bots.models import RedditApp
from scraping.reddit.errors import Throttled
from scraping.reddit.transport import Answer

# The share of the window that a lane leaves to higher lanes, when the window begins.
RESERVES = {"fresh": 0.0, "manual": 0.1, "deletion": 0.25, "refresh": 0.4, "backfill": 0.6}
# From this part of a window on, nothing is held back: the last requests need time to be sent.
RELEASED_AT = 0.95

# The pause, in seconds, after a 429 that does not say how long to wait.
DEFAULT_PAUSE = 10.0
# No answer stops an app for longer, whatever it says: one odd header must not stop all collection.
LONGEST_PAUSE = 3600.0
# A waiter asks again after at most this many seconds, because a pause may be lifted or a limit raised.
LONGEST_NAP = 5.0
SHORTEST_NAP = 0.005

PERMIT = """
WITH locked AS (
    SELECT b.*, a.requests_per_minute
    FROM scraping_requestbudget b JOIN bots_redditapp a ON a.id = b.app_id
    WHERE b.app_id = %(app)s FOR UPDATE OF b
), clock AS MATERIALIZED (
    SELECT l.*, clock_timestamp() AS t, make_interval(secs => %(length)s) AS length FROM locked l
), turned AS (
    SELECT c.*, t >= ends_at AS turns,
           GREATEST(1, LEAST(floor(requests_per_minute * %(length)s / 60), reddit_limit)) AS present_quota
    FROM clock c
), present AS (
    SELECT app_id, t, turns, present_quota AS quota, paused_until,
           CASE WHEN turns THEN t ELSE starts_at END AS starts,
           CASE WHEN turns THEN t + length ELSE ends_at END AS ends,
           -- Those under way may be counted by Reddit in the window that begins now.
           CASE WHEN turns THEN GREATEST(0, granted - answered) ELSE used END AS spent
    FROM turned
), allowed AS (
    SELECT p.*, extract(epoch FROM ends - starts) * %(released)s AS span,
           extract(epoch FROM t - starts) AS elapsed
    FROM present p
), verdict AS (
    SELECT a.*, CASE
        WHEN paused_until > t THEN extract(epoch FROM paused_until - t)
        WHEN spent + 1 > quota THEN extract(epoch FROM ends - t)
        WHEN %(reserve)s = 0 THEN 0
        -- When the lane's share, quota * (1 - reserve * (1 - elapsed / span)), reaches one more.
        ELSE GREATEST(0, span * (1 - (1 - (spent + 1) / quota::float8) / %(reserve)s) - elapsed)
    END AS wait
    FROM allowed a
)
UPDATE scraping_requestbudget b SET
    window_number = b.window_number + v.turns::int,
    starts_at = v.starts,
    ends_at = v.ends,
    aligned = b.aligned AND NOT v.turns,
    quota = v.quota,
    used = v.spent + (v.wait = 0)::int,
    granted = CASE WHEN v.turns THEN 0 ELSE b.granted END + (v.wait = 0)::int,
    answered = CASE WHEN v.turns THEN 0 ELSE b.answered END,
    waiting = CASE WHEN v.wait = 0 THEN b.waiting - %(name)s::text ELSE (
        SELECT COALESCE(jsonb_object_agg(key, value), '{}') FROM jsonb_each(b.waiting)
        WHERE (value->>'until')::float8 > extract(epoch FROM v.t)
    ) || jsonb_build_object(%(name)s::text, jsonb_build_object(
        'lane', %(lane)s::text, 'until', extract(epoch FROM v.t) + v.wait)) END
FROM verdict v WHERE b.app_id = v.app_id
RETURNING v.wait::float8, b.window_number, b.used
"""

# The database's clock and `took` bound the moment of Reddit's answer, and so the end of its window.
ANSWER = """
WITH locked AS (
    SELECT * FROM scraping_requestbudget WHERE app_id = %(app)s FOR UPDATE
), clock AS MATERIALIZED (
    SELECT l.*, clock_timestamp() AS t,
           -- An answer to a request for a token has no permit, and so no window.
           COALESCE(window_number = %(window)s, false) AS ours,
           %(reset)s::float8 IS NOT NULL AND %(reset)s::float8 <= %(length)s + 1 AS speaks
    FROM locked l
), bounds AS (
    SELECT c.*, t + make_interval(secs => COALESCE(%(reset)s::float8, 0)) AS latest,
           t + make_interval(secs => COALESCE(%(reset)s::float8, 0) - 1 - %(took)s) AS earliest
    FROM clock c
), verdict AS (
    -- Reddit's window ended before the end that we knew of: its next one has begun. By a second or
    -- two, though, the clocks of Reddit's own servers may differ.
    SELECT b.*, ours AND speaks AND aligned
           AND earliest >= ends_at + (ends_at - starts_at) / 2 AS turns
    FROM bounds b
)
UPDATE scraping_requestbudget b SET
    window_number = b.window_number + v.turns::int,
    starts_at = CASE WHEN v.turns THEN v.t ELSE b.starts_at END,
    ends_at = CASE
        WHEN NOT (v.ours AND v.speaks) THEN b.ends_at
        WHEN v.turns OR NOT b.aligned THEN v.latest
        ELSE LEAST(b.ends_at, v.latest)
    END,
    aligned = b.aligned OR (v.ours AND v.speaks),
    used = CASE
        WHEN NOT v.ours OR %(used)s::float8 IS NULL THEN b.used
        WHEN v.turns THEN %(used)s::float8 + GREATEST(0, b.granted - b.answered - 1)
        -- More than we know of: others use the client id. What was granted after this is to come.
        WHEN %(used)s::float8 > b.used THEN %(used)s::float8 + GREATEST(0, b.used - %(number)s)
        ELSE b.used
    END,
    granted = CASE WHEN v.turns THEN 0 ELSE b.granted END,
    answered = CASE WHEN v.turns THEN 0 ELSE b.answered + v.ours::int END,
    reddit_limit = COALESCE(%(total)s::float8, b.reddit_limit),
    paused_until = CASE WHEN %(pause)s::float8 IS NULL THEN b.paused_until
        ELSE GREATEST(b.paused_until, v.t + make_interval(secs => %(pause)s::float8)) END
FROM verdict v WHERE b.app_id = v.app_id
"""

BEGIN = """
INSERT INTO scraping_requestbudget
    (app_id, window_number, starts_at, ends_at, aligned, quota, used, granted, answered, waiting)
SELECT id, 0, clock_timestamp(), clock_timestamp(), false, 0, 0, 0, 0, '{}'
FROM bots_redditapp WHERE id = %s
ON CONFLICT (app_id) DO NOTHING
"""


class Lane(StrEnum):
    """The purpose of a request, the most urgent first."""

    FRESH = "fresh"
    MANUAL = "manual"
    DELETION = "deletion"
    REFRESH = "refresh"
    BACKFILL = "backfill"


class BudgetSpent(Throttled):
    """The next permit is further away than a worker may wait; `retry_after` is the wait in seconds."""


@dataclass(frozen=True)
class Permit:
    """The right to send one request: the window, and the request's number in it."""

    window: int
    number: int


class AppBudget:
    """Permits of one app for one user, such as a session. A client takes a permit for each request."""

    def __init__(
        self,
        app: RedditApp,
        *,
        lane: Lane,
        name: str,
        longest_wait: float | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`name` tells operators who waits; `longest_wait` is the longest wait for one request, in seconds.

        The default is REDDIT_BUDGET_WAIT_SECONDS.
        """
        self._app = app
        self._lane = lane
        self._name = name
        self._longest = (
            settings.REDDIT_BUDGET_WAIT_SECONDS if longest_wait is None else longest_wait
        )
        self._sleep = sleep

    def take(self) -> Permit:
        """Wait for a permit; raise `BudgetSpent` at once if the wait would be too long."""
        began = time.monotonic()
        while True:
            wait, permit = self._ask()
            if permit is not None:
                return permit
            waited = time.monotonic() - began
            if waited + wait > self._longest:
                raise BudgetSpent(
                    f"The requests of the app “{self._app}” are spent or kept for more urgent work "
                    f"for {wait:.0f} s more. Run the bot less often, or share its subreddits.",
                    retry_after=wait,
                )
            self._sleep(min(max(wait, SHORTEST_NAP), LONGEST_NAP))

    def answered(self, permit: Permit | None, answer: Answer) -> None:
        """Correct the budget by an answer; `permit` is None for a request without a permit."""
        rate = answer.rate
        pause = answer.retry_after
        if answer.status == 429 and pause is None:
            pause = DEFAULT_PAUSE
        _execute(
            ANSWER,
            {
                "app": self._app.pk,
                "length": settings.REDDIT_BUDGET_WINDOW_SECONDS,
                "window": permit.window if permit else None,
                "number": permit.number if permit else 0,
                "took": answer.seconds,
                "reset": rate and rate.reset,
                "used": rate and rate.used,
                "total": rate and max(1.0, rate.used + rate.remaining),
                "pause": None if pause is None else min(max(pause, 0.0), LONGEST_PAUSE),
            },
        )

    def _ask(self) -> tuple[float, Permit | None]:
        parameters = {
            "app": self._app.pk,
            "length": settings.REDDIT_BUDGET_WINDOW_SECONDS,
            "released": RELEASED_AT,
            "reserve": RESERVES[self._lane],
            "lane": self._lane.value,
            "name": self._name,
        }
        row = _execute(PERMIT, parameters)
        if row is None:
            _execute(BEGIN, [self._app.pk])
            row = _execute(PERMIT, parameters)
        if row is None:
            raise BudgetSpent(f"The app “{self._app}” was deleted: its bots have no budget.")
        wait, window, number = row
        return wait, None if wait > 0 else Permit(window, number)


def _execute(
    statement: str, parameters: Mapping[str, Any] | Sequence[Any]
) -> tuple[Any, ...] | None:
    """Run one statement on autocommit and return its row, if any."""
    blocks = connection.atomic_blocks
    # Django's annotations leave out the mark on the transaction that a TestCase holds open.
    if blocks and not blocks[-1]._from_testcase:  # type: ignore[attr-defined]
        raise RuntimeError(
            "The budget was asked inside a transaction, which would hold its row, and with it all "
            "workers, until the answer has come. Call Reddit before or after the transaction."
        )
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchone() if cursor.description else None
