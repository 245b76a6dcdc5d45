"""Scores: a short history for each post, and bots' filters by score and number of comments."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from scraping.content import check_plan
from scraping.models import Content, RedditPost

# The most history entries of a post.
MOST_ENTRIES = 30
# Between two refreshes, a change gets an entry if it is at least this large, as a number and as a share
# of the previous value, and if the last entry is at least this old.
LEAST_CHANGE = 5
LEAST_PART = 0.2
LEAST_AGE = timedelta(minutes=10)

# The statement reads each post's history by its index.
NOTE_CHANGED = """
INSERT INTO scraping_postscore (post_id, at, score, num_comments)
SELECT p.fullname, %(now)s, p.score, p.num_comments
FROM (
    SELECT fullname, num_comments, CASE WHEN score_hidden IS TRUE THEN NULL ELSE score END AS score
    FROM scraping_redditpost
    WHERE fullname = ANY(%(names)s) AND removal NOT IN ('deleted', 'gone')
) p
CROSS JOIN LATERAL (SELECT count(*) AS entries, max(at) AS at
                    FROM scraping_postscore WHERE post_id = p.fullname) h
LEFT JOIN scraping_postscore l ON l.post_id = p.fullname AND l.at = h.at
WHERE h.entries < %(most)s AND (p.score IS NOT NULL OR p.num_comments IS NOT NULL)
  AND (h.at IS NULL
       OR (%(refreshed)s AND h.at < %(now)s)
       OR (h.at <= %(now)s - %(age)s
           AND (abs(p.score - COALESCE(l.score, 0))
                    >= GREATEST(%(least)s, %(part)s * abs(COALESCE(l.score, 0)))
                OR abs(p.num_comments - COALESCE(l.num_comments, 0))
                    >= GREATEST(%(least)s, %(part)s * COALESCE(l.num_comments, 0)))))
ORDER BY p.fullname
ON CONFLICT DO NOTHING
"""

# SQL for whether item `i` passes the filters of bot `b`: its values suffice now, or they sufficed in an
# entry of its history. A hidden score counts as no score.
_REACHED = """
    (({b}.min_score IS NULL OR (i.score_hidden IS NOT TRUE AND i.score >= {b}.min_score))
     AND ({b}.min_comments IS NULL OR i.num_comments >= {b}.min_comments)
     OR EXISTS (SELECT FROM scraping_postscore s WHERE s.post_id = i.fullname
                AND ({b}.min_score IS NULL OR s.score >= {b}.min_score)
                AND ({b}.min_comments IS NULL OR s.num_comments >= {b}.min_comments)))
"""
# A filter that is reached is decided at once. A match is missed only when the item is deleted or gone,
# or after a check that was made late enough in the item's life.
STATE = f"""
    CASE WHEN {{b}}.min_score IS NULL AND {{b}}.min_comments IS NULL THEN 'matched' ELSE COALESCE((
        SELECT CASE WHEN i.removal IN ('deleted', 'gone') THEN 'missed'
                    WHEN {_REACHED} THEN 'matched'
                    WHEN EXISTS (SELECT FROM scraping_itemcheck c WHERE c.fullname = i.fullname
                                 AND c.checked_at >= i.created_at + %(decided)s) THEN 'missed'
                    ELSE 'pending' END
        FROM (
            SELECT fullname, created_at, removal, score, score_hidden, num_comments
            FROM scraping_redditpost WHERE fullname = {{fullname}}
            UNION ALL
            -- Comments are asked for no comments: as if they had all there can be.
            SELECT fullname, created_at, removal, score, score_hidden, 9223372036854775807
            FROM scraping_redditcomment WHERE fullname = {{fullname}}
        ) i), 'pending') END
"""  # noqa: S608  (no input)


def state_of(*, bot: str, fullname: str) -> str:
    """Return SQL for the state of a match.

    `bot` is the alias of the bot's row, `fullname` is SQL for the item's fullname. The SQL has a
    parameter `decided`, which is `check_plan.decided_after()`.
    """
    return STATE.format(b=bot, fullname=fullname)


SETTLE = f"""
WITH waiting AS (
    SELECT m.id, {state_of(bot="b", fullname="m.fullname")} AS state
    FROM scraping_botitem m JOIN bots_botconfig b ON b.id = m.bot_id
    WHERE m.state = 'pending' AND m.fullname = ANY(%(names)s)
    ORDER BY m.id FOR UPDATE OF m
)
UPDATE scraping_botitem m SET state = w.state
FROM waiting w WHERE w.id = m.id AND w.state <> 'pending'
"""  # noqa: S608  (no input)


def note(model: type[Content], changed: Collection[str], *, now: datetime) -> None:
    """Write the history of posts that a page has changed, and settle matches that wait for scores."""
    if model is RedditPost and changed:
        _note_changed(changed, refreshed=False, now=now)
    settle(changed)


def note_refreshed(fullnames: Collection[str], *, now: datetime) -> None:
    """Write the history of posts that were refreshed, whether they changed or not."""
    if fullnames:
        _note_changed(fullnames, refreshed=True, now=now)


def settle(fullnames: Collection[str]) -> int:
    """Decide pending matches of these items, as far as it is time.

    Returns how many matches were decided. A decided match stays as it is.
    """
    if not fullnames:
        return 0
    parameters: dict[str, Any] = {
        "names": list(fullnames),
        "decided": check_plan.decided_after(),
    }
    with connection.cursor() as cursor:
        cursor.execute(SETTLE, parameters)
        decided: int = cursor.rowcount
    return decided


def _note_changed(fullnames: Collection[str], *, refreshed: bool, now: datetime) -> None:
    parameters: dict[str, Any] = {
        "names": list(fullnames),
        "now": now,
        "refreshed": refreshed,
        "most": MOST_ENTRIES,
        "age": LEAST_AGE,
        "least": LEAST_CHANGE,
        "part": LEAST_PART,
    }
    with connection.cursor() as cursor:
        cursor.execute(NOTE_CHANGED, parameters)
