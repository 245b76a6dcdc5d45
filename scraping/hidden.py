"""Members that a merged listing hid in mid-walk: closed, or closed and opened, while it was read.

Reddit says nothing of it, and by the walk's end they may be open again. What tells is what a walk
should have shown: items that are stored, or, of a busy subreddit, any at all on a whole page.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from django.db.models import Min

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
    if result.total.oldest is None or not streams:
        return set()
    lowest: dict[int, datetime | None] = {}
    names: dict[int, str] = {}
    for stream in streams:
        name = stream.subreddit.name
        # Below a member's cap, nothing of it is to be expected.
        if not result.reached_cap(name):
            seen = result.by_subreddit.get(name.lower())
            lowest[stream.subreddit.pk] = seen.oldest if seen else None
            names[stream.subreddit.pk] = name
    stored = item_model(streams[0].kind).objects.filter(
        subreddit__in=names, created_at__gt=result.total.oldest, removal=""
    )
    oldest = (
        stored.exclude(stickied=True).order_by().values("subreddit").annotate(at=Min("created_at"))
    )
    return {
        names[key]
        for key, at in oldest.values_list("subreddit", "at")
        if (shown := lowest[key]) is None or at < shown
    }


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
