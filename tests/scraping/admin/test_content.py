"""Pages of what was collected lead to each other, and show no raw values."""

from datetime import UTC, datetime

import pytest
from django.urls import reverse

from jobs.models import Batch
from scraping.models import (
    BotItem,
    DumpImport,
    RedditComment,
    RedditPost,
    ScrapeBatch,
    ScrapeSession,
    Stream,
)
from scraping.subreddits import ensure_streams
from tests.factories import BotFactory, SuperuserFactory

pytestmark = pytest.mark.django_db

THEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STAMPS = {"created_at": THEN, "first_seen_at": THEN, "refreshed_at": THEN}


@pytest.fixture
def admin(client):
    client.force_login(SuperuserFactory())
    return client


@pytest.fixture
def subreddit():
    (stream,) = ensure_streams(["python"], "posts")
    return stream.subreddit


@pytest.fixture
def post(subreddit):
    return RedditPost.objects.create(fullname="t3_a", subreddit=subreddit, title="One", **STAMPS)


@pytest.fixture
def comment(post):
    return RedditComment.objects.create(
        fullname="t1_b", subreddit=post.subreddit, body="Two", link_fullname=post.pk,
        parent_fullname=post.pk, **STAMPS,
    )  # fmt: skip


def page_of(admin, row):
    url = reverse(f"admin:{row._meta.label_lower.replace('.', '_')}_change", args=[row.pk])
    response = admin.get(url)
    assert response.status_code == 200
    return response.content.decode()


def follow(admin, page, path):
    """Open the link to a list that the page has, and return what it shows."""
    start = page.index(f'"{path}?') + 1
    response = admin.get(page[start : page.index('"', start)].replace("&amp;", "&"))
    assert response.status_code == 200
    return response.content.decode()


def test_a_comment_leads_to_its_post_and_the_post_to_its_comments(admin, post, comment):
    RedditComment.objects.create(fullname="t1_c", body="Other", link_fullname="t3_z", **STAMPS)
    assert "/admin/scraping/redditpost/t3_5Fa/change/" in page_of(admin, comment)

    found = follow(admin, page_of(admin, post), "/admin/scraping/redditcomment/")

    assert "Two" in found
    assert "Other" not in found


def test_a_match_leads_to_the_item_and_the_item_to_its_matches(admin, comment):
    item = BotItem.objects.create(
        bot=BotFactory(), fullname=comment.pk, matched_at=THEN, state="missed"
    )
    page = page_of(admin, item)
    assert "/admin/scraping/redditcomment/t1_5Fb/change/" in page
    assert "Fell short" in page
    assert "(every item matches)" in page

    assert "t1_b" in follow(admin, page_of(admin, comment), "/admin/scraping/botitem/")


def test_a_subreddit_leads_to_its_streams_and_content(admin, subreddit, post):
    other = ensure_streams(["berlin"], "posts")[0].subreddit
    RedditPost.objects.create(fullname="t3_o", subreddit=other, title="Elsewhere", **STAMPS)
    page = page_of(admin, subreddit)

    streams = follow(admin, page, "/admin/scraping/stream/")
    posts = follow(admin, page, "/admin/scraping/redditpost/")

    assert Stream.objects.count() == 2
    assert "r/berlin" not in streams
    assert "One" in posts
    assert "Elsewhere" not in posts


def test_an_import_tells_how_far_it_came(admin):
    row = DumpImport.objects.create(
        path="/dumps/RC_2024-01.zst", size=3 << 20, head_digest="0" * 64, position=5 << 30,
        filters={"subreddits": ["python", "berlin"]}, state=DumpImport.State.TRUNCATED,
    )  # fmt: skip

    page = page_of(admin, row).replace("\xa0", " ")

    assert "3.0 MB" in page
    assert "5.0 GB, decompressed" in page
    assert "subreddits: python, berlin" in page
    listed = admin.get(reverse("admin:scraping_dumpimport_changelist")).content.decode()
    assert "Truncated" in listed


def test_a_session_rounds_what_it_waited_and_leads_to_its_run(admin):
    bot = BotFactory()
    session = ScrapeSession.objects.create(
        bot=bot, bot_name=bot.name, task_id="f00", wait_seconds=12.345678, status="completed"
    )

    page = page_of(admin, session)

    assert "12.3 s" in page
    assert "12.345" not in page
    assert "taskresult/?task_id__exact=f00" in page


def test_a_batch_tells_its_state_and_time_in_words(admin):
    batch = Batch.objects.create(name="Both bots", total=2, remaining=0, status="completed")
    Batch.objects.update(created_at=THEN)

    page = page_of(admin, ScrapeBatch.objects.create(batch=batch))

    assert "Completed" in page
    assert "2026-01-02 03:04:05" in page
    assert "03:04:05+00:00" not in page
    assert "&#x27;completed&#x27;" not in page
