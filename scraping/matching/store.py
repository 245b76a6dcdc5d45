"""Record, correct and end matches."""

import json
from collections.abc import Collection, Iterable
from typing import Any

from django.db import connection
from django.utils import timezone

from scraping.content import check_plan
from scraping.content.scores import state_of
from scraping.matching.fleet import Match

STATEMENT = f"""
    INSERT INTO scraping_botitem AS t (bot_id, fullname, matched_terms, matched_at, state)
    SELECT m.bot_id, m.fullname, m.matched_terms, %(now)s, {state_of(bot="b", fullname="m.fullname")}
    FROM unnest(%(bots)s::bigint[], %(names)s::text[], %(terms)s::jsonb[])
        AS m (bot_id, fullname, matched_terms)
    JOIN (SELECT id, min_score, min_comments FROM bots_botconfig
          WHERE id = ANY(%(locked)s) ORDER BY id FOR KEY SHARE) AS b ON b.id = m.bot_id
    ON CONFLICT (bot_id, fullname) DO UPDATE SET
        matched_terms = EXCLUDED.matched_terms,
        state = CASE WHEN t.state = 'lapsed' THEN EXCLUDED.state ELSE t.state END
    WHERE t.fullname = ANY(%(changed)s)
        AND (t.state = 'lapsed' OR t.matched_terms <> EXCLUDED.matched_terms)
    RETURNING bot_id, fullname, xmax::text = '0'
"""  # noqa: S608  (no input)

# Matches of active bots with the items. Other bots keep the matches that they have.
WATCHED = """
    SELECT i.bot_id, i.fullname FROM scraping_botitem i JOIN bots_botconfig b ON b.id = i.bot_id
    WHERE i.fullname = ANY(%s) AND b.is_active AND i.state <> 'lapsed'
"""

# A match that somebody was notified of stays as history. Its terms come from an earlier text of the
# item, so they are cleared.
LAPSE = """
    UPDATE scraping_botitem i SET state = 'lapsed', matched_terms = '[]'
    FROM unnest(%(bots)s::bigint[], %(names)s::text[]) AS g (bot_id, fullname)
    WHERE i.bot_id = g.bot_id AND i.fullname = g.fullname AND i.notified_at IS NOT NULL
"""
END = """
    DELETE FROM scraping_botitem i
    USING unnest(%(bots)s::bigint[], %(names)s::text[]) AS g (bot_id, fullname)
    WHERE i.bot_id = g.bot_id AND i.fullname = g.fullname AND i.notified_at IS NULL
"""


def store_matches(matches: Iterable[Match], *, changed: Collection[str] = ()) -> list[Match]:
    """Record matches and return the new matches.

    A known match keeps its terms and its state, unless its item is in `changed`: then the match gets
    the terms that the item has now. Matches of bots that ask for a score wait until the item has it.

    A bot that was deleted since its fleet was compiled has no row. The statement looks for the row, and
    prevents its deletion until the caller's transaction ends. Otherwise the whole page would be lost.
    """
    by_key = {(match.bot_id, match.fullname): match for match in matches}
    if not by_key:
        return []
    parameters: dict[str, Any] = {
        "now": timezone.now(),
        "bots": [match.bot_id for match in by_key.values()],
        "names": [match.fullname for match in by_key.values()],
        "terms": [json.dumps(match.terms) for match in by_key.values()],
        "locked": list({match.bot_id for match in by_key.values()}),
        "decided": check_plan.decided_after(),
        "changed": list(changed),
    }
    with connection.cursor() as cursor:
        cursor.execute(STATEMENT, parameters)
        return [by_key[bot_id, name] for bot_id, name, is_new in cursor.fetchall() if is_new]


def watched_matches(fullnames: Collection[str]) -> set[tuple[int, str]]:
    """Return the matches of active bots with these items, as pairs of bot id and fullname."""
    with connection.cursor() as cursor:
        cursor.execute(WATCHED, [list(fullnames)])
        return {(bot_id, fullname) for bot_id, fullname in cursor.fetchall()}


def end_matches(pairs: Collection[tuple[int, str]]) -> int:
    """End matches, given as pairs of bot id and fullname; return how many matches were ended.

    Matches that somebody was notified of are kept as history. The other matches are deleted.
    """
    if not pairs:
        return 0
    bots, names = zip(*sorted(pairs), strict=True)
    values = {"bots": list(bots), "names": list(names)}
    with connection.cursor() as cursor:
        cursor.execute(LAPSE, values)
        ended: int = cursor.rowcount
        cursor.execute(END, values)
        ended += cursor.rowcount
    return ended
