"""Match stored items, when a bot has changed and on trial before a bot is saved. No API call."""

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

# Items that are read, matched and written at a time: transactions stay short beside collection.
BATCH = 1_000

# Seconds that `rematch` waits for transactions that store pages by the bot's previous terms.
WRITERS_SECONDS = 10

# The most items and seconds of a preview.
PREVIEW_ITEMS = 50_000
PREVIEW_SECONDS = 5.0
EXCERPT_LENGTH = 200

# `xmax` is zero for an inserted row.
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
    """The result of a re-match. `superseded`: the bot changed meanwhile, which requested another."""

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
    """The matches that a bot would have had among the stored items of some days."""

    days: int
    examined: int = 0
    matched: int = 0
    by_term: Counter[str] = field(default_factory=Counter)
    examples: list[Example] = field(default_factory=list)
    # Why some of the items were not examined; "" if all were.
    cut: str = ""


def find_stored(
    fullnames: Collection[str], fleets: Mapping[str, Fleet] | None = None
) -> list[Match]:
    """Return the matches of stored items with the active bots that watch their subreddits.

    `fleets` are these bots as `fleets_of` returns them, if the caller has them already. Items that are
    deleted or removed have no matches, because their texts are not what the author wrote.
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
    """Return the active bots among these whose matches with stored items can have changed."""
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

    A match ends if the item's text or subreddit does not fit the bot any more. Matches with items that
    are not stored any more stay as they are. All matches of an inactive bot stay as they are, too. Call
    this outside transactions.
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
    """Return what a bot would have matched among the stored items of the last days.

    The bot need not be saved. The subreddits take turns, each with its newest items first. So a preview
    that is cut short, after `item_limit` items or after `seconds`, still covers all subreddits.
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
    """Yield the stored items of a bot's subreddits, in batches, each subreddit's oldest first."""
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
    """Yield batches by time of writing; a batch begins where the previous batch ended, without OFFSET."""
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
    """Yield the stored items that the bot has matches with, in batches."""
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
    """Write a batch if the bot is unchanged. Whoever changes the bot meanwhile waits for the commit.

    Returns whether it was written.
    """
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
    """Wait for the transactions that run now: they may store items by the bot's previous terms."""
    if connection.in_atomic_block:
        return
    with connection.cursor() as cursor:
        # Take a transaction number: all transactions that write already have a lower number.
        cursor.execute("SELECT pg_current_xact_id()::text::bigint")
        (newest,) = cursor.fetchone()
        deadline = time.monotonic() + WRITERS_SECONDS
        while time.monotonic() < deadline:
            cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
            if cursor.fetchone()[0] >= newest:
                return
            time.sleep(0.05)
