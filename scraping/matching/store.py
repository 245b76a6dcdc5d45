"""Matches as they are recorded."""

import json
from collections.abc import Iterable

from django.db import connection
from django.utils import timezone

from scraping.matching.fleet import Match


def store_matches(matches: Iterable[Match]) -> list[Match]:
    """Record matches and return those that are new; one that is known keeps its terms.

    A bot that was deleted since its matcher was made has none: its row is looked for, and kept from
    being deleted until the caller's transaction ends, or the page of all others would be lost.
    """
    by_key = {(match.bot_id, match.fullname): match for match in matches}
    if not by_key:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO scraping_botitem (bot_id, fullname, matched_terms, matched_at)
            SELECT bot_id, fullname, matched_terms, %s
            FROM unnest(%s::bigint[], %s::text[], %s::jsonb[]) AS m (bot_id, fullname, matched_terms)
            JOIN (SELECT id FROM bots_botconfig WHERE id = ANY(%s) ORDER BY id FOR KEY SHARE) AS b
              ON b.id = m.bot_id
            ON CONFLICT (bot_id, fullname) DO NOTHING
            RETURNING bot_id, fullname
            """,
            [
                timezone.now(),
                [match.bot_id for match in by_key.values()],
                [match.fullname for match in by_key.values()],
                [json.dumps(match.terms) for match in by_key.values()],
                list({match.bot_id for match in by_key.values()}),
            ],
        )
        return [by_key[key] for key in cursor.fetchall()]
