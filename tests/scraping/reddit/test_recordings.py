"""Fifteen years of Reddit's own answers go in and come out as they were recorded.

The recordings are not part of the project: the environment variable REDDIT_REFERENCE names the
folder that holds them. Nothing here depends on which recordings they are.
"""

import gzip
import json
from datetime import UTC, datetime

import pytest

from scraping.content import deletion
from scraping.content.upsert import ingest_comments, ingest_posts
from scraping.models import RedditComment, RedditPost
from scraping.reddit.parse import PARSERS
from tests import needs
from tests.database import row_versions

pytestmark = pytest.mark.slow

pytestmark = [
    pytest.mark.django_db(transaction=True),  # pages are committed one by one, as in a session
    needs.RECORDINGS.mark(),
]

INGEST = {"t3": ingest_posts, "t1": ingest_comments}
MODELS = {"t3": RedditPost, "t1": RedditComment}

# Our columns by Reddit's keys. A key that a recording lacks says nothing; null says "empty".
TEXTS = {
    "t3": {
        key: key
        for key in ("title", "selftext", "url", "domain", "link_flair_text", "post_hint",
                    "crosspost_parent", "removed_by_category")
    }
    | {"name": "fullname"},
    "t1": {"body": "body", "link_id": "link_fullname", "parent_id": "parent_fullname"}
    | {"name": "fullname"},
}  # fmt: skip
COMMON_TEXTS = {
    key: key
    for key in ("author", "author_fullname", "author_flair_text", "distinguished", "permalink")
}
VALUES = {
    "t3": {
        key: key
        for key in ("over_18", "spoiler", "is_self", "is_video", "quarantine", "num_comments",
                    "num_crossposts", "upvote_ratio")
    }
    | {"hide_score": "score_hidden"},
    "t1": {key: key for key in ("is_submitter", "controversiality", "score_hidden")},
}  # fmt: skip
COMMON_VALUES = {key: key for key in ("score", "stickied", "locked", "archived")}


def things(value):
    """Every post and comment in an answer, however deep."""
    if isinstance(value, list):
        for entry in value:
            yield from things(entry)
    elif isinstance(value, dict):
        if value.get("kind") in PARSERS and isinstance(value.get("data"), dict):
            yield value["kind"], value["data"]
        for entry in value.values():
            yield from things(entry)


def recordings():
    folder = needs.RECORDINGS_FOLDER / "recordings"
    for path in sorted(folder.glob("*.json")):
        if path.name != "INDEX.json":
            yield path.name, list(things(json.loads(path.read_bytes())))


def dumped(name, kind):
    """The lines of a file of items."""
    with gzip.open(needs.RECORDINGS_FOLDER / name) as lines:
        return [(kind, json.loads(line)) for line in lines]


def fullname(kind, data):
    return data.get("name") or f"{kind}_{data['id']}"


def moment(seconds):
    return datetime.fromtimestamp(float(seconds), UTC)


def expected(kind, data):
    """What the columns must hold for one recorded item, of what it says."""
    columns = {"fullname": fullname(kind, data), "created_at": moment(data["created_utc"])}
    for key, column in (TEXTS[kind] | COMMON_TEXTS).items():
        if key in data:
            columns[column] = "" if data[key] is None else data[key]
    for key, column in (VALUES[kind] | COMMON_VALUES).items():
        if data.get(key) is not None:
            columns[column] = data[key]
    edited = data.get("edited")
    if edited is not None:
        columns["edited"] = bool(edited)
        # "Edited" without a time, as of the early years, leaves what another answer told.
        if edited is not True:
            columns["edited_at"] = moment(edited) if edited else None
    if data.get("subreddit"):
        columns["subreddit__name"] = data["subreddit"].lower()
    return columns


def purged(kind, data):
    """What is left in the columns that a purge empties, of an item that was recorded as gone."""
    item = PARSERS[kind](data)
    reason = deletion.reason_to_purge(item)
    if reason is None:
        return {}
    deletion.strip(item, reason)
    parts = (*deletion.PARTS[MODELS[kind]].values(), deletion.UNREPORTED_COLUMNS)
    return {column: getattr(item, column) for columns in parts for column in columns}


def read_back(kind, fullnames):
    rows = MODELS[kind].objects.filter(pk__in=fullnames).select_related("subreddit")
    found = {}
    for row in rows:
        found[row.fullname] = {field.name: getattr(row, field.name) for field in row._meta.fields}
        if row.subreddit:
            found[row.fullname]["subreddit__name"] = row.subreddit.name.lower()
    return found


def store(items):
    """Parse and ingest; a later version of an item stands, as in a walk."""
    results = []
    for kind, ingest in INGEST.items():
        parsed = [PARSERS[kind](data) for of_kind, data in items if of_kind == kind]
        results.append(ingest(parsed))
    return results


def check(items):
    """Store what was recorded in one answer: nothing is refused, all is equal, twice is once."""
    store(items)
    for kind, model in MODELS.items():
        latest = {fullname(kind, data): data for of_kind, data in items if of_kind == kind}
        gone = {}
        for of_kind, data in items:
            if of_kind == kind:
                # Once deleted, always deleted, whatever an older page in the same answer says.
                gone.setdefault(fullname(kind, data), {}).update(purged(kind, data))
        found = read_back(kind, latest)
        for name, data in latest.items():
            wanted = expected(kind, data) | gone[name]
            got = {column: found[name].get(column) for column in wanted}
            assert got == wanted

        versions = row_versions(model._meta.db_table, "fullname", latest)
        again = store([(kind, data) for data in latest.values()])
        assert not any(result.new or result.updated for result in again)
        assert row_versions(model._meta.db_table, "fullname", latest) == versions


@pytest.mark.slow
def test_every_recorded_answer_is_stored_as_it_was(subtests):
    read = 0
    for name, items in recordings():
        if not items:
            continue
        read += len(items)
        for model in (RedditPost, RedditComment):
            model.objects.all().delete()
        with subtests.test(name):
            check(items)

    assert read > 0, f"{needs.RECORDINGS_FOLDER}/recordings holds no post and no comment"


@pytest.mark.parametrize(
    ("name", "kind"), [("posts.ndjson.gz", "t3"), ("comments.ndjson.gz", "t1")]
)
def test_every_recorded_item_is_stored_as_it_was(name, kind):
    items = dumped(name, kind)

    check(items)

    assert MODELS[kind].objects.count() == len({fullname(kind, data) for _, data in items})


def test_posts_survive_the_trip_through_a_dump_without_names():
    """Lines of dumps lack `name`; `created_utc` is text in some of them."""
    items = [
        (kind, {key: value for key, value in data.items() if key != "name"} | {
            "created_utc": str(int(data["created_utc"]))})
        for kind, data in dumped("posts.ndjson.gz", "t3")
    ]  # fmt: skip

    check(items)
