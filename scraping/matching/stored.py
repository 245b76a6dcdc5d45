"""Matching what is stored: anew when a bot has changed, on trial before one is saved. No API call."""

import json
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from bots.models import MATCHING_FIELDS, BotConfig
from scraping.content import check_plan
from scraping.content.scores import state_of
from scraping.matching.fleet import Fleet, Match, fleets_of
from scraping.matching.store import end_matches
from scraping.models import BotItem, RedditComment, RedditPost

# Items read, matched and written at a time: short transactions, while collection goes on.
BATCH = 1_000

# Seconds that `rematch` waits for pages that are being stored by the terms of before.
WRITERS_SECONDS = 10

# What a preview reads at most, and for how many seconds.
PREVIEW_ITEMS = 50_000
PREVIEW_SECONDS = 5.0
EXCERPT_LENGTH = 200

# `xmax` is zero for a row that was not there before.
WRITE = f"""
    INSERT INTO scraping_botitem AS t (bot_id, fullname, matched_terms, matched_at, state)
    SELECT b.id, m.fullname, m.matched_terms, %(now)s, {state_of(bot="b", fullname="m.fullname")}
    FROM unnest(%(names)s::text[], %(terms)s::jsonb[]) AS m (fullname, matched_terms)
    JOIN bots_botconfig b ON b.id = %(bot)s
    ON CONFLICT (bot_id, fullname) DO UPDATE
        SET matched_terms = EXCLUDED.matched_terms, state = EXCLUDED.state
    WHERE (t.matched_terms, t.state) IS DISTINCT FROM (EXCLUDED.matched_terms, EXCLUDED.state)
    RETURNING xmax::text = '0'
"""  # noqa: S608  (no input)

Content = RedditPost | RedditComment
KINDS = (
    (
        RedditPost,
        ("title", "selftext", "url", "author", "link_flair_text", "author_flair_text"),
    ),
    (RedditComment, ("body", "author", "author_flair_text")),
)


@dataclass
class Rematched:
    """What a re-match did. `superseded`: the bot was changed meanwhile, which asked for another."""

    examined: int = 0
    added: int = 0
    changed: int = 0
    removed: int = 0
    superseded: bool = False


@dataclass(frozen=True)
class Example:
    """A stored item that a bot would match."""

    fullname: str
    subreddit: str
    created_at: Any
    excerpt: str
    permalink: str
    terms: list[str]


@dataclass
class Preview:
    """What a bot would have matched of the stored items of some days."""

    days: int
    examined: int = 0
    matched: int = 0
    by_term: Counter[str] = field(default_factory=Counter)
    examples: list[Example] = field(default_factory=list)
    # Why not all of those items were looked at; "" if they were.
    cut: str = ""


def find_stored(
    fullnames: Collection[str], fleets: Mapping[str, Fleet] | None = None
) -> list[Match]:
    """The matches of stored items with the active bots that watch their subreddits.

    `fleets` are these bots as `fleets_of` gives them, where the caller knows them already.
    Items that are deleted or removed have none: what is left of them is not what was written.
    """
    names = list(fullnames)
    found: list[Match] = []
    for start in range(0, len(names), BATCH):
        items = [
            item
            for model, fields in KINDS
            for item in model.objects.filter(pk__in=names[start : start + BATCH], removal="")
            .select_related("subreddit")
            .only("fullname", "subreddit__name", *fields)
            if item.subreddit is not None
        ]
        watching = fleets
        if watching is None:
            watching = fleets_of(item.subreddit.name for item in items if item.subreddit)
        for item in items:
            fleet = watching.get(item.subreddit.name.lower()) if item.subreddit else None
            if fleet is not None:
                found += fleet.match(item)
    return found


def standing(fullnames: Collection[str]) -> set[str]:
    """Return which of these items are stored and neither deleted nor removed."""
    return {
        name
        for model, _ in KINDS
        for name in model.objects.filter(pk__in=fullnames, removal="").values_list("pk", flat=True)
    }


def with_stored_items(bot_ids: Sequence[int]) -> list[int]:
    """Those of these bots whose matches with stored items can have changed: active, and not new."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT b.id FROM bots_botconfig b WHERE b.id = ANY(%s) AND b.is_active AND (
                EXISTS (SELECT FROM scraping_botitem i WHERE i.bot_id = b.id)
                OR EXISTS (SELECT FROM scraping_subreddit s
                           WHERE lower(s.name) IN (SELECT lower(n) FROM unnest(b.subreddits) n))
            ) ORDER BY b.id
            """,
            [list(bot_ids)],
        )
        return [bot_id for (bot_id,) in cursor.fetchall()]


def rematch(bot: BotConfig, *, batch_size: int = BATCH) -> Rematched:
    """Bring a bot's matches with stored items in line with its terms and subreddits, in batches.

    Items that do not match any more lose their mark, whether by their text or their subreddit; marks
    of items that are not stored any more are left alone. An inactive bot keeps what it has: it takes
    part in nothing. Call it outside transactions.
    """
    result = Rematched()
    if not bot.is_active:
        return result
    _await_writers()
    fleet = Fleet([bot])
    watched = {name.lower() for name in bot.subreddits}
    for marked in _marked(bot, batch_size):
        kept = {
            item.fullname: match
            for item in marked
            if item.subreddit is not None and item.subreddit.name.lower() in watched
            for match in fleet.match(item)
        }
        unmarked = [item.fullname for item in marked if item.fullname not in kept]
        if not _write(bot, result, matches=(), unmarked=unmarked):
            return result
    for items in _watched_items(bot, batch_size):
        matches = [match for item in items for match in fleet.match(item)]
        result.examined += len(items)
        if not _write(bot, result, matches=matches, unmarked=()):
            return result
    return result


def preview(
    bot: BotConfig,
    *,
    days: int = 30,
    examples: int = 5,
    item_limit: int = PREVIEW_ITEMS,
    seconds: float = PREVIEW_SECONDS,
) -> Preview:
    """What a bot, which need not be saved, would have matched of the last days' stored items.

    The newest of each subreddit come first, and the subreddits take turns, so that one that is cut
    short, after `item_limit` items or so many seconds, still speaks of all of them.
    """
    result = Preview(days)
    fleet = Fleet([bot])
    deadline = time.monotonic() + seconds
    since = timezone.now() - timedelta(days=days)
    streams = [
        _keyset(model, fields, {"subreddit": key, "created_at__gte": since}, BATCH, newest=True)
        for key in _subreddit_ids(bot)
        for model, fields in KINDS
    ]
    found: list[tuple[Content, Match]] = []
    while streams and not result.cut:
        for stream in list(streams):
            items = next(stream, None)
            if items is None:
                streams.remove(stream)
                continue
            for item in items[: item_limit - result.examined]:
                result.examined += 1
                for match in fleet.match(item):
                    result.matched += 1
                    result.by_term.update(match.terms)
                    found.append((item, match))
            found = sorted(found, key=lambda pair: pair[0].created_at, reverse=True)[:examples]
            if result.examined >= item_limit:
                result.cut = f"only the newest {item_limit:,} items were looked at"
            elif time.monotonic() > deadline:
                result.cut = f"only as many items were looked at as {seconds:g} seconds allow"
            if result.cut:
                break
    result.examples = [_example(item, match) for item, match in found]
    return result


def _example(item: Content, match: Match) -> Example:
    text = item.title if isinstance(item, RedditPost) else item.body
    return Example(
        fullname=item.fullname,
        subreddit=item.subreddit.name if item.subreddit is not None else "",
        created_at=item.created_at,
        excerpt=text if len(text) <= EXCERPT_LENGTH else f"{text[: EXCERPT_LENGTH - 1]}…",
        permalink=item.permalink or "",
        terms=match.terms,
    )


def _subreddit_ids(bot: BotConfig) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM scraping_subreddit WHERE lower(name) = ANY(%s) ORDER BY id",
            [[name.lower() for name in bot.subreddits]],
        )
        return [key for (key,) in cursor.fetchall()]


def _watched_items(bot: BotConfig, batch_size: int) -> Iterator[list[Content]]:
    """The stored items of a bot's subreddits, the oldest first."""
    for key in _subreddit_ids(bot):
        for model, fields in KINDS:
            yield from _keyset(model, fields, {"subreddit": key}, batch_size, newest=False)


def _keyset(
    model: type[Content],
    fields: Sequence[str],
    where: dict[str, Any],
    batch_size: int,
    *,
    newest: bool,
) -> Iterator[list[Content]]:
    """Batches by time of writing, each found by where the one before ended: no OFFSET, no cursor."""
    order, beyond, tied = ("-", "lte", "gte") if newest else ("", "gte", "lte")
    rows: QuerySet[Any] = (
        model.objects.filter(**where)
        .select_related("subreddit")
        .only("fullname", "created_at", "permalink", "subreddit__name", *fields)
        .order_by(f"{order}created_at", f"{order}fullname")
    )
    last = None
    while True:
        chosen = rows
        if last is not None:
            chosen = rows.filter(**{f"created_at__{beyond}": last.created_at}).exclude(
                created_at=last.created_at, **{f"fullname__{tied}": last.fullname}
            )
        batch = list(chosen[:batch_size])
        if batch:
            yield batch
            last = batch[-1]
        if len(batch) < batch_size:
            return


def _marked(bot: BotConfig, batch_size: int) -> Iterator[list[Content]]:
    """The stored items that the bot has marks on."""
    last = 0
    while True:
        marks = BotItem.objects.filter(bot=bot, pk__gt=last).order_by("pk")
        batch = list(marks.values_list("pk", "fullname")[:batch_size])
        if not batch:
            return
        names = [fullname for _, fullname in batch]
        yield [
            item
            for model, fields in KINDS
            for item in model.objects.filter(pk__in=names)
            .select_related("subreddit")
            .only("fullname", "subreddit__name", *fields)
        ]
        last = batch[-1][0]


def _write(
    bot: BotConfig, result: Rematched, *, matches: Sequence[Match], unmarked: Sequence[str]
) -> bool:
    """Write a batch, if the bot is still what it was; whoever changes it waits for the commit."""
    with transaction.atomic(), connection.cursor() as cursor:
        present = BotConfig.objects.filter(pk=bot.pk).values(*MATCHING_FIELDS)
        cursor.execute("SELECT 1 FROM bots_botconfig WHERE id = %s FOR SHARE", [bot.pk])
        if present.first() != {name: getattr(bot, name) for name in MATCHING_FIELDS}:
            result.superseded = True
            return False
        if unmarked:
            result.removed += end_matches([(bot.pk, fullname) for fullname in unmarked])
        if matches:
            parameters: dict[str, Any] = {
                "bot": bot.pk,
                "now": timezone.now(),
                "names": [match.fullname for match in matches],
                "terms": [json.dumps(match.terms) for match in matches],
                "decided": check_plan.decided_after(),
            }
            cursor.execute(WRITE, parameters)
            new = [is_new for (is_new,) in cursor.fetchall()]
            result.added += sum(new)
            result.changed += len(new) - sum(new)
    return True


def _await_writers() -> None:
    """Wait for the transactions that run now: they may store items by the terms of before."""
    if connection.in_atomic_block:
        return
    with connection.cursor() as cursor:
        # A number of our own: all that write already have a lower one.
        cursor.execute("SELECT pg_current_xact_id()::text::bigint")
        (newest,) = cursor.fetchone()
        deadline = time.monotonic() + WRITERS_SECONDS
        while time.monotonic() < deadline:
            cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
            if cursor.fetchone()[0] >= newest:
                return
            time.sleep(0.05)
