"""The one door to storage, whatever a listing, an answer or a dump brings.

In one transaction, items that are gone are purged, the others are stored and matched, the first checks of
new items are planned, and scores are noted. Listings, comment trees, rechecks and dumps differ in three
points only: Reddit's own word counts now, a dump's as of the time when it was read; the rows of a dump are
packed already; and the first checks of a dump's items are planned a little later.
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
    """What became of items: fullnames of those that are new and changed, and the new matches.

    `too_old` were not stored, as retention has deleted what is older than its border. `purged` were left
    out because a receipt says that they were purged.
    """

    new: set[str] = field(default_factory=set)
    updated: set[str] = field(default_factory=set)
    too_old: set[str] = field(default_factory=set)
    purged: set[str] = field(default_factory=set)
    unchanged: int = 0
    matches: list[Match] = field(default_factory=list)

    def add(self, result: IngestResult) -> None:
        """Count what was stored of one kind."""
        self.new |= result.new
        self.updated |= result.updated
        self.too_old |= result.too_old
        self.unchanged += result.unchanged


def take_in(
    items: Iterable[ParsedItem], *, now: datetime | None = None, bot_id: int | None = None
) -> Taken:
    """Store what Reddit has just told, in one transaction.

    New and changed items are matched for every bot that watches their subreddits; the others only for the
    bot `bot_id`, which may be new to them. A changed item that a bot no longer wants loses its match.
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
    """Store what a batch of lines of a dump tells, in one transaction; leaves purged items out of them.

    It is quicker not to look for stored items of the tables in `presume_new` first.
    """
    now = now or timezone.now()
    taken = Taken()
    with transaction.atomic():
        taken.purged = purged_fullnames([*posts.fullnames, *comments.fullnames])
        for table, items in ((POSTS, posts), (COMMENTS, comments)):
            items.leave_out(taken.purged)
            _forget_authors(table, items, now=now)
            stored = ingest_dumped(table, items, now=now, presume_new=table in presume_new)
            # New ones among them are stored empty.
            held = {name: gone for name, gone in items.gone.items() if name not in stored.new}
            if held:
                deletion.purge_dumped(table.model, held, now=now)
            # New items are enrolled by `scraping.check_items`, within minutes. They are due whenever the
            # budget allows, and planning them here would take a quarter of the speed of an import.
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
    """Purge authors of stored items whose accounts the dump shows as deleted."""
    deleted = {
        name: DeletionReceipt.Reason.ACCOUNT
        for name, reason in items.authorless.items()
        if reason == emptying.ACCOUNT
    }
    if deleted:
        deletion.forget_authors(table.model, deleted, now=now)


def _watched(items: PackedItems, stored: IngestResult, fleets: Mapping[str, Fleet]) -> set[str]:
    """Return the new and changed items whose subreddits a bot watches, but for those that are gone."""
    if not fleets:
        return set()
    touched = (stored.new | stored.updated) - items.gone.keys()
    return {
        fullname
        for fullname, subreddit in zip(items.fullnames, items.subreddits, strict=True)
        if fullname in touched and subreddit is not None and subreddit.lower() in fleets
    }


def _end_matches(changed: Collection[str], found: Iterable[Match]) -> None:
    """End the matches of changed items with bots that do not want them any more."""
    if not changed:
        return
    wanted = {(match.bot_id, match.fullname) for match in found}
    doubtful = matching.watched_matches(changed) - wanted
    if not doubtful:
        return
    # An answer may lack a text: what is stored decides. Purged items keep their matches, without terms.
    names = {fullname for _, fullname in doubtful}
    still = {(match.bot_id, match.fullname) for match in matching.find_stored(names)}
    standing = matching.standing(names)
    matching.end_matches({pair for pair in doubtful - still if pair[1] in standing})
