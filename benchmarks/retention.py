"""Deletes a million posts while a collector stores pages of a hundred.

`retention_rows_per_s`: rows deleted in a second, with all pauses. `retention_ingest_p50_ratio` and
`retention_ingest_p99_ratio`: the time to store a page during the deletion, against the time before
it, on the same database in the same run.
"""

import statistics
import threading
import time

from benchmarks._database import own_database

ROWS = 1_000_000
PAGE = 100
QUIET_PAGES = 300
# The pause between two pages of a busy collector.
PAUSE = 0.05

FILL = """
INSERT INTO scraping_redditpost (fullname, subreddit_id, title, selftext, author, created_at,
    removal, extra, first_seen_at, refreshed_at)
SELECT 't3_old' || n, %s, 'A title of some length ' || n, repeat('A text of some length. ', 20),
    'author' || n %% 1000, now() - interval '91 days' - n * interval '1 second', '', '{}', now(), now()
FROM generate_series(1, %s) n
"""


def run() -> dict[str, float]:
    """Measure, for some minutes."""
    with own_database():
        return _measure()


def _measure() -> dict[str, float]:
    from django.db import connection
    from django.utils import timezone

    from scraping.content import retention
    from scraping.content.upsert import ingest_posts
    from scraping.models import RedditPost, Subreddit
    from scraping.reddit.parse import parse_post

    python = Subreddit.objects.create(name="python")
    with connection.cursor() as cursor:
        cursor.execute(FILL, [python.pk, ROWS])
        cursor.execute("VACUUM ANALYZE scraping_redditpost")
    numbers = iter(range(1, 10**9))

    def page() -> float:
        now = timezone.now().timestamp()
        things = [
            {"name": f"t3_new{n}", "subreddit": "python", "created_utc": now, "title": f"New {n}"}
            for n in (next(numbers) for _ in range(PAGE))
        ]
        posts = [parse_post(thing) for thing in things]
        began = time.perf_counter()
        ingest_posts(posts)
        taken = time.perf_counter() - began
        time.sleep(PAUSE)
        return taken

    quiet = [page() for _ in range(QUIET_PAGES)]
    busy: list[float] = []
    stop = threading.Event()

    def collect() -> None:
        while not stop.is_set():
            busy.append(page())
        connection.close()

    collector = threading.Thread(target=collect)
    collector.start()
    began = time.perf_counter()
    deleted = retention.delete_old_content()
    took = time.perf_counter() - began
    stop.set()
    collector.join()
    left = RedditPost.objects.count()
    if deleted.posts != ROWS or left != PAGE * (len(quiet) + len(busy)):
        raise RuntimeError(f"deleted {deleted.posts}, left {left}")
    result = {"retention_rows_per_s": deleted.posts / took}
    for share in (50, 99):
        before, during = (statistics.quantiles(times, n=100)[share - 1] for times in (quiet, busy))
        result[f"retention_ingest_p{share}_ms_before"] = before * 1000
        result[f"retention_ingest_p{share}_ms_during"] = during * 1000
        result[f"retention_ingest_p{share}_ratio"] = during / before
    return result | {"retention_seconds": took, "retention_ingest_max_ms": max(busy) * 1000}
