"""Look for many terms in one text at a time.

Each distinct term is looked for once, however many bots have it, and most terms are never compared. A
phrase can only be in a text that has the phrase's rarest two words in a row. A part of a word can only
be in a text that has the part's rarest few characters. A look-up in a dictionary finds these
candidates, and only the candidates are compared exactly. Patterns run together, in sets of RE2's.
"""

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

import re2

from bots.models import BotConfig
from bots.validation import PATTERN_PREFIX, compile_pattern
from scraping.matching.text import (
    fold,
    has_spaceless_marks,
    is_mark,
    normalise,
    occurs_as_words,
    spaceless_runs,
    words,
)

logger = logging.getLogger(__name__)

# Patterns that run as one set. Larger sets need more memory than they save time.
SET_SIZE = 200
SET_MEMORY_BYTES = 64 << 20
# The empty pattern matches every text. If a set's answer lacks it, the set ran out of memory.
CANARY = ""
# Lengths of the runs of characters by which terms that are not words are found; a shorter term uses a
# shorter run.
GRAM_LENGTHS = (1, 2, 3)
# The number of words for which each index remembers the terms in them.
REMEMBERED_WORDS = 100_000
# Texts up to this length, such as flairs, recur often: the terms of this many texts are remembered.
SHORT_TEXT = 40
REMEMBERED_TEXTS = 2_000

Part = TypeVar("Part", bound=Any)
# A term to be compared: its text, its number, and whether it must be whole words.
Entry = tuple[str, int, bool]


@dataclass(frozen=True, slots=True)
class Term:
    """A term as it is looked for: a text in the form in which it is compared, or a pattern."""

    text: str
    case_sensitive: bool
    whole_words: bool = False
    is_pattern: bool = False

    @classmethod
    def of(cls, raw: str, bot: BotConfig) -> "Term":
        """Return a bot's term, read by the bot's settings."""
        if raw.startswith(PATTERN_PREFIX):
            pattern = normalise(raw.removeprefix(PATTERN_PREFIX))
            return cls(pattern, bot.case_sensitive, is_pattern=True)
        text = normalise(raw) if bot.case_sensitive else fold(raw)
        return cls(text, bot.case_sensitive, whole_words=bot.whole_words)


class TermIndex:
    """Terms by number, prepared for a search."""

    def __init__(self, terms: Mapping[int, Term]) -> None:
        plain = {number: term for number, term in terms.items() if not term.is_pattern}
        self._folded = _TextIndex(_where(plain, case_sensitive=False))
        self._exact = _TextIndex(_where(plain, case_sensitive=True))
        self._patterns = list(_pattern_sets({n: t for n, t in terms.items() if t.is_pattern}))
        self._short: dict[str, set[int]] = {}

    def find(self, text: str) -> Collection[int]:
        """Return the numbers of the terms that are in the text."""
        if len(text) > SHORT_TEXT:
            return self._find(text)
        found = self._short.get(text)
        if found is None:
            if len(self._short) == REMEMBERED_TEXTS:
                self._short.clear()
            found = self._short[text] = self._find(text)
        return found

    def _find(self, text: str) -> set[int]:
        found: set[int] = set()
        if self._folded:
            self._folded.find(fold(text), found)
        if self._exact or self._patterns:
            text = normalise(text)
            if self._exact:
                self._exact.find(text, found)
            if self._patterns:
                encoded = text.encode()
                for patterns in self._patterns:
                    patterns.find(encoded, found)
        return found


class _TextIndex:
    """Plain terms, found by a part that few of them have."""

    def __init__(self, terms: Mapping[int, Term]) -> None:
        # Terms of one whole word, by that word: the look-up is the proof.
        self._words: dict[str, list[tuple[str, int]]] = {}
        # Candidates that still have to be compared, by two successive words, or by their only word.
        self._pairs: dict[tuple[str, str], list[tuple[str, int]]] = {}
        self._lone: dict[str, list[tuple[str, int]]] = {}
        self._size = len(terms)
        phrases: list[tuple[int, Term, set[tuple[str, str]]]] = []
        within: list[tuple[int, Term, set[str]]] = []
        spaceless: list[tuple[int, Term, set[str]]] = []
        signs: list[tuple[int, Term, set[str]]] = []
        for number, term in terms.items():
            runs = words(term.text)
            if term.whole_words and runs == [term.text] and not is_mark(term.text[0]):
                self._words.setdefault(term.text, []).append((term.text, number))
            elif term.whole_words and len(runs) == 1:
                self._lone.setdefault(runs[0], []).append((term.text, number))
            elif term.whole_words and runs:
                phrases.append((number, term, set(pairwise(runs))))
            elif runs:
                # Whatever else the term has, some word of the text must contain its longest word.
                within.append((number, term, {max(runs, key=len)}))
            elif grams := _longest_grams(spaceless_runs(term.text)):
                spaceless.append((number, term, grams))
            elif term.text:
                signs.append((number, term, set(term.text) - {" "}))
        for number, term, anchor in _rarest(phrases):
            self._pairs.setdefault(anchor, []).append((term.text, number))
        self._within = _Words(within)
        self._spaceless = _Anchors(_rarest(spaceless))
        self._signs = _Anchors(_rarest(signs))

    def __len__(self) -> int:
        return self._size

    def find(self, text: str, found: set[int]) -> None:
        """Add the numbers of the terms that are in the text; the text is folded if the terms are."""
        runs = words(text)
        tokens = set(runs)
        candidates: list[tuple[str, int]] = []
        whole = self._words.keys() & tokens
        if whole and has_spaceless_marks(text):
            for token in whole:
                candidates += self._words[token]
        else:
            for token in whole:
                found.update([number for _, number in self._words[token]])
        for token in self._lone.keys() & tokens:
            candidates += self._lone[token]
        if self._pairs:
            for pair in self._pairs.keys() & set(pairwise(runs)):
                candidates += self._pairs[pair]
        for term, number in candidates:
            if occurs_as_words(term, text):
                found.add(number)
        compared = self._within.find(tokens, found)
        if self._spaceless:
            for run in spaceless_runs(text):
                compared += self._spaceless.find(run)
        if self._signs:
            compared += self._signs.find(text)
        for term, number, whole_words in compared:
            if term in text and (not whole_words or occurs_as_words(term, text)):
                found.add(number)


class _Anchors:
    """Terms by a run of characters that they contain."""

    def __init__(self, terms: Iterable[tuple[int, Term, str]]) -> None:
        self._by_length: dict[int, dict[str, list[Entry]]] = {}
        for number, term, anchor in terms:
            alike = self._by_length.setdefault(len(anchor), {})
            alike.setdefault(anchor, []).append((term.text, number, term.whole_words))

    def __bool__(self) -> bool:
        return bool(self._by_length)

    def find(self, text: str) -> list[Entry]:
        """Return the terms that may be in the text, because the text has their characters."""
        return [
            entry
            for length, anchors in self._by_length.items()
            for gram in anchors.keys() & _grams(text, length)
            for entry in anchors[gram]
        ]


class _Words:
    """Terms by a part of a word. Remembers the terms in each word, because texts repeat their words."""

    def __init__(self, terms: list[tuple[int, Term, set[str]]]) -> None:
        self._anchors = _Anchors(
            _rarest([(number, term, _longest_grams(runs)) for number, term, runs in terms])
        )
        # By word of a text: terms that the word contains, and terms whose longest word it contains.
        self._seen: set[str] = set()
        self._inside: dict[str, list[int]] = {}
        self._begun: dict[str, list[Entry]] = {}
        self._runs = {number: next(iter(runs)) for number, _, runs in terms}

    def find(self, tokens: set[str], found: set[int]) -> list[Entry]:
        """Add the numbers of terms that a word contains; return the terms that have to be compared."""
        if not self._anchors:
            return []
        unknown = tokens - self._seen
        if len(self._seen) + len(unknown) > REMEMBERED_WORDS:
            self._seen, self._inside, self._begun, unknown = set(), {}, {}, tokens
        for token in unknown:
            for entry in self._anchors.find(token):
                term, number, _ = entry
                run = self._runs[number]
                if run == term and run in token:
                    self._inside.setdefault(token, []).append(number)
                elif run in token:
                    self._begun.setdefault(token, []).append(entry)
        self._seen |= unknown
        for token in self._inside.keys() & tokens:
            found.update(self._inside[token])
        return [entry for token in self._begun.keys() & tokens for entry in self._begun[token]]


class _PatternSet:
    """Patterns that run over a text together."""

    def __init__(self, patterns: Mapping[int, Term], *, case_sensitive: bool) -> None:
        self._compiled = [
            (number, compile_pattern(term.text.encode(), case_sensitive=case_sensitive))
            for number, term in patterns.items()
        ]
        options = re2.Options()
        options.case_sensitive = case_sensitive
        options.max_mem = SET_MEMORY_BYTES
        options.log_errors = False
        self._set = re2.Set.SearchSet(options)
        for pattern in (CANARY, *(term.text for term in patterns.values())):
            self._set.Add(pattern)
        try:
            self._set.Compile()
        except re2.error:
            self._set = None  # the patterns are too large as one set

    def find(self, text: bytes, found: set[int]) -> None:
        """Add the numbers of the patterns that are found in the UTF-8 text."""
        indexes = self._set.Match(text) if self._set is not None else None
        if indexes is None or 0 not in indexes:
            # The set ran out of memory for this text and gives no answer, so each pattern runs on its
            # own.
            found.update(number for number, pattern in self._compiled if pattern.search(text))
            return
        found.update(self._compiled[index - 1][0] for index in indexes if index)


def _pattern_sets(patterns: Mapping[int, Term]) -> Iterator[_PatternSet]:
    for case_sensitive in (False, True):
        numbers = [
            number
            for number, term in _where(patterns, case_sensitive=case_sensitive).items()
            if _compiles(term)
        ]
        for start in range(0, len(numbers), SET_SIZE):
            chosen = {number: patterns[number] for number in numbers[start : start + SET_SIZE]}
            yield _PatternSet(chosen, case_sensitive=case_sensitive)


def _compiles(term: Term) -> bool:
    try:
        compile_pattern(term.text, case_sensitive=term.case_sensitive)
    except re2.error as error:
        # A bot's form refuses such a pattern. If it comes by another way, it must not stop other bots.
        logger.warning("The pattern %r matches nothing, it does not compile: %s", term.text, error)
        return False
    return True


def _where(terms: Mapping[int, Term], *, case_sensitive: bool) -> dict[int, Term]:
    return {n: term for n, term in terms.items() if term.case_sensitive == case_sensitive}


def _longest_grams(runs: Iterable[str]) -> set[str]:
    """Return all parts of the longest run, of the greatest length that fits; nothing without a run."""
    longest = max(runs, key=len, default="")
    fitting = [length for length in GRAM_LENGTHS if length <= len(longest)]
    return _grams(longest, fitting[-1]) if fitting else set()


def _grams(text: str, length: int) -> set[str]:
    if length == 1:
        return set(text)
    return {text[start : start + length] for start in range(len(text) - length + 1)}


def _rarest(
    terms: list[tuple[int, Term, set[Part]]],
) -> Iterator[tuple[int, Term, Part]]:
    """Yield each term with its part that the fewest terms have; of equal parts, the longest."""
    common = Counter(part for _, _, parts in terms for part in parts)
    for number, term, parts in terms:
        yield number, term, min(parts, key=lambda part: (common[part], -len(part), part))
