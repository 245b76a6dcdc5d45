"""The one door to storage, for items from listings, comment trees, rechecks and dumps.

One transaction purges the items that are gone, stores and matches the others, and plans first checks.
Items that Reddit itself shows and items of a dump differ in these points:

- Reddit's answers count as of now. A dump counts as of the time at which its items were retrieved.
- Scores enter the history only from Reddit's answers.
- Items older than the border of retention are not stored from Reddit's answers, but are from a dump.
- A dump is compared with the receipts, so that it brings no purged item back.
- The rows of a dump come packed, and the first checks of its new items are planned a little later.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from scraping import matching
from scraping.content import check_plan, deletion, emptying
from scraping.content.purges import purged_fullnames
from scraping.content.rows import PackedItems
from scraping.content.upsert import (
    COMMENTS,
    POSTS,
    IngestResult,
    Table,
    ingest_comments,
    ingest_dumped,
    ingest_posts,
)
from scraping.matching import Fleet, Match
from scraping.models import DeletionReceipt
from scraping.reddit.parse import ParsedComment, ParsedItem, ParsedPost


@dataclass
class Taken:
    """What became of items: the fullnames of new and changed items, and the new matches.

    Items in `too_old` were not stored, because they are older than the border of retention. Items in
    `purged` were left out, because a receipt says that they were purged.
    """

    new: set[str] = field(default_factory=set)
    updated: set[str] = field(default_factory=set)
    too_old: set[str] = field(default_factory=set)
    purged: set[str] = field(default_factory=set)
    unchanged: int = 0
    matches: list[Match] = field(default_factory=list)

    def add(self, result: IngestResult) -> None:
        """Add the result of storing items of one kind."""
        self.new |= result.new
        self.updated |= result.updated
        self.too_old |= result.too_old
        self.unchanged += result.unchanged


def take_in(
    items: Iterable[ParsedItem], *, now: datetime | None = None, bot_id: int | None = None
) -> Taken:
    """Store items that Reddit has just shown, in one transaction.

    New and changed items are matched for every bot that watches their subreddits. Unchanged items are
    matched only for the bot `bot_id`, which may not have seen them yet. A changed item that a bot no
    longer wants loses its match.
    """
    now = now or timezone.now()
    items = list(items)
    posts = [item for item in items if isinstance(item, ParsedPost)]
    comments = [item for item in items if isinstance(item, ParsedComment)]
    taken = Taken()
    with transaction.atomic():
        for table, stored in (
            (POSTS, ingest_posts(posts, now=now)),
            (COMMENTS, ingest_comments(comments, now=now)),
        ):
            taken.add(stored)
            check_plan.plan(table.model, stored.new | stored.updated, now=now)
        found = matching.find([item for item in items if item.fullname not in taken.too_old])
        taken.matches = matching.store_matches(
            (
                match
                for match in found
                if match.fullname in taken.new
                or match.fullname in taken.updated
                or match.bot_id == bot_id
            ),
            changed=taken.updated,
        )
        _end_matches(taken.updated, found)
    return taken


def take_in_dump(
    posts: PackedItems,
    comments: PackedItems,
    *,
    now: datetime | None = None,
    presume_new: Collection[Table] = (),
) -> Taken:
    """Store a batch of a dump's items in one transaction, and leave out those that were purged.

    For a table in `presume_new`, the batch is inserted without a look for stored items first. That is
    quicker when all items are new.
    """
    now = now or timezone.now()
    taken = Taken()
    with transaction.atomic():
        taken.purged = purged_fullnames([*posts.fullnames, *comments.fullnames])
        for table, items in ((POSTS, posts), (COMMENTS, comments)):
            items.leave_out(taken.purged)
            _forget_authors(table, items, now=now)
            stored = ingest_dumped(table, items, now=now, presume_new=table in presume_new)
            # Items that are gone and new are stored empty, so there is nothing to purge.
            held = {name: gone for name, gone in items.gone.items() if name not in stored.new}
            if held:
                deletion.purge_dumped(table.model, held, now=now)
            # `scraping.check_items` plans the checks of new items within minutes. Those checks are due
            # whenever the budget allows, and planning them here would slow an import by a quarter.
            check_plan.plan(table.model, stored.updated, now=now)
            taken.add(stored)
            fleets = matching.fleets_of(items.subreddit_fullnames)
            watched = _watched(items, stored, fleets)
            found = matching.find_stored(watched, fleets)
            changed = stored.updated & watched
            taken.matches += matching.store_matches(found, changed=changed)
            _end_matches(changed, found)
    return taken


def _forget_authors(table: Table, items: PackedItems, *, now: datetime) -> None:
    """Purge the authors of stored items if the dump shows their accounts as deleted."""
    deleted = {
        name: DeletionReceipt.Reason.ACCOUNT
        for name, reason in items.authorless.items()
        if reason == emptying.ACCOUNT
    }
    if deleted:
        deletion.forget_authors(table.model, deleted, now=now)


def _watched(items: PackedItems, stored: IngestResult, fleets: Mapping[str, Fleet]) -> set[str]:
    """Return the new and changed items in subreddits that a bot watches, without those that are gone."""
    if not fleets:
        return set()
    touched = (stored.new | stored.updated) - items.gone.keys()
    return {
        fullname
        for fullname, subreddit in zip(items.fullnames, items.subreddits, strict=True)
        if fullname in touched and subreddit is not None and subreddit.lower() in fleets
    }


def _end_matches(changed: Collection[str], found: Iterable[Match]) -> None:
    """End the matches of changed items with bots that no longer want them."""
    if not changed:
        return
    wanted = {(match.bot_id, match.fullname) for match in found}
    doubtful = matching.watched_matches(changed) - wanted
    if not doubtful:
        return
    # An answer may lack a text, so the stored text decides. Purged items keep their matches, without
    # terms.
    names = {fullname for _, fullname in doubtful}
    still = {(match.bot_id, match.fullname) for match in matching.find_stored(names)}
    standing = matching.standing(names)
    matching.end_matches({pair for pair in doubtful - still if pair[1] in standing})
