"""Ingest of the volume posts against Django's own ways and a bare COPY, in one run.

`ingest_vs_copy`: the time of a COPY of the same rows, prepared as text, into the same table with
the same indexes, divided by the time of `ingest_posts`; the two alternate. `ingest_vs_bulk_create`
and `ingest_vs_update_or_create`: how many times as long Django's
`bulk_create(update_conflicts=True)` and one `update_or_create` for each item take. The latter
measures only a share of the posts, since it takes minutes. All begin with an empty table and known
subreddits. `reingest_vs_ingest`: the first ingest against the ingest of the same, unchanged posts.
"""

import gzip
import io
import statistics
import time
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import orjson

from benchmarks._database import own_database, volume_file

ROUNDS = 3
ONE_BY_ONE = 4_000
BATCH = 5_000


def run() -> dict[str, float]:
    """Measure, for about a minute. Return nothing without the volume file."""
    path = volume_file()
    if path is None:
        return {}
    with own_database():
        return _measure(path)


def _measure(path: Any) -> dict[str, float]:
    from django.db import connection

    from scraping.content.upsert import POSTS, ingest_posts
    from scraping.models import RedditPost
    from scraping.reddit.parse import parse_post
    from scraping.subreddits import ensure_subreddits

    with gzip.open(path) as lines:
        posts = [parse_post(orjson.loads(line)) for line in lines]
    subreddits = ensure_subreddits({post.subreddit: post.subreddit_fullname for post in posts})
    ingest_posts(posts)
    if RedditPost.objects.count() != len(posts):
        raise RuntimeError("not every post was stored")
    columns = [field.column for field in RedditPost._meta.fields]
    own = POSTS.columns[:-1]
    values = attrgetter(*own)
    table = POSTS.name
    text = io.BytesIO()
    with connection.cursor() as cursor:
        cursor.copy_expert(f"COPY {table} ({', '.join(columns)}) TO STDOUT", text)

    def copy() -> None:
        with connection.cursor() as cursor:
            cursor.copy_expert(
                f"COPY {table} ({', '.join(columns)}) FROM STDIN",
                io.BytesIO(text.getbuffer()),
                size=1 << 20,
            )

    def rows(items: list[Any]) -> list[dict[str, Any]]:
        return [
            dict(zip(own, values(item), strict=True))
            | {"subreddit_id": subreddits[item.subreddit.lower()]}
            | {"first_seen_at": item.created_at, "refreshed_at": item.created_at}
            for item in items
        ]

    def bulk_create() -> None:
        RedditPost.objects.bulk_create(
            [RedditPost(**row) for row in rows(posts)],
            batch_size=BATCH,
            update_conflicts=True,
            unique_fields=["fullname"],
            update_fields=[name for name in POSTS.columns if name != "fullname"],
        )

    def update_or_create() -> None:
        for row in rows(posts[:ONE_BY_ONE]):
            RedditPost.objects.update_or_create(fullname=row.pop("fullname"), defaults=row)

    copied, ingested, again = [], [], []
    for _ in range(ROUNDS):
        copied.append(_seconds(copy, table))
        ingested.append(_seconds(lambda: ingest_posts(posts), table))
        again.append(_seconds(lambda: ingest_posts(posts)))
    ratios = [one / other for one, other in zip(copied, ingested, strict=True)]
    ingest = statistics.median(ingested)
    slow = _seconds(bulk_create, table)
    slowest = _seconds(update_or_create, table) / ONE_BY_ONE * len(posts)
    return {
        "ingest_vs_copy": statistics.median(ratios),
        "ingest_vs_bulk_create": slow / ingest,
        "ingest_vs_update_or_create": slowest / ingest,
        "reingest_vs_ingest": ingest / statistics.median(again),
    }


def _seconds(work: Callable[[], Any], emptied: str = "") -> float:
    from django.db import connection

    if emptied:
        with connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE {emptied} CASCADE")
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
