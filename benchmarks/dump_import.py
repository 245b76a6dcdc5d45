"""`import_dump` against decompressing and JSON-parsing the same file, and its memory.

`import_vs_parse`: the time to decompress the volume posts and parse each line with orjson, divided
by the time to import them into an empty database. The two alternate, and the result is the median
of the ratios, because other work on the machine slows both. `import_peak_mib`: the peak resident
sizes of a fresh process and of its reader process, added up, while they import a million lines
(Linux). The lines are the same posts under other ids; `BENCHMARK_IMPORT_LINES` reduces their
number. No bot watches during these two. `import_matched_items_per_s`: how many posts are imported in
a second while 60 bots watch a tenth of the subreddits, each with ten words of the posts' titles.
"""

import gzip
import io
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import orjson
import psutil

from benchmarks._database import own_database, volume_file

ROUNDS = 3
BOTS = 60
LINES = 1_000_000
NAME_OF_LINES = "BENCHMARK_IMPORT_LINES"

# How often the sizes are read. The kernel keeps each process's largest size.
LOOK_SECONDS = 0.05


def run() -> dict[str, float]:
    """Measure, for some minutes. Return nothing without the volume file."""
    path = volume_file()
    if path is None:
        return {}
    with own_database() as database, tempfile.TemporaryDirectory() as folder:
        from scraping.models import BotItem, RedditPost

        copy = Path(folder) / "RS_volume"
        copy.write_bytes(path.read_bytes())
        ratios = [_parse_seconds(copy) / _import_seconds(copy) for _ in range(ROUNDS)]
        posts = RedditPost.objects.count()
        _empty()
        large = Path(folder) / "RS_large"
        lines = _write_large(path, large, int(os.environ.get(NAME_OF_LINES, LINES)))
        peak = _peak_mib(large, lines, database)
        _watch(copy)
        matched = statistics.median(posts / _import_seconds(copy) for _ in range(ROUNDS))
        if not BotItem.objects.exists():
            raise RuntimeError("no post was matched")
    return {
        "import_vs_parse": statistics.median(ratios),
        "import_peak_mib": peak,
        "import_matched_items_per_s": matched,
    }


def _parse_seconds(path: Path) -> float:
    began = time.perf_counter()
    with gzip.open(path) as lines:
        for line in lines:
            orjson.loads(line)
    return time.perf_counter() - began


def _import_seconds(path: Path) -> float:
    from scraping.dumps.importer import import_dump

    _empty()
    began = time.perf_counter()
    report = import_dump(path)
    elapsed = time.perf_counter() - began
    if report.record.rejected or report.record.new != report.record.lines:
        raise RuntimeError(f"not every line was stored: {report}")
    return elapsed


def _watch(path: Path) -> None:
    """Make 60 bots watch every tenth subreddit of the file, for words from its titles."""
    from accounts.models import User
    from bots.models import BotConfig, RedditApp

    chance = random.Random(7)
    with gzip.open(path) as lines:
        posts = [orjson.loads(line) for line in lines]
    names = sorted({post["subreddit"] for post in posts})[::10]
    words = sorted({word for post in posts for word in post["title"].split() if word.isalpha()})
    owner = User.objects.create_user("bench@example.org")
    app = RedditApp.objects.create(
        owner=owner, name="import", client_id="import", user_agent="linux:org.example.lurker:1.0"
    )
    BotConfig.objects.bulk_create(
        BotConfig(
            owner=owner,
            reddit_app=app,
            name=f"bot {number}",
            subreddits=names,
            include_terms=chance.sample(words, 10),
        )
        for number in range(BOTS)
    )


def _empty() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE scraping_redditpost, scraping_subreddit, scraping_dumpimport CASCADE"
        )


def _write_large(source: Path, target: Path, lines: int) -> int:
    """Repeat the posts under other ids, as many members of one gzip file; return how many lines."""
    with gzip.open(source) as stream:
        posts = stream.read().splitlines(keepends=True)
    written = 0
    with target.open("wb") as output:
        for repetition in range(-(-lines // len(posts))):
            member = io.BytesIO()
            mark = b"%dx" % repetition
            for post in posts[: lines - written]:
                # The file has both keys first, in this form.
                member.write(
                    post.replace(b'"id": "', b'"id": "' + mark, 1).replace(
                        b'"name": "t3_', b'"name": "t3_' + mark, 1
                    )
                )
                written += 1
            output.write(gzip.compress(member.getvalue(), compresslevel=1))
    return written


def _peak_mib(path: Path, lines: int, database: str) -> float:
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": os.environ.get("DJANGO_SETTINGS_MODULE", "config.settings.test"),
        "DATABASE_URL": database,
        "TEST_DATABASE_URL": database,
    }
    command = [sys.executable, "-m", "django", "import_dump", str(path)]
    with tempfile.TemporaryFile("w+") as output:
        child = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        peaks: dict[int, int] = {}
        while child.poll() is None:
            with suppress(psutil.NoSuchProcess):
                importer = psutil.Process(child.pid)
                for process in [importer, *importer.children()]:
                    peaks[process.pid] = max(peaks.get(process.pid, 0), _peak_kib(process.pid))
            time.sleep(LOOK_SECONDS)
        output.seek(0)
        if child.returncode:
            raise RuntimeError(f"the import ended with {child.returncode}: {output.read()[-2000:]}")
    if len(peaks) != 2:
        raise RuntimeError(f"an import is expected to take two processes, not {len(peaks)}")
    from scraping.models import RedditPost

    stored = RedditPost.objects.count()
    if stored != lines:
        raise RuntimeError(f"{stored:,} of {lines:,} posts were stored")
    return sum(peaks.values()) / 1024


def _peak_kib(process: int) -> int:
    # Not ru_maxrss, which includes the size of the parent when it started the process.
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
