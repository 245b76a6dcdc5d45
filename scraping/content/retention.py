"""Retention: delete sessions and content when their time is over, in small batches.

A batch is one short transaction and takes only rows that nobody else holds. So collection waits for one
batch at most, and autovacuum is never held up. Rows that refer to an item are deleted with it: Django's
cascades delete rows with a foreign key, and `DEPENDENTS` lists rows that know the item by its fullname.

The age of an item counts from when it was written. For an item that is known only from a dump, it
counts from the import if the import was later. Each subreddit remembers its border, the moment before
which retention has deleted its items. Items older than the border are not stored again, even if Reddit
lists them: a listing of a quiet subreddit reaches back for years.
"""

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import connection, models, transaction
from django.db.models import Q
from django.utils import timezone

from bots.models import BotConfig
from jobs.runs import cancellation
from scraping.models import Gap, RedditComment, RedditPost, ScrapeSession, Stream, Subreddit
from scraping.models.content import Content

BATCH_SIZE = 1_000
# After each batch, the database rests for as long as the batch took, but at most this many seconds.
LONGEST_REST = 0.5
# A younger match without an item may belong to a page that is being stored.
ORPHAN_AGE = timedelta(days=1)

CONTENT: tuple[type[Content], ...] = (RedditPost, RedditComment)
# Models that refer to items by fullname, without a foreign key: model and column. Their rows are
# deleted with the item.
DEPENDENTS = (
    ("BotItem", "fullname"),
    ("CommentThread", "fullname"),
    ("ItemCheck", "fullname"),
    ("PostScore", "post_id"),
)
# Models that also refer to items by fullname, but whose rows stay true without the item.
KEPT = (
    ("RedditPost", "fullname"),
    ("RedditPost", "author_fullname"),
    ("RedditComment", "fullname"),
    ("RedditComment", "author_fullname"),
    ("RedditComment", "link_fullname"),
    ("RedditComment", "parent_fullname"),
    ("DeletionReceipt", "fullname"),
)

ORPHANS = """
WITH slice AS (
    SELECT id, fullname, matched_at FROM scraping_botitem WHERE id > %s ORDER BY id LIMIT %s
)
SELECT (SELECT max(id) FROM slice), array(
    SELECT id FROM slice WHERE matched_at < %s
      AND NOT EXISTS (SELECT 1 FROM scraping_redditpost p WHERE p.fullname = slice.fullname)
      AND NOT EXISTS (SELECT 1 FROM scraping_redditcomment c WHERE c.fullname = slice.fullname))
"""

OPEN = (ScrapeSession.Status.QUEUED, ScrapeSession.Status.RUNNING)


@dataclass
class Deleted:
    """Numbers of deleted rows: content, and the other rows deleted with it."""

    posts: int = 0
    comments: int = 0
    others: int = 0


def delete_old_sessions(*, now: datetime | None = None, batch_size: int = BATCH_SIZE) -> int:
    """Delete ended sessions that were requested more than SESSION_RETENTION_DAYS ago.

    Returns how many sessions it deleted.
    """
    border = (now or timezone.now()) - timedelta(days=settings.SESSION_RETENTION_DAYS)
    old = ScrapeSession.objects.filter(queued_at__lt=border).exclude(status__in=OPEN)
    deleted = 0
    for count, _ in _batches(old, "queued_at", batch_size):
        deleted += count
    return deleted


def delete_old_content(*, now: datetime | None = None, batch_size: int = BATCH_SIZE) -> Deleted:
    """Delete posts and comments whose time is over, with all rows that refer to them.

    Content is kept for CONTENT_RETENTION_DAYS, or longer if a bot that watches the subreddit asks for
    more days. This may be stopped and started again at any moment.
    """
    now = now or timezone.now()
    deleted = Deleted()
    wishes = _wishes()
    usual = now - timedelta(days=settings.CONTENT_RETENTION_DAYS)
    for model in CONTENT:
        _delete_of(model, None, usual, batch_size, deleted)
    for subreddit in Subreddit.objects.order_by("pk").iterator():
        days = wishes.get(subreddit.name.lower(), settings.CONTENT_RETENTION_DAYS)
        border = now - timedelta(days=days)
        if _holds_older(subreddit, border):
            _remember(subreddit, border)
            for model in CONTENT:
                _delete_of(model, subreddit, border, batch_size, deleted)
        elif subreddit.content_since is not None and subreddit.content_since > border:
            # A bot now asks for a longer time: store older items again if Reddit still lists them.
            Subreddit.objects.filter(pk=subreddit.pk).update(content_since=border)
    deleted.others += _delete_orphans(now - ORPHAN_AGE, batch_size)
    return deleted


def too_old(rows: Collection[tuple[str, int | None, datetime]]) -> set[str]:
    """Return the fullnames of items that are older than the border of their subreddit.

    A row holds the fullname, the subreddit's id and when the item was written. This costs a query only
    if an item is older than CONTENT_RETENTION_DAYS.
    """
    usual = timezone.now() - timedelta(days=settings.CONTENT_RETENTION_DAYS)
    old = [row for row in rows if row[2] < usual]
    if not old:
        return set()
    borders = Subreddit.objects.filter(pk__in={subreddit for _, subreddit, _ in old}).values_list(
        "pk", "content_since"
    )
    since = {subreddit: border for subreddit, border in borders if border is not None}
    return {
        fullname
        for fullname, subreddit, written_at in old
        if subreddit in since and written_at < since[subreddit]
    }


def _wishes() -> dict[str, int]:
    """Return the longer retention that bots ask for: days, by lower-case name of the subreddit."""
    longest: dict[str, int] = {}
    wishing = BotConfig.objects.filter(retention_days__gt=settings.CONTENT_RETENTION_DAYS)
    for names, days in wishing.values_list("subreddits", "retention_days").iterator():
        for name in names:
            longest[name.lower()] = max(days or 0, longest.get(name.lower(), 0))
    return longest


def _old(
    model: type[Content], subreddit: Subreddit | None, border: datetime
) -> models.QuerySet[Content]:
    from_reddit, imported_before = Q(retrieved_at=None), Q(first_seen_at__lt=border)
    return model._default_manager.filter(
        from_reddit | imported_before, subreddit=subreddit, created_at__lt=border
    )


def _holds_older(subreddit: Subreddit, border: datetime) -> bool:
    return any(_old(model, subreddit, border).exists() for model in CONTENT)


def _remember(subreddit: Subreddit, border: datetime) -> None:
    """Move the subreddit's border, before its first item is deleted.

    From then on, nothing older counts as complete, and older items are not stored again.
    """
    with transaction.atomic():
        Subreddit.objects.filter(pk=subreddit.pk).update(content_since=border)
        Stream.objects.filter(subreddit=subreddit, complete_since__lt=border).update(
            complete_since=border
        )
        Gap.objects.filter(stream__subreddit=subreddit, closed_at=None, ends_at__lt=border).update(
            closed_at=timezone.now(), closed_by="retention: older than what is kept"
        )


def _delete_of(
    model: type[Content],
    subreddit: Subreddit | None,
    border: datetime,
    batch_size: int,
    deleted: Deleted,
) -> None:
    for count, others in _batches(_old(model, subreddit, border), "created_at", batch_size):
        deleted.posts += count if model is RedditPost else 0
        deleted.comments += count if model is RedditComment else 0
        deleted.others += others


def _batches(queryset: models.QuerySet[Any], by: str, batch_size: int) -> Iterator[tuple[int, int]]:
    """Delete the queryset's rows in batches, the oldest first.

    Yields for each batch how many of these rows and how many other rows it deleted. A batch begins
    where the previous batch ended, because the index before it is full of deleted rows. Rows that
    somebody else holds are left to the next run.
    """
    model = queryset.model
    is_content = issubclass(model, Content)
    rest = queryset.order_by(by)
    while True:
        began = time.monotonic()
        with transaction.atomic():
            rows = rest.select_for_update(skip_locked=True, of=("self",))
            found = list(rows.values_list("pk", by)[:batch_size])
            keys = [key for key, _ in found]
            others = _delete_dependents(keys) if is_content and keys else 0
            total, by_model = model.objects.filter(pk__in=keys).delete() if keys else (0, {})
        count = by_model.get(model._meta.label, 0)
        if keys:
            yield count, others + total - count
        if len(keys) < batch_size:
            return
        rest = queryset.order_by(by).filter(**{f"{by}__gte": found[-1][1]})
        cancellation.check()
        time.sleep(min(time.monotonic() - began, LONGEST_REST))


def _delete_dependents(fullnames: list[str]) -> int:
    deleted = 0
    for name, column in DEPENDENTS:
        dependents = apps.get_model("scraping", name)._default_manager
        deleted += dependents.filter(**{f"{column}__in": fullnames}).delete()[0]
    return deleted


def _delete_orphans(before: datetime, batch_size: int) -> int:
    """Delete matches whose item was deleted between being read and being matched."""
    deleted, last = 0, 0
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(ORPHANS, [last, batch_size, before])
            last, orphans = cursor.fetchone()
            if orphans:
                cursor.execute("DELETE FROM scraping_botitem WHERE id = ANY(%s)", [orphans])
                deleted += len(orphans)
        if last is None:
            return deleted
        cancellation.check()
