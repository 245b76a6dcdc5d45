"""1,000 bots with 20 terms each over 10,000 items, on one core.

All bots watch one subreddit, which is the hardest case. Texts and terms are generated, the same
each time. The words have a skewed distribution and six scripts; the texts are as long as Reddit's,
most of them short and some very long. The terms are such as people write: words, phrases, parts of
words, and one pattern in twenty. `match_seconds` is the time for the 10,000 items with everything
compiled, and `match_compile_seconds` the cost of compiling these bots once in a process.
`match_vs_simple` is how many times faster this is than testing each bot's terms one after the
other, on a sample in which both must find the same. With REDDIT_REFERENCE, `match_recorded_seconds`
is the time for 10,000 recorded posts.
"""

import gzip
import json
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import _database  # noqa: F401  (sets the settings)

BOTS = 1_000
TERMS = 20
ITEMS = 10_000
SAMPLE = 10

SYLLABLES = {
    "english": "ka ro mi ten dal sor ve lun pra sto ber gi nox ul ap en tra fi con de re mo sa ly",
    "french": "ka ro mi ten dal sor vé lun pra sto bèr gi nox ul ap en tra fi çon de ré mo sa ly",
    "cyrillic": "ка ро ми тен дал сор вё лю пра сто бер ги нок ул ап ен тра фи",  # noqa: RUF001
    "greek": "κα ρο μι τεν δαλ σορ βέ λυ πρα στο μπερ γη",  # noqa: RUF001
    "arabic": "كا رو مي تن دل سور في لو بر ست بي جي",
    "hindi": "का रो मि तेन दल सोर वे लू प्र स्तो बे गी",
    "chinese": "的 一 是 不 了 人 我 在 有 他 这 中 大 来 上 国 个 到 说 们 为 子 和 你 地 出 道 也",
}
# How many texts in a hundred are in each language.
WEIGHTS = {
    "english": 70,
    "french": 10,
    "cyrillic": 6,
    "greek": 2,
    "arabic": 3,
    "hindi": 4,
    "chinese": 5,
}
PATTERNS = (r"re:\b{}\w*", r"re:{}\s+\w+\s+{}", r"re:^{}", r"re:{}|{}", r"re:v?\d+\.\d+ {}")


class _Language:
    def __init__(self, script: str, random_: random.Random) -> None:
        longest = 2 if script == "chinese" else 4
        syllables = SYLLABLES[script].split()
        words = dict.fromkeys(
            "".join(random_.choices(syllables, k=random_.randint(1, longest)))
            for _ in range(30_000)
        )
        self.words = list(words)
        self._space = "" if script == "chinese" else " "
        self._weights = [0.0]
        for rank in range(1, len(self.words) + 1):
            self._weights.append(self._weights[-1] + 1 / rank)
        del self._weights[0]
        self._random = random_

    def text(self, words: int) -> str:
        """Return so many words, common ones most often; some with a capital, a number or a full stop."""
        chosen = self._random.choices(self.words, cum_weights=self._weights, k=words)
        for index in range(0, words, 9):
            chosen[index] = chosen[index].capitalize() + self._random.choice(
                ["", ",", ".", " 3.11"]
            )
        return self._space.join(chosen)

    def term(self) -> str:
        """Return a word that is not among the most common, or two or three words."""
        draw = self._random.random()
        if draw < 0.75:
            return self._random.choice(self.words[50:])
        return self.text(2 if draw < 0.9 else 3)


def _generated() -> tuple[list[Any], list[Any]]:
    from bots.models import BotConfig
    from scraping.reddit.parse import parse_post

    random_ = random.Random(1)
    languages = {script: _Language(script, random_) for script in SYLLABLES}
    scripts, weights = list(WEIGHTS), list(WEIGHTS.values())
    bots = []
    for number in range(BOTS):
        language = languages[random_.choices(scripts, weights)[0]]
        terms = [language.term() for _ in range(TERMS)]
        shape = random_.choice(PATTERNS)
        terms[0] = shape.format(*random_.sample(language.words[50:], shape.count("{}")))
        excluded = random_.randint(0, 4)
        bots.append(
            BotConfig(
                pk=number + 1,
                subreddits=["python"],
                include_terms=terms[excluded:],
                exclude_terms=terms[:excluded],
                whole_words=random_.random() < 0.8,
                case_sensitive=random_.random() < 0.1,
                match_in=random_.choices(
                    [["title", "body"], ["title"], ["title", "body", "flair"]]
                )[0],
            )
        )
    items = []
    for number in range(ITEMS):
        language = languages[random_.choices(scripts, weights)[0]]
        length = min(6_000, int(random_.lognormvariate(3.6, 1.1)))
        items.append(
            parse_post(
                {
                    "id": f"a{number}",
                    "name": f"t3_a{number}",
                    "subreddit": "python",
                    "created_utc": 1_768_478_400 + number,
                    "author": "someone",
                    "title": language.text(random_.randint(4, 16)),
                    "selftext": language.text(length) if random_.random() < 0.7 else "",
                    "link_flair_text": "Discussion",
                    "url": f"https://example.org/{number}",
                }
            )
        )
    return bots, items


def _recorded() -> list[Any]:
    """Return up to 10,000 recorded posts; none without recordings."""
    from scraping.reddit.parse import parse_post

    folder = os.environ.get("REDDIT_REFERENCE")
    items: list[Any] = []
    for line in _lines(Path(folder)) if folder else ():
        data = json.loads(line)
        data = data.get("data", data)
        if isinstance(data, dict) and "title" in data and "created_utc" in data:
            items.append(parse_post(data))
            if len(items) == ITEMS:
                break
    return items


def _lines(folder: Path) -> Iterator[str]:
    for path in sorted([*folder.rglob("*.ndjson"), *folder.rglob("*.ndjson.gz")]):
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as stream:
            yield from stream


def _seconds(matcher: Any, items: list[Any]) -> tuple[float, int]:
    began = time.process_time()
    found = sum(len(matcher.match(item)) for item in items)
    return time.process_time() - began, found


def run() -> dict[str, float]:
    """Measure the processor time of this process, which waits for nothing."""
    import django

    django.setup()
    from scraping.matching import Fleet
    from tests.scraping import simple_matcher

    bots, items = _generated()
    began = time.process_time()
    fleet = Fleet(bots)
    _seconds(fleet, items[:200])  # patterns are compiled when they first meet texts
    compiled = time.process_time() - began
    seconds, found = _seconds(fleet, items)

    sample = items[:: ITEMS // SAMPLE]
    began = time.process_time()
    expected = [simple_matcher.matches(bots, item) for item in sample]
    simple = time.process_time() - began
    for item, matches in zip(sample, expected, strict=True):
        if sorted(fleet.match(item), key=lambda match: match.bot_id) != matches:
            message = f"{item.fullname}: the fast way and the simple one disagree"
            raise RuntimeError(message)
    if not any(expected):
        raise RuntimeError("Nothing matches: this measures nothing.")
    fast, _ = _seconds(fleet, sample)
    numbers = {
        "match_seconds": seconds,
        "match_compile_seconds": compiled,
        "match_vs_simple": simple / fast,
        "match_matches_per_item": found / len(items),
    }
    if recorded := _recorded():
        numbers["match_recorded_seconds"] = _seconds(fleet, recorded)[0]
    return numbers
