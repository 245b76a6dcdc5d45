"""Matches as they are recorded."""

import json
from collections.abc import Iterable
from typing import Any

from django.db import connection
from django.utils import timezone

from scraping.content import check_plan
from scraping.content.scores import state_of
from scraping.matching.fleet import Match

STATEMENT = f"""
    INSERT INTO scraping_botitem (bot_id, fullname, matched_terms, matched_at, state)
    SELECT m.bot_id, m.fullname, m.matched_terms, %(now)s, {state_of(bot="b", fullname="m.fullname")}
    FROM unnest(%(bots)s::bigint[], %(names)s::text[], %(terms)s::jsonb[])
        AS m (bot_id, fullname, matched_terms)
    JOIN (SELECT id, min_score, min_comments FROM bots_botconfig
          WHERE id = ANY(%(locked)s) ORDER BY id FOR KEY SHARE) AS b ON b.id = m.bot_id
    ON CONFLICT (bot_id, fullname) DO NOTHING
    RETURNING bot_id, fullname
"""  # noqa: S608  (no input)


def store_matches(matches: Iterable[Match]) -> list[Match]:
    """Record matches and return those that are new; one that is known keeps its terms and state.

    Of bots that ask for a score, those that have not reached it wait for it.

    A bot that was deleted since its matcher was made has none: its row is looked for, and kept from
    being deleted until the caller's transaction ends, or the page of all others would be lost.
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
    }
    with connection.cursor() as cursor:
        cursor.execute(STATEMENT, parameters)
        return [by_key[key] for key in cursor.fetchall()]
