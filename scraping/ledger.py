"""What is known of each stream's completeness: watermarks moved, gaps written, states of subreddits."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q, Value
from django.db.models.functions import Coalesce, Greatest, Lower
from django.utils import timezone

from scraping.models import Gap, Stream, Subreddit
from scraping.walks import End, Walk

# A subreddit that cannot be read is asked about this often; a quiet one, whether it still can be.
PROBE_PAUSE = timedelta(hours=1)

GAP_REASONS = {
    End.ITEM_LIMIT: Gap.Reason.ITEM_LIMIT,
    End.BROKEN_LISTING: Gap.Reason.BROKEN_LISTING,
}


def record_walk(streams: Iterable[Stream], walk: Walk) -> list[Gap]:
    """Move the streams' watermarks to what a finished walk proved, and write what it left open."""
    gaps = []
    now = timezone.now()
    with transaction.atomic():
        # In one order: two bots may name the same subreddits in different ones.
        for stream in sorted(streams, key=lambda stream: stream.pk):
            gap = _gap(stream, walk)
            if gap:
                gaps.append(gap)
            changes: dict[str, object] = {"last_fetch_at": now}
            newest = walk.total.newest
            if newest:
                oldest = _reached(stream, walk)
                # In the statement, so that of two walks at once the further one stands.
                changes["watermark"] = Greatest(
                    Coalesce(F("watermark"), Value(newest)), Value(newest)
                )
                changes["complete_since"] = Coalesce(F("complete_since"), Value(oldest))
            Stream.objects.filter(pk=stream.pk).update(**changes)
        Gap.objects.bulk_create(gaps)
    return gaps


def _gap(stream: Stream, walk: Walk) -> Gap | None:
    """What lies between the stream's watermark and the oldest item of it that the walk reached."""
    cut_off = walk.reached_cap(stream.subreddit.name)
    if stream.watermark is None or (walk.end in (End.OVERLAP, End.LISTING_END) and not cut_off):
        return None
    reached = _reached(stream, walk)
    if reached is None or reached <= stream.watermark:
        return None
    return Gap(
        stream=stream,
        starts_at=stream.watermark,
        ends_at=reached,
        reason=Gap.Reason.LISTING_CAP if cut_off else GAP_REASONS[walk.end],
    )


def _reached(stream: Stream, walk: Walk) -> datetime | None:
    """How far back the walk has read this stream.

    Reddit cuts each member of a merged listing off by itself: below that point the others' items
    go on, and may well reach known ground, but prove nothing of this one.
    """
    name = stream.subreddit.name
    return walk.by_subreddit[name.lower()].oldest if walk.reached_cap(name) else walk.total.oldest


def record_status(name: str, status: str) -> None:
    """Remember whether a subreddit can be read, and since when that is so."""
    now = timezone.now()
    subreddit = Subreddit.objects.annotate(lower=Lower("name")).filter(lower=name.lower())
    subreddit.exclude(status=status).update(status=status, status_since=now, probed_at=now)
    subreddit.update(probed_at=now)


def record_readable(names: Iterable[str]) -> None:
    """Remember that these subreddits gave items: no probe is needed for that."""
    now = timezone.now()
    lower = [name.lower() for name in names]
    subreddits = Subreddit.objects.annotate(lower=Lower("name")).filter(lower__in=lower)
    subreddits.exclude(status=Subreddit.Status.OK).update(
        status=Subreddit.Status.OK, status_since=now
    )
    subreddits.filter(_probe_due(now)).update(probed_at=now)


def probe_is_due(subreddit: Subreddit) -> bool:
    """Whether it is time to ask Reddit about the subreddit."""
    return subreddit.probed_at is None or subreddit.probed_at < timezone.now() - PROBE_PAUSE


def _probe_due(now: datetime) -> Q:
    return Q(probed_at=None) | Q(probed_at__lt=now - PROBE_PAUSE)
