"""Which items are what a bot looks for. Every pattern runs on RE2: none can hang."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import re2
from django.db import connection
from django.utils import timezone

from bots.models import BotConfig
from bots.validation import PATTERN_PREFIX, compile_pattern
from scraping.reddit.parse import ParsedItem

# RE2's \b knows ASCII words only; this is the edge of a word in any script.
WORD_EDGE = r"(?:^|$|[^\pL\pM\pN_])"

# Where each place to look in stands in a parsed post or comment.
PLACES = {
    BotConfig.MatchIn.TITLE: ("title",),
    BotConfig.MatchIn.BODY: ("selftext", "body"),
    BotConfig.MatchIn.URL: ("url",),
    BotConfig.MatchIn.AUTHOR: ("author",),
    BotConfig.MatchIn.FLAIR: ("link_flair_text", "author_flair_text"),
}


@dataclass(frozen=True)
class Match:
    """An item that a bot wants, with the terms that say so."""

    bot_id: int
    fullname: str
    terms: list[str]


class Matcher:
    """A bot's terms, compiled."""

    def __init__(self, bot: BotConfig) -> None:
        self.bot_id = bot.pk
        self.subreddits = frozenset(name.lower() for name in bot.subreddits)
        self._attributes = [name for place in bot.match_in for name in PLACES[place]]
        self._include = [(term, _compile(term, bot)) for term in bot.include_terms]
        self._exclude = [_compile(term, bot) for term in bot.exclude_terms]

    def match(self, item: ParsedItem) -> Match | None:
        """Return the match, or None for an item that the bot does not want."""
        if item.subreddit is None or item.subreddit.lower() not in self.subreddits:
            return None
        texts = [text for name in self._attributes if (text := getattr(item, name, None))]
        if any(pattern.search(text) for pattern in self._exclude for text in texts):
            return None
        terms = [
            term for term, pattern in self._include if any(pattern.search(text) for text in texts)
        ]
        if self._include and not terms:
            return None
        return Match(self.bot_id, item.fullname, terms)


def matchers_for(subreddits: Iterable[str]) -> list[Matcher]:
    """Return the matchers of all active bots that watch any of these subreddits."""
    names = [name.lower() for name in subreddits]
    watching = BotConfig.objects.filter(is_active=True).extra(
        where=["lower(subreddits::text)::text[] && %s::text[]"], params=[names]
    )
    return [Matcher(bot) for bot in watching]


def store_matches(matches: Iterable[Match]) -> list[Match]:
    """Record matches and return those that are new.

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


def _compile(term: str, bot: BotConfig) -> Any:
    if term.startswith(PATTERN_PREFIX):
        pattern = term.removeprefix(PATTERN_PREFIX)
    else:
        pattern = re2.escape(term)
        if bot.whole_words:
            pattern = f"{WORD_EDGE}{pattern}{WORD_EDGE}"
    return compile_pattern(pattern, case_sensitive=bot.case_sensitive)
