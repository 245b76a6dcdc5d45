"""The subreddits of a generated world, and how busy each subreddit is."""

from collections.abc import Iterator
from hashlib import blake2b
from random import Random

from .model import Subreddit, base36

MOST_SUBREDDITS = 1000
"""Ids reserve ten bits for the subreddit (see `ids`)."""

# Name, share of the traffic, languages, flairs, busiest hour (UTC), stickied posts, status.
_NAMED: tuple[tuple[str, float, str, str, int, int, str], ...] = (
    ("AskScience", 9.0, "en", "Physics|Biology|Earth Sciences|Medicine", 19, 1, "ok"),
    ("python", 7.0, "en", "News|Tutorial|Showcase|Discussion", 16, 2, "ok"),
    ("WorldNewsDesk", 12.0, "en en en es fr", "Analysis|Live|Opinion", 17, 1, "ok"),
    ("berlin", 4.0, "de de en tr", "Frage|Nachrichten|Tratsch", 18, 1, "ok"),
    ("france", 5.0, "fr fr fr en", "Société|Culture|Humour", 19, 0, "ok"),
    ("Polska", 2.5, "pl pl en", "Pytanie|Wiadomości", 18, 0, "ok"),
    ("espanol", 2.0, "es", "Pregunta|Noticias", 22, 0, "ok"),
    ("Pikabu_reads", 3.0, "ru ru en", "История|Вопрос", 16, 0, "ok"),
    ("arabs", 1.2, "ar ar en", "سؤال|نقاش", 18, 0, "ok"),
    ("hebrew", 0.5, "he he en", "", 17, 0, "ok"),
    ("Hindi", 0.8, "hi hi en", "प्रश्न|समाचार", 15, 0, "ok"),
    ("ChineseLanguage", 1.0, "zh en", "Grammar|Vocabulary", 13, 1, "ok"),
    ("newsokunomoral", 1.5, "ja", "", 12, 0, "ok"),
    ("hanguk", 1.0, "ko", "질문|잡담", 12, 0, "ok"),
    ("gardening", 2.2, "en", "Help|Harvest", 20, 0, "ok"),
    ("SlowCooking", 1.4, "en", "Recipe|Question", 21, 0, "ok"),
    ("DataHoarding", 1.1, "en", "Backup|Guide|Sale", 18, 2, "ok"),
    ("nightphotography", 0.7, "en", "", 23, 0, "ok"),
    ("typography_nerds", 0.25, "en de", "", 15, 0, "ok"),
    ("tiny_harbour", 0.05, "en", "", 12, 0, "ok"),
    ("TeamBackroom", 0.6, "en", "", 16, 0, "private"),
    ("ForbiddenFarm", 0.6, "en", "", 16, 0, "banned"),
    ("FringeTheories", 0.9, "en", "", 2, 0, "quarantined"),
    ("HarshFootage", 0.7, "en", "", 3, 0, "gated"),
)
NAMED_SHARE = sum(entry[1] for entry in _NAMED)
_EXTRA = (
    "amber",
    "basalt",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "granite",
    "heron",
    "indigo",
    "juniper",
)
_TOPICS = (
    "maps",
    "radio",
    "trains",
    "poetry",
    "chess",
    "baking",
    "linux",
    "birds",
    "films",
    "clocks",
)


def stable_seed(*parts: object) -> int:
    """Return a number that depends only on the parts, in every process."""
    text = "\x00".join(str(part) for part in parts)
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def _extra(number: int) -> tuple[str, float, str, str, int, int, str]:
    block, rest = divmod(number, len(_EXTRA) * len(_TOPICS))
    name = f"{_EXTRA[rest % len(_EXTRA)]}_{_TOPICS[rest // len(_EXTRA)]}"
    suffix = str(block + 1) if block else ""
    languages = ("en", "en", "en de", "en fr", "es en", "ru", "en ja")[number % 7]
    # Traffic falls with rank: a few big subreddits, and a long tail of quiet subreddits.
    share = 9.0 / (1 + number) ** 0.7
    return (name + suffix, share, languages, "", number % 24, 0, "ok")


def _entries(count: int) -> Iterator[tuple[str, float, str, str, int, int, str]]:
    for position in range(count):
        yield _NAMED[position] if position < len(_NAMED) else _extra(position - len(_NAMED))


def roster(
    *, seed: int, count: int, posts_per_hour: float, comments_per_post: float, epoch: float
) -> list[Subreddit]:
    """Return ``count`` subreddits whose posts per hour average ``posts_per_hour``, heavy-tailed.

    The first 24 subreddits have fixed names, and four of these subreddits are not open to readers.
    """
    entries = list(_entries(count))
    total = sum(entry[1] for entry in entries)
    made = []
    for index, (name, share, languages, flairs, hour, stickied, status) in enumerate(entries):
        rng = Random(stable_seed(seed, "subreddit", name))  # noqa: S311
        rate = posts_per_hour * count * share / total
        made.append(
            Subreddit(
                name=name,
                index=index,
                id=base36(36**4 * 3 + index * 7919 + rng.randrange(7919)),
                status=status,
                title=f"{name}: a community",
                created=float(int(epoch - rng.uniform(1, 15) * 365 * 86400)),
                subscribers=int(rate * rng.uniform(2_000, 9_000)) + rng.randrange(10, 400),
                over_18=status == "gated",
                languages=tuple(languages.split()),
                flairs=tuple(filter(None, flairs.split("|"))),
                posts_per_hour=rate,
                comments_per_post=comments_per_post * rng.uniform(0.6, 1.4),
                busiest_hour=hour,
                hide_scores=rng.random() < 0.6,
                stickied=stickied,
            )
        )
    return made
