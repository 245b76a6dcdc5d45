"""Matching as one would explain it: each bot, each term, each text, one after the other.

What the fast way finds is compared with this.
"""

import unicodedata

from bots.validation import PATTERN_PREFIX, compile_pattern
from scraping.matching import Match
from scraping.matching.fleet import PLACES
from scraping.matching.text import SPACELESS


def matches(bots, item):
    """The matches of an item with bots that all watch its subreddit."""
    return [match for bot in bots if (match := match_of(bot, item))]


def match_of(bot, item):
    texts = [getattr(item, name, None) for place in bot.match_in for name in PLACES[place]]
    texts = [text for text in texts if text]
    if any(is_in(term, text, bot) for term in bot.exclude_terms for text in texts):
        return None
    found = [term for term in bot.include_terms if any(is_in(term, text, bot) for text in texts)]
    return Match(bot.pk, item.fullname, found) if found or not bot.include_terms else None


def is_in(term, text, bot):
    if term.startswith(PATTERN_PREFIX):
        pattern = unicodedata.normalize("NFC", term.removeprefix(PATTERN_PREFIX))
        compiled = compile_pattern(pattern, case_sensitive=bot.case_sensitive)
        return bool(compiled.search(unicodedata.normalize("NFC", text)))
    term, text = comparable(term, bot), comparable(text, bot)
    places = [i for i in range(len(text)) if text.startswith(term, i)]
    if not bot.whole_words:
        return bool(places)
    return any(begins_at(text, i) and ends_at(text, i + len(term)) for i in places)


def comparable(text, bot):
    if not bot.case_sensitive:
        text = unicodedata.normalize("NFD", text).casefold()
    return unicodedata.normalize("NFC", text)


def begins_at(text, position):
    """Whether a word may begin here: nothing, or no word, goes on before."""
    if position == 0 or kind(text[position - 1]) == "other":
        return True
    before, after = text[position - 1], text[position]
    return (is_spaceless(before) or is_spaceless(after)) and kind(after) != "mark"


def ends_at(text, position):
    """Whether a word may end here: nothing, or no word, goes on after."""
    if position == len(text) or kind(text[position]) == "other":
        return True
    before, after = text[position - 1], text[position]
    return (is_spaceless(before) or is_spaceless(after)) and kind(after) != "mark"


def kind(character):
    category = unicodedata.category(character)
    if category.startswith("M"):
        return "mark"
    return "letter" if category[0] in "LN" or character == "_" else "other"


def is_spaceless(character):
    return kind(character) != "other" and any(a <= ord(character) <= b for a, b in SPACELESS)
