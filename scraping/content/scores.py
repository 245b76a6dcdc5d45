"""How posts fare: a short history of scores, and what bots ask for beyond terms."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from scraping.content import check_plan
from scraping.models import Content, RedditPost

# Entries of one post at most.
MOST_ENTRIES = 30
# A change between two refreshes is worth an entry if it is this large, as a number and as a part of
# what was, and the last entry is as old as that.
LEAST_CHANGE = 5
LEAST_PART = 0.2
LEAST_AGE = timedelta(minutes=10)

# Each post's history is read by its index.
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

# Of the bot `b` and the item `i`: a post has what the bot asks for if it has it now, or had it when
# its history was written. A hidden score counts as none.
_REACHED = """
    (({b}.min_score IS NULL OR (i.score_hidden IS NOT TRUE AND i.score >= {b}.min_score))
     AND ({b}.min_comments IS NULL OR i.num_comments >= {b}.min_comments)
     OR EXISTS (SELECT FROM scraping_postscore s WHERE s.post_id = i.fullname
                AND ({b}.min_score IS NULL OR s.score >= {b}.min_score)
                AND ({b}.min_comments IS NULL OR s.num_comments >= {b}.min_comments)))
"""
# Nothing is decided before a check was made late enough in the item's life.
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
    """SQL for the state of a match, of the row `bot` of a bot and the item with this name.

    Its parameter `decided` is `check_plan.decided_after()`.
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
    """Write the history of items that a page has changed, and settle what waits for their scores."""
    if model is RedditPost and changed:
        _note_changed(changed, refreshed=False, now=now)
    settle(changed)


def note_refreshed(fullnames: Collection[str], *, now: datetime) -> None:
    """Write the history of posts that were refreshed, whether they changed or not."""
    if fullnames:
        _note_changed(fullnames, refreshed=True, now=now)


def settle(fullnames: Collection[str]) -> int:
    """Decide the matches of these items that wait for their scores, as far as it is time.

    Returns how many were decided. One that was decided stays so.
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
