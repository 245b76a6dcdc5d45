"""How terms see a text: how it is normalised, and where a word ends.

- Term and text are both NFC, so that "é" is found however it was typed.
- If case does not matter, both are folded by Unicode's caseless matching (`str.casefold`): "STRASSE"
  finds "straße". RE2 folds patterns letter by letter, so that "ß" does not match "ss" there.
- A word is a run of letters, marks, digits and underscores. A whole-word term is found only if no word
  continues before or after it.
- Chinese, Japanese, Thai, Lao, Khmer and Burmese are written without spaces, and only a
  dictionary knows their words. A term may begin and end next to a character of these scripts,
  on either side of the edge, so that a whole-word "猫" is found in "日本語の猫です". A term may not end
  before a mark, because the mark belongs to the letter before it.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache

# Listed as blocks, because `unicodedata` does not know scripts.
SPACELESS = (
    (0x0E01, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x19E0, 0x19FF),
    (0x2E80, 0x2FDF),  # Han radicals
    (0x3005, 0x3007),
    (0x3021, 0x3029),
    (0x3031, 0x303C),
    (0x3041, 0x30FF),  # Hiragana, Katakana
    (0x3105, 0x312F),  # Bopomofo
    (0x31A0, 0x31BF),
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),
    (0xA9E0, 0xA9FF),
    (0xAA60, 0xAA7F),
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9F),  # half-width Katakana
    (0x1AFF0, 0x1B16F),
    (0x20000, 0x3FFFF),
)
# Code points with letters and marks. The other code points are unassigned or for private use.
WITH_LETTERS = (*range(0x40000), *range(0xE0000, 0xE0200))
# Most texts have no character beyond the first plane.
LOW_PLANE, HIGHEST = 0xFFFF, 0x10FFFF


def normalise(text: str) -> str:
    """Return the text in NFC."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def fold(text: str) -> str:
    """Return the text for caseless comparison, in NFC."""
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFD", text).casefold()
    return unicodedata.normalize("NFC", folded)


@cache
def is_word(character: str) -> bool:
    """Whether the character is part of a word."""
    return character == "_" or unicodedata.category(character)[0] in "LMN"


@cache
def is_spaceless(character: str) -> bool:
    """Whether the character belongs to a script that is written without spaces between words."""
    code = ord(character)
    return is_word(character) and any(first <= code <= last for first, last in SPACELESS)


@cache
def is_mark(character: str) -> bool:
    """Whether the character is a mark on the character before it."""
    return unicodedata.category(character)[0] == "M"


def is_edge(before: str, after: str, outside: str) -> bool:
    """Whether a term may begin or end between these two characters; one of them is `outside` it."""
    if not is_word(outside):
        return True
    return (is_spaceless(before) or is_spaceless(after)) and not is_mark(after)


def occurs_as_words(term: str, text: str) -> bool:
    """Whether the text contains the term with an edge of a word on both sides."""
    start = text.find(term)
    while start >= 0:
        end = start + len(term)
        if (start == 0 or is_edge(text[start - 1], term[0], text[start - 1])) and (
            end == len(text) or is_edge(term[-1], text[end], text[end])
        ):
            return True
        start = text.find(term, start + 1)
    return False


def words(text: str) -> list[str]:
    """Return the runs of word characters of all scripts that separate words, in order.

    A text that contains a whole-word term contains the term's runs one after the other.
    """
    if text.isascii():
        return _ASCII_WORDS.findall(text)
    # For each character that no low range holds, such as a space, Python tries every high range. So
    # leave the high ranges out if the text has no high character.
    highest = HIGHEST if _HIGH.search(text) else LOW_PLANE
    return _words_pattern(highest).findall(text)


def spaceless_runs(text: str) -> list[str]:
    """Return the runs of characters of scripts that are written without spaces."""
    return [] if text.isascii() else _spaceless_pattern().findall(text)


def has_spaceless_marks(text: str) -> bool:
    """Whether a mark of a script without spaces may continue a run of `words` as the same word."""
    return not text.isascii() and _marks_pattern().search(text) is not None


_ASCII_WORDS = re.compile(r"\w+", re.ASCII)
_HIGH = re.compile(f"[{chr(LOW_PLANE + 1)}-{chr(HIGHEST)}]")


@cache
def _words_pattern(highest: int) -> re.Pattern[str]:
    def separates(character: str) -> bool:
        return ord(character) <= highest and is_word(character) and not is_spaceless(character)

    return re.compile(f"[{_ranges(separates)}]+")


@cache
def _spaceless_pattern() -> re.Pattern[str]:
    return re.compile(f"[{_ranges(is_spaceless)}]+")


@cache
def _marks_pattern() -> re.Pattern[str]:
    return re.compile(f"[{_ranges(lambda c: is_spaceless(c) and is_mark(c))}]")


def _ranges(belongs: Callable[[str], bool]) -> str:
    """Return the characters that belong, as ranges for use between brackets in a pattern."""
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in _spans(belongs))


def _spans(belongs: Callable[[str], bool]) -> Iterator[tuple[int, int]]:
    first = None
    last = 0
    for code in WITH_LETTERS:
        if first is not None and not (code == last + 1 and belongs(chr(code))):
            yield first, last
            first = None
        if first is None and belongs(chr(code)):
            first = code
        last = code
