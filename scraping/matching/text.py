"""What text is to terms: how it is normalised, and where a word ends.

- Both sides are NFC, so that "é" is found however it was typed.
- Without case, both sides are folded as Unicode says for caseless matching (`str.casefold`): "STRASSE"
  finds "straße". Patterns are RE2's: they fold letter by letter, so that "ß" is no "ss" to them.
- A word is a run of letters, marks, digits and underscores. A whole-word term is found where no word
  goes on before or after it.
- Chinese, Japanese, Thai, Lao, Khmer and Burmese are written without spaces: nothing but a
  dictionary knows their words. Next to one of their characters, on either side of the edge, a term
  may begin and end, so that a whole-word "猫" is found in "日本語の猫です". It may not end before a
  mark, which belongs to the letter that it stands on.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache

# By blocks: `unicodedata` does not know scripts.
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
# Where there are letters and marks: the rest is unassigned or for private use.
WITH_LETTERS = (*range(0x40000), *range(0xE0000, 0xE0200))
# Most texts have no character beyond the first plane.
LOW_PLANE, HIGHEST = 0xFFFF, 0x10FFFF


def normalise(text: str) -> str:
    """The text in NFC."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def fold(text: str) -> str:
    """The text for caseless comparison, in NFC."""
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFD", text).casefold()
    return unicodedata.normalize("NFC", folded)


@cache
def is_word(character: str) -> bool:
    """Whether a word goes on with this character."""
    return character == "_" or unicodedata.category(character)[0] in "LMN"


@cache
def is_spaceless(character: str) -> bool:
    """Whether the character is of a script that is written without spaces between words."""
    code = ord(character)
    return is_word(character) and any(first <= code <= last for first, last in SPACELESS)


@cache
def is_mark(character: str) -> bool:
    """Whether the character stands on the one before it."""
    return unicodedata.category(character)[0] == "M"


def is_edge(before: str, after: str, outside: str) -> bool:
    """Whether a term may begin or end between these two characters; one of them is `outside` it."""
    if not is_word(outside):
        return True
    return (is_spaceless(before) or is_spaceless(after)) and not is_mark(after)


def occurs_as_words(term: str, text: str) -> bool:
    """Whether the term is found in the text with an edge of words on both sides."""
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
    """The runs of word characters of all scripts that separate words, in order.

    A whole-word term has the same runs, one after the other, wherever it is found.
    """
    if text.isascii():
        return _ASCII_WORDS.findall(text)
    # Python compares what no range of the low characters holds, each space, with every high range.
    highest = HIGHEST if _HIGH.search(text) else LOW_PLANE
    return _words_pattern(highest).findall(text)


def spaceless_runs(text: str) -> list[str]:
    """The runs of characters of the scripts that are written without spaces."""
    return [] if text.isascii() else _spaceless_pattern().findall(text)


def has_spaceless_marks(text: str) -> bool:
    """Whether a run of `words` may go on, as a word, with a mark of a script without spaces."""
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
    """The characters that belong, for use between brackets in a pattern."""
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
