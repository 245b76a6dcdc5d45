"""Find the bots that want an item: one pass over its texts for all bots that watch its subreddit.

A process compiles the bots of a subreddit once and uses them until one of the bots changes.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from django.db import connection

from bots.models import BotConfig
from scraping.matching.terms import Term, TermIndex
from scraping.reddit.parse import ParsedItem

# The attributes of a post or comment, parsed or stored, for each place that a bot looks in.
PLACES = {
    BotConfig.MatchIn.TITLE: ("title",),
    BotConfig.MatchIn.BODY: ("selftext", "body"),
    BotConfig.MatchIn.URL: ("url",),
    BotConfig.MatchIn.AUTHOR: ("author",),
    BotConfig.MatchIn.FLAIR: ("link_flair_text", "author_flair_text"),
}

# The number of different sets of bots that a process keeps compiled.
KEPT_FLEETS = 64

VERSIONS = """
SELECT name, array_agg(id ORDER BY id),
       md5(string_agg(id || ' ' || extract(epoch FROM updated_at), ',' ORDER BY id))
FROM (
    SELECT DISTINCT b.id, b.updated_at, lower(s) AS name
    FROM bots_botconfig b, unnest(b.subreddits) s
    WHERE b.is_active AND lower(s) = ANY(%s)
) AS watching
GROUP BY name
"""


class Item(Protocol):
    """A post or comment, parsed or stored. Bots match it by the attributes in `PLACES`."""

    fullname: str


@dataclass(frozen=True, slots=True)
class Match:
    """An item that a bot wants, with the terms that were found."""

    bot_id: int
    fullname: str
    terms: list[str]


class Fleet:
    """The terms of some bots, compiled together. A fleet does not look at subreddits."""

    def __init__(self, bots: Iterable[BotConfig]) -> None:
        self._bot_ids: list[int] = []
        # For each bot: the places of each term's number in the bot's list, and the terms as they were
        # typed.
        self._include: list[dict[int, list[int]]] = []
        self._typed: list[list[str]] = []
        self._takes_all: list[int] = []
        # By place and term number: the bots (by position) that look for the term at this place.
        self._included: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        self._excluded: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        numbers: dict[Term, int] = {}
        for position, bot in enumerate(bots):
            self._add(position, bot, numbers)
        terms = dict(zip(numbers.values(), numbers, strict=True))
        indexes: dict[frozenset[int], TermIndex] = {}
        self._places: list[tuple[str, TermIndex, tuple[str, ...]]] = []
        for place, attributes in PLACES.items():
            used = frozenset(self._included[place]) | frozenset(self._excluded[place])
            if used and used not in indexes:
                indexes[used] = TermIndex({number: terms[number] for number in used})
            if used:
                self._places.append((place, indexes[used], attributes))

    def _add(self, position: int, bot: BotConfig, numbers: dict[Term, int]) -> None:
        def number(raw: str) -> int:
            return numbers.setdefault(Term.of(raw, bot), len(numbers))

        self._bot_ids.append(bot.pk)
        include: dict[int, list[int]] = {}
        for index, raw in enumerate(bot.include_terms):
            include.setdefault(number(raw), []).append(index)
        self._include.append(include)
        self._typed.append(bot.include_terms)
        if not bot.include_terms:
            self._takes_all.append(position)
        for place in set(bot.match_in):
            for found in include:
                self._included[place][found].append(position)
            for found in {number(raw) for raw in bot.exclude_terms}:
                self._excluded[place][found].append(position)

    def match(self, item: Item | ParsedItem) -> list[Match]:
        """Return the matches of all bots with one item."""
        hits: dict[int, set[int]] = {}
        spoilt: set[int] = set()
        for place, index, attributes in self._places:
            wanted, unwanted = self._included[place], self._excluded[place]
            for attribute in attributes:
                text = getattr(item, attribute, None)
                if not text:
                    continue
                for number in index.find(text):
                    for position in wanted.get(number, ()):
                        hits.setdefault(position, set()).add(number)
                    spoilt.update(unwanted.get(number, ()))
        matches = [
            Match(self._bot_ids[position], item.fullname, [])
            for position in self._takes_all
            if position not in spoilt
        ]
        for position, found in hits.items():
            if position not in spoilt:
                include, typed = self._include[position], self._typed[position]
                terms = [typed[index] for index in sorted(i for n in found for i in include[n])]
                matches.append(Match(self._bot_ids[position], item.fullname, terms))
        return matches


# Compiled fleets by version, the most recently used last.
_fleets: OrderedDict[str, Fleet] = OrderedDict()


def fleets_of(names: Iterable[str]) -> dict[str, Fleet]:
    """Return the active bots that watch subreddits, by the subreddit's name in lower case.

    One query tells whether the bots are still as they were compiled. If any process has saved one of
    the bots since, they are compiled anew. Subreddits that no bot watches are left out.
    """
    lower = {name.lower() for name in names}
    if not lower:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(VERSIONS, [sorted(lower)])
        return {name: _fleet(version, ids) for name, ids, version in cursor.fetchall()}


def find(items: Sequence[ParsedItem]) -> list[Match]:
    """Return the matches of items with the active bots that watch their subreddits."""
    fleets = fleets_of(item.subreddit for item in items if item.subreddit)
    found: list[Match] = []
    for item in items:
        fleet = fleets.get(item.subreddit.lower()) if item.subreddit else None
        if fleet is not None:
            found += fleet.match(item)
    return found


def _fleet(version: str, ids: list[int]) -> Fleet:
    fleet = _fleets.get(version)
    if fleet is None:
        fleet = _fleets[version] = Fleet(BotConfig.objects.filter(pk__in=ids))
        while len(_fleets) > KEPT_FLEETS:
            _fleets.popitem(last=False)
    _fleets.move_to_end(version)
    return fleet
