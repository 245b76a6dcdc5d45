"""Many thousands of posts at once, out of the recorded volume file."""

import gzip
from itertools import islice

import orjson
import pytest

from scraping.content.upsert import ingest_posts
from scraping.models import RedditPost
from scraping.reddit.parse import parse_post
from tests import needs
from tests.database import row_versions

pytestmark = [
    pytest.mark.django_db,
    needs.RECORDINGS.mark(),
]


def test_re_ingest_of_unchanged_posts_writes_no_row_version():
    with gzip.open(needs.RECORDINGS_FOLDER / "volume" / "posts_2013_pddl.ndjson.gz") as lines:
        posts = [parse_post(orjson.loads(line)) for line in islice(lines, 12_000)]
    first = ingest_posts(posts)
    before = row_versions(RedditPost._meta.db_table, "fullname")

    again = ingest_posts(posts)

    assert len(first.new) == again.unchanged == len(before) > 11_000
    assert (again.new, again.updated) == (set(), set())
    assert row_versions(RedditPost._meta.db_table, "fullname") == before
