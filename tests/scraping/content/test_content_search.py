"""Posts and comments are found by their keys at once, and by words among the newest, as the page says."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from scraping.content import content_search
from scraping.content.content_search import Query, read_query
from scraping.models import RedditComment, RedditPost
from scraping.subreddits import ensure_streams
from tests.database import plan_of, rows_read
from tests.factories import SuperuserFactory

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

POSTS = reverse("admin:scraping_redditpost_changelist")
COMMENTS = reverse("admin:scraping_redditcomment_changelist")
CONTENT = "scraping_reddit"
ROWS = 30_000
SUBREDDITS = [f"number{number}" for number in range(20)]


@pytest.fixture
def admin(client):
    client.force_login(SuperuserFactory())
    return client


@pytest.fixture
def few(db):
    """Two posts in two subreddits, and a comment on the first."""
    python, berlin = (stream.subreddit for stream in ensure_streams(["python", "berlin"], "posts"))
    now = timezone.now()
    at = {"created_at": now, "first_seen_at": now, "refreshed_at": now}
    first = RedditPost.objects.create(
        fullname="t3_1abc2d", subreddit=python, title="A red bicycle", selftext="with a bell",
        url="https://example.org/bell.html", author="Ann", **at,
    )  # fmt: skip
    RedditPost.objects.create(fullname="t3_1zzz9z", subreddit=berlin, title="A red tram", **at)
    RedditPost.objects.create(fullname="t3_1yyy9y", subreddit=berlin, title="1abc2d told", **at)
    RedditComment.objects.create(
        fullname="t1_kxyz12", subreddit=python, body="Nice bicycle", link_fullname=first.pk, **at
    )
    RedditComment.objects.create(
        fullname="t1_kxyz13", subreddit=python, body="Which bell?", link_fullname=first.pk, **at
    )


@pytest.fixture
def many(few):
    """So many posts and comments, one a minute, that a scan would show."""
    streams = ensure_streams(SUBREDDITS, "posts")
    with connection.cursor() as cursor:
        for table, prefix, text in [("post", "t3", "title"), ("comment", "t1", "body")]:
            cursor.execute(
                f"""
                INSERT INTO scraping_reddit{table} (fullname, subreddit_id, {text}, created_at,
                    removal, extra, first_seen_at, refreshed_at)
                SELECT '{prefix}_many' || n, %s + n %% {len(SUBREDDITS)}, 'Number ' || n,
                    now() - n * interval '1 min', CASE WHEN n %% 9999 = 5 THEN 'deleted' ELSE '' END,
                    '{{}}', now(), now()
                FROM generate_series({ROWS}, 1, -1) AS n
                """,
                [min(stream.subreddit_id for stream in streams)],
            )
            cursor.execute(f"ANALYZE scraping_reddit{table}")


def found(admin, url, query, **chosen):
    answer = admin.get(url, {"q": query} | chosen)
    assert answer.status_code == 200
    return {item.pk for item in answer.context["cl"].result_list}


def told(admin, url, query, **chosen):
    return " ".join(map(str, admin.get(url, {"q": query} | chosen).context["messages"]))


@pytest.mark.parametrize(
    ("typed", "query"),
    [
        ("t3_1abc2d", Query(post="t3_1abc2d")),
        (" T1_KXYZ12 ", Query(comment="t1_kxyz12")),
        ("https://www.reddit.com/r/python/comments/1abc2d/a_red/", Query(post="t3_1abc2d")),
        ("https://old.reddit.com/comments/1abc2d?sort=new", Query(post="t3_1abc2d")),
        ("/r/python/comments/1abc2d/a/kxyz12/?context=3", Query("t3_1abc2d", "t1_kxyz12")),
        ("reddit.com/r/a/comments/1abc2d/comment/kxyz12", Query("t3_1abc2d", "t1_kxyz12")),
        ("https://redd.it/1abc2d", Query(post="t3_1abc2d")),
        ("https://i.redd.it/1abc2d.jpg", Query(words="https://i.redd.it/1abc2d.jpg")),
        ("1abc2d", Query(bare="1abc2d", words="1abc2d")),
        ("python", Query(words="python")),
        ("red r/Python u/Ann", Query(words="red Ann", subreddits=("python",))),
        ("either/or", Query(words="either/or")),
    ],
)
def test_keys_are_told_from_words(typed, query):
    assert read_query(typed) == query


@pytest.mark.parametrize(
    ("url", "typed", "keys"),
    [
        (POSTS, "t3_1abc2d", {"t3_1abc2d"}),
        (POSTS, "1zzz9z", {"t3_1zzz9z"}),
        (POSTS, "1abc2d told", {"t3_1yyy9y"}),
        (POSTS, "t1_kxyz12", {"t3_1abc2d"}),
        (POSTS, "t3_unknown", set()),
        (POSTS, "red", {"t3_1abc2d", "t3_1zzz9z"}),
        (POSTS, "RED bell", {"t3_1abc2d"}),
        (POSTS, "red r/berlin", {"t3_1zzz9z"}),
        (POSTS, "r/Berlin", {"t3_1zzz9z", "t3_1yyy9y"}),
        (POSTS, "u/ann", {"t3_1abc2d"}),
        (POSTS, "https://example.org/bell.html", {"t3_1abc2d"}),
        (COMMENTS, "t3_1abc2d", {"t1_kxyz12", "t1_kxyz13"}),
        (COMMENTS, "/r/python/comments/1abc2d/a/kxyz12/", {"t1_kxyz12"}),
        (COMMENTS, "kxyz12", {"t1_kxyz12"}),
        (COMMENTS, "bicycle", {"t1_kxyz12"}),
    ],
)
def test_what_is_typed_finds_what_it_means(admin, few, url, typed, keys):
    assert found(admin, url, typed) == keys


@pytest.mark.parametrize("url", [POSTS, COMMENTS])
@pytest.mark.parametrize("key", ["t3_many77", "t1_many77", "many77"])
def test_a_key_is_looked_up_by_an_index(admin, many, url, key):
    for sql, params in statements_of(admin, url, key):
        nodes = plan_of(sql, params)
        scans = {
            node["Node Type"] for node in nodes if node.get("Relation Name", "").startswith(CONTENT)
        }
        assert scans <= {"Index Scan", "Index Only Scan", "Bitmap Heap Scan"}, sql
        indexes = {node["Index Name"] for node in nodes if "Index Name" in node}
        assert any(name in PRIMARY or name == BY_POST for name in indexes), indexes
        assert rows_read(sql, params, tables=CONTENT) <= 2


PRIMARY = {"scraping_redditpost_pkey", "scraping_redditcomment_pkey"}
BY_POST = "scraping_comment_by_post"


def statements_of(admin, url, typed, **chosen):
    """What the page asks of the two tables."""
    statements = []

    def note(execute, sql, params, many, context):
        if 'FROM "scraping_reddit' in sql:
            statements.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        assert admin.get(url, {"q": typed} | chosen).status_code == 200
    assert statements
    return statements


@pytest.mark.parametrize("url", [POSTS, COMMENTS])
@pytest.mark.parametrize("chosen", [{}, {"removal__exact": "deleted"}])
def test_words_are_looked_for_in_the_newest_alone(admin, many, monkeypatch, url, chosen):
    monkeypatch.setattr(content_search, "LOOKED_THROUGH", 300)

    for sql, params in statements_of(admin, url, "number", **chosen):
        read = rows_read(sql, params, tables=CONTENT)
        assert read <= ROWS / 10, f"{read} rows are read for {sql}"


def test_the_page_says_how_far_it_looked(admin, many, monkeypatch):
    monkeypatch.setattr(content_search, "LOOKED_THROUGH", 500)

    assert found(admin, POSTS, "number 300") == {"t3_many300"}
    assert found(admin, POSTS, "number 29000") == set()
    assert "the newest 500 posts of this list, created since 20" in told(admin, POSTS, "number")
    assert told(admin, POSTS, "t3_many29000") == ""
    assert told(admin, POSTS, "red r/berlin") == "", "all of them were looked through"


# The theme's filter parses moments without a time zone.
@pytest.mark.filterwarnings("ignore:DateTimeField .* received a naive datetime")
def test_filters_lead_to_older_ones(admin, many, monkeypatch):
    monkeypatch.setattr(content_search, "LOOKED_THROUGH", 2_000)
    until = timezone.localtime(timezone.now() - timedelta(minutes=28_999))
    chosen = {"created_at_to_0": f"{until:%Y-%m-%d}", "created_at_to_1": f"{until:%H:%M:%S}"}

    assert found(admin, POSTS, "number 29000") == set()
    assert found(admin, POSTS, "number 29000", **chosen) == {"t3_many29000"}
    assert found(admin, POSTS, f"number 29000 r/{SUBREDDITS[29_000 % 20]}") == {"t3_many29000"}


def test_comments_of_a_post_are_looked_through_whatever_came_since(admin, many, monkeypatch):
    monkeypatch.setattr(content_search, "LOOKED_THROUGH", 500)
    RedditComment.objects.filter(pk="t1_kxyz12").update(created_at=datetime(2015, 1, 1, tzinfo=UTC))

    assert found(admin, COMMENTS, "bicycle") == set()
    assert found(admin, COMMENTS, "bicycle", link_fullname__exact="t3_1abc2d") == {"t1_kxyz12"}
