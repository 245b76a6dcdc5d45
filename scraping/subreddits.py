"""Rows for subreddits and their streams, found by name in any case."""

from collections.abc import Collection, Iterable, Mapping

from django.db import connection
from django.utils import timezone

from scraping.models import Stream, Subreddit


def ensure_subreddits(names: Mapping[str, str | None], *, refresh: bool = True) -> dict[str, int]:
    """Return the ids of subreddits by lower-case name, and create the missing rows.

    `names` maps each name to its fullname (t5_…), or to None if the fullname is unknown. A given
    fullname replaces the stored one, because a name can pass to another subreddit. Without `refresh`,
    a fullname is stored only where none is stored yet.
    """
    wanted = {name.lower(): (name, fullname) for name, fullname in names.items()}
    known = _known(list(wanted))
    stale = [
        pair
        for lower, pair in wanted.items()
        if lower not in known
        or (pair[1] and known[lower][1] != pair[1] and (refresh or known[lower][1] is None))
    ]
    ids = {lower: key for lower, (key, _) in known.items()}
    return ids | _upsert(stale) if stale else ids


def ensure_streams(names: Iterable[str], kind: str) -> list[Stream]:
    """Return the streams of these subreddits in the order of the names, and create the missing rows."""
    names = list(names)
    ids = ensure_subreddits(dict.fromkeys(names))
    Stream.objects.bulk_create(
        [Stream(subreddit_id=key, kind=kind) for key in sorted(ids.values())], ignore_conflicts=True
    )
    streams = Stream.objects.filter(subreddit__in=ids.values(), kind=kind)
    by_subreddit = {stream.subreddit_id: stream for stream in streams.select_related("subreddit")}
    return [by_subreddit[ids[name.lower()]] for name in names]


def find_streams(names: Iterable[str], kind: str) -> list[Stream]:
    """Return the streams of these subreddits in the order of the names; an unknown stream is unsaved."""
    names = list(names)
    known = Stream.objects.named(names).filter(kind=kind).select_related("subreddit")
    by_name = {stream.subreddit.name.lower(): stream for stream in known}
    return [
        by_name.get(name.lower()) or Stream(subreddit=Subreddit(name=name), kind=kind)
        for name in names
    ]


def read_again(streams: Iterable[Stream]) -> dict[int, Stream]:
    """Return these streams as they stand now, by id; a deleted stream is missing."""
    keys = [stream.pk for stream in streams]
    return Stream.objects.select_related("subreddit").in_bulk(keys) if keys else {}


def riders(names: Collection[str], kind: str) -> list[Stream]:
    """Return the streams of these subreddits (lower case) that can ride along, longest unread first.

    They have been read before, and Reddit last said that their subreddits can be read.
    """
    return list(
        Stream.objects.named(names)
        .filter(
            kind=kind,
            subreddit__status=Subreddit.Status.OK,
            watermark__isnull=False,
            last_fetch_at__isnull=False,
        )
        .select_related("subreddit")
        .order_by("last_fetch_at", "pk")
    )


def _known(names: list[str]) -> dict[str, tuple[int, str | None]]:
    # This runs for each page, and building a queryset would take longer than the query itself.
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT lower(name), id, reddit_id FROM scraping_subreddit WHERE lower(name) = ANY(%s)",
            [names],
        )
        return {name: (key, reddit_id) for name, key, reddit_id in cursor.fetchall()}


def _upsert(pairs: list[tuple[str, str | None]]) -> dict[str, int]:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO scraping_subreddit AS t (name, reddit_id, status, first_seen_at)
            SELECT name, reddit_id, 'unknown', %s
            FROM unnest(%s::text[], %s::text[]) AS s (name, reddit_id)
            ORDER BY lower(name)
            ON CONFLICT (lower(name)) DO UPDATE SET reddit_id = COALESCE(EXCLUDED.reddit_id, t.reddit_id)
            RETURNING lower(name), id
            """,
            [timezone.now(), [name for name, _ in pairs], [fullname for _, fullname in pairs]],
        )
        return dict(cursor.fetchall())
