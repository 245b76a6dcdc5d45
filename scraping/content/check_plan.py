"""The plan of checks: when we next ask Reddit about each stored item.

A check asks for an item's score and whether the item still stands. Young items are checked often, old
items seldom: the interval to the next check equals the item's age, but it is at least `SHORTEST` and at
most seven eighths of VERIFY_WITHIN_HOURS. If the item reaches one of REFRESH_AGES_HOURS before that
check or soon after it, the check is made at that age, so that one request serves both purposes.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet

from scraping.models import Content, ItemCheck, RedditComment, RedditPost

# The shortest interval between two checks, unless a refresh falls due sooner.
SHORTEST = timedelta(hours=3)
# Checks are planned within this part of VERIFY_WITHIN_HOURS. The rest is a reserve for rechecks that
# the budget delays.
PLANNED = 7 / 8
# A check may wait for a refresh age for up to this many times its interval.
STRETCH = 1.25
# A check that comes before a refresh age by at most this share of the age also serves as that refresh.
NEAR = 0.1
# Moderators may approve a removed item after it was purged: we check it until this age.
APPROVABLE = timedelta(days=3)
# If an answer leaves an item out, we ask again after CONFIRM_AFTER, or after UNREADABLE_PAUSE if the
# item's subreddit cannot be read.
CONFIRM_AFTER = timedelta(minutes=30)
UNREADABLE_PAUSE = timedelta(hours=6)
# The age, in hours, at which filters by score are decided if REFRESH_AGES_HOURS is empty.
DECIDED_AT = 36.0

# How far back `enrol_new` looks. Older items are enrolled, or wait for the nightly look at everything.
LOOK_BACK = timedelta(hours=6)
# Items enrolled at a time.
ENROLLED = 2_000

# We do not check items that are deleted or gone, nor removed items that are empty.
_CHECKED = """
    t.removal NOT IN ('deleted', 'gone') AND NOT (t.removal = 'removed' AND t.permalink IS NULL)
"""
_UNPLANNED = f"""
    {_CHECKED} AND (%(since)s::timestamptz IS NULL OR t.first_seen_at >= %(since)s)
    AND NOT EXISTS (SELECT FROM scraping_itemcheck c WHERE c.fullname = t.fullname)
"""
_TOLD = "SELECT fullname, subreddit_id, created_at, first_seen_at FROM {table} t"
FIND_TOLD = f"""
{_TOLD} WHERE retrieved_at IS NULL AND fullname = ANY(%(names)s) AND {_CHECKED}
    AND NOT EXISTS (SELECT FROM scraping_itemcheck c WHERE c.fullname = t.fullname)
"""
FIND_UNPLANNED = f"{_TOLD} WHERE retrieved_at IS NULL AND {_UNPLANNED} LIMIT %(most)s"
# A dump shows an item as it was at another time, so the item's check is due at once.
_PLAN_DUMPED = """
INSERT INTO scraping_itemcheck
    (fullname, subreddit_id, created_at, checked_at, due_at, is_refresh, is_unreadable)
SELECT fullname, COALESCE(subreddit_id, 0), created_at, retrieved_at, %(now)s, FALSE, FALSE
FROM {table} t WHERE retrieved_at IS NOT NULL
"""
PLAN_DUMPED = (
    f"{_PLAN_DUMPED} AND fullname = ANY(%(names)s) AND {_CHECKED}"
    " ORDER BY fullname ON CONFLICT DO NOTHING"
)
PLAN_UNPLANNED_DUMPED = f"{_PLAN_DUMPED} AND {_UNPLANNED} ON CONFLICT DO NOTHING"
# A row's values date from its last change, so the first entry has the time `refreshed_at`.
BEGIN_HISTORY = """
INSERT INTO scraping_postscore (post_id, at, score, num_comments)
SELECT fullname, refreshed_at, CASE WHEN score_hidden IS TRUE THEN NULL ELSE score END, num_comments
FROM scraping_redditpost p
WHERE fullname = ANY(%(names)s) AND (score IS NOT NULL OR num_comments IS NOT NULL)
    AND NOT EXISTS (SELECT FROM scraping_postscore s WHERE s.post_id = p.fullname)
ORDER BY fullname
ON CONFLICT DO NOTHING
"""

COLUMNS = (
    "fullname",
    "subreddit_id",
    "created_at",
    "checked_at",
    "due_at",
    "missing_since",
    "is_refresh",
)


@dataclass(frozen=True, slots=True)
class Check:
    """An item whose check is due."""

    fullname: str
    subreddit_id: int
    created_at: datetime
    checked_at: datetime
    due_at: datetime
    missing_since: datetime | None
    is_refresh: bool


def refresh_ages() -> list[timedelta]:
    """Return the ages at which we ask for scores and edits, the youngest first."""
    return [timedelta(hours=hours) for hours in settings.REFRESH_AGES_HOURS]


def decided_after() -> timedelta:
    """Return the age from which a check decides a bot's filters by score and by comments."""
    hours = settings.REFRESH_AGES_HOURS or [DECIDED_AT]
    return timedelta(hours=hours[-1]) * (1 - NEAR)


def next_check(created_at: datetime, checked_at: datetime) -> tuple[datetime, bool]:
    """Return when an item checked at `checked_at` is next checked, and whether as a refresh."""
    longest = timedelta(hours=settings.VERIFY_WITHIN_HOURS) * PLANNED
    interval = min(max(checked_at - created_at, SHORTEST), longest)
    latest = checked_at + min(interval * STRETCH, longest)
    for age in refresh_ages():
        moment = created_at + age
        if checked_at + age * NEAR < moment <= latest + age * NEAR:
            return min(moment, latest), True
    return checked_at + interval, False


def plan(model: type[Content], fullnames: Collection[str], *, now: datetime) -> None:
    """Plan the first checks of items that have none, and begin the score histories of posts."""
    if not fullnames:
        return
    table, names = model._meta.db_table, list(fullnames)
    with connection.cursor() as cursor:
        cursor.execute(FIND_TOLD.format(table=table), {"names": names})
        told = cursor.fetchall()
        enrol(told)
        if len(told) < len(names):
            cursor.execute(PLAN_DUMPED.format(table=table), {"names": names, "now": now})
        if told and model is RedditPost:
            cursor.execute(BEGIN_HISTORY, {"names": [row[0] for row in told]})


def enrol_new(*, now: datetime, everything: bool = False) -> int:
    """Plan the first checks of stored items that have none, and begin the score histories of posts.

    `scraping.intake` plans checks when it stores items. This function finds items that were stored
    without a check: recently or, with `everything`, at any time. Returns how many items it enrolled.
    """
    since = None if everything else now - LOOK_BACK
    enrolled = 0
    for model in (RedditPost, RedditComment):
        table = model._meta.db_table
        with connection.cursor() as cursor:
            cursor.execute(PLAN_UNPLANNED_DUMPED.format(table=table), {"now": now, "since": since})
            enrolled += cursor.rowcount
            while True:
                cursor.execute(
                    FIND_UNPLANNED.format(table=table), {"since": since, "most": ENROLLED}
                )
                rows = cursor.fetchall()
                with transaction.atomic():
                    enrol(rows)
                    if model is RedditPost:
                        cursor.execute(BEGIN_HISTORY, {"names": [row[0] for row in rows]})
                enrolled += len(rows)
                if len(rows) < ENROLLED:
                    break
    return enrolled


def enrol(rows: Sequence[tuple[str, int | None, datetime, datetime]]) -> None:
    """Plan the first checks of items that Reddit returned.

    A row holds the fullname, the subreddit's id, when the item was written and when we received it.
    """
    if not rows:
        return
    planned = [next_check(created_at, told_at) for _, _, created_at, told_at in rows]
    names, subreddits, created, told_at = zip(*rows, strict=True)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO scraping_itemcheck
                (fullname, subreddit_id, created_at, checked_at, due_at, is_refresh, is_unreadable)
            SELECT fullname, COALESCE(subreddit_id, 0), created_at, checked_at, due_at, is_refresh,
                   FALSE
            FROM unnest(%s::text[], %s::bigint[], %s::timestamptz[], %s::timestamptz[],
                        %s::timestamptz[], %s::boolean[])
                AS n (fullname, subreddit_id, created_at, checked_at, due_at, is_refresh)
            ON CONFLICT DO NOTHING
            """,
            [
                list(names),
                list(subreddits),
                list(created),
                list(told_at),
                [due for due, _ in planned],
                [is_refresh for _, is_refresh in planned],
            ],
        )


def overdue(*, now: datetime, subreddits: Sequence[int] | None, limit: int) -> list[Check]:
    """Return due items without a check for seven eighths of VERIFY_WITHIN_HOURS, the oldest first.

    Items whose subreddits cannot be read are left out. Items become overdue when the budget is too
    small, or after an import.
    """
    longest = timedelta(hours=settings.VERIFY_WITHIN_HOURS) * PLANNED
    rows = ItemCheck.objects.filter(
        is_unreadable=False, checked_at__lte=now - longest, due_at__lte=now
    ).order_by("checked_at")
    return _found(rows, subreddits, limit)


def due(
    *, refresh: bool, before: datetime, subreddits: Sequence[int] | None, limit: int
) -> list[Check]:
    """Return items whose check is due by `before`, the longest overdue first; scans one index.

    `subreddits` are ids, 0 for items without a subreddit; None means all items.
    """
    rows = ItemCheck.objects.filter(is_refresh=refresh, due_at__lte=before).order_by("due_at")
    return _found(rows, subreddits, limit)


def _found(rows: QuerySet[ItemCheck], subreddits: Sequence[int] | None, limit: int) -> list[Check]:
    if subreddits is not None:
        rows = rows.filter(subreddit_id__in=subreddits)
    return [Check(*row) for row in rows.values_list(*COLUMNS)[:limit]]


def record_checked(checks: Iterable[Check], *, now: datetime) -> None:
    """Record that Reddit returned these items, and plan the next check of each item."""
    rows = [(check.fullname, *next_check(check.created_at, now)) for check in checks]
    _write(rows, now=now, checked=True)


def record_left_out(checks: Iterable[Check], *, now: datetime) -> None:
    """Record that an answer left these items out, and plan another check soon."""
    _write(
        [(check.fullname, now + CONFIRM_AFTER, False) for check in checks], now=now, missing=True
    )


def record_unreadable(checks: Iterable[Check], *, now: datetime) -> None:
    """Record that these items cannot be checked, because their subreddit cannot be read.

    Their absence from answers, now or earlier, then proves nothing: `missing_since` is cleared.
    """
    rows = [(check.fullname, now + UNREADABLE_PAUSE, False) for check in checks]
    _write(rows, now=now, hidden=True)


def forget(fullnames: Sequence[str]) -> None:
    """Delete the checks of these items, so that we never ask about them again."""
    ItemCheck.objects.filter(pk__in=fullnames).delete()


def _write(
    rows: Sequence[tuple[str, datetime, bool]],
    *,
    now: datetime,
    checked: bool = False,
    missing: bool = False,
    hidden: bool = False,
) -> None:
    if not rows:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE scraping_itemcheck c SET
                due_at = n.due_at,
                is_refresh = n.is_refresh,
                checked_at = CASE WHEN %(checked)s THEN %(now)s ELSE c.checked_at END,
                missing_since = CASE WHEN %(missing)s THEN COALESCE(c.missing_since, %(now)s)
                                     WHEN %(checked)s OR %(hidden)s THEN NULL ELSE c.missing_since END,
                is_unreadable = %(hidden)s OR (c.is_unreadable AND NOT %(checked)s)
            FROM unnest(%(names)s::text[], %(due)s::timestamptz[], %(refresh)s::boolean[])
                AS n (fullname, due_at, is_refresh)
            WHERE c.fullname = n.fullname
            """,
            {
                "checked": checked,
                "missing": missing,
                "hidden": hidden,
                "now": now,
                "names": [name for name, _, _ in rows],
                "due": [moment for _, moment, _ in rows],
                "refresh": [is_refresh for _, _, is_refresh in rows],
            },
        )
