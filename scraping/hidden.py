"""Members that a merged listing hid in mid-walk: closed, or closed and opened, while it was read.

Reddit says nothing of it, and by the walk's end they may be open again. What tells is what a walk
should have shown: items that are stored, or, of a busy subreddit, any at all on a whole page.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from django.db import connection

from scraping.arrivals import Rates
from scraping.models import Stream, item_model
from scraping.walks import Walk

# By their rates, so many items were to be expected on a page that shows none: that is no chance.
EXPECTED = 20


def hidden(streams: Sequence[Stream], result: Walk) -> set[str]:
    """Names of those of which a merged walk hid something, as far as that can be told.

    Items may have been deleted one by one, too: who reads such a stream by itself knows.
    """
    if result.alone or result.total.oldest is None:
        return set()
    return unshown(streams, result) | absent(streams, result)


def unshown(streams: Sequence[Stream], result: Walk) -> set[str]:
    """Names of those with stored items in the walk's span, below all that it showed of them."""
    names = {stream.subreddit.pk: stream.subreddit.name for stream in streams}
    return {names[subreddit] for _, subreddit in _missed(streams, result)}


def evidence(streams: Sequence[Stream], result: Walk) -> list[str]:
    """Fullnames of these items; to be looked up, as they may be gone one by one."""
    return [fullname for fullname, _ in _missed(streams, result)]


def _missed(streams: Sequence[Stream], result: Walk) -> list[tuple[str, int]]:
    if result.total.oldest is None or not streams:
        return []
    lowest: dict[int, datetime | None] = {}
    for stream in streams:
        name = stream.subreddit.name
        # Below a member's cap, nothing of it is to be expected.
        if not result.reached_cap(name):
            seen = result.by_subreddit.get(name.lower())
            lowest[stream.subreddit.pk] = seen.oldest if seen else None
    table = item_model(streams[0].kind)._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT i.fullname, i.subreddit_id
            FROM unnest(%s::bigint[], %s::timestamptz[]) AS s (id, shown_to)
            JOIN {table} i ON i.subreddit_id = s.id
            WHERE i.created_at > %s AND i.created_at < COALESCE(s.shown_to, 'infinity')
              AND i.removal = '' AND i.stickied IS NOT TRUE
            """,  # noqa: S608  (names of our own tables, no input)
            [list(lowest), list(lowest.values()), result.total.oldest],
        )
        return cursor.fetchall()


def absent(streams: Iterable[Stream], result: Walk) -> set[str]:
    """Names of busy ones that a whole page did not show, above the last that was seen of them."""
    return {
        stream.subreddit.name
        for stream in streams
        if stream.learned_hours and _is_absent(stream, result)
    }


def _is_absent(stream: Stream, result: Walk) -> bool:
    name, rates = stream.subreddit.name, Rates.of(stream)
    seen = result.by_subreddit.get(name.lower())
    ends = seen.oldest if seen and result.reached_cap(name) else None
    return any(
        rates.expected(page.oldest, page.newest) >= EXPECTED
        for page in result.pages
        if name.lower() not in page.names and (ends is None or page.newest > ends)
    )
