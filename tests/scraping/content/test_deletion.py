"""What authors delete is purged, everywhere and with a receipt, and never comes back."""

import json
import signal
from datetime import UTC, datetime

import pytest
from django.db import connection
from django.utils import timezone

from scraping.content import deletion
from scraping.content.purges import purged_fullnames
from scraping.content.upsert import POSTS, ingest_comments, ingest_dumped, ingest_posts
from scraping.models import (
    BotItem,
    DeletionReceipt,
    ItemCheck,
    PostScore,
    RedditComment,
    RedditPost,
)
from scraping.reddit.parse import parse_comment, parse_post
from tests.database import recorded_statements, row_versions
from tests.factories import CommentData, PostData, packed
from tests.scraping.traces import SECRETS, found_anywhere, receipt

pytestmark = pytest.mark.django_db(transaction=True)


class TestByItsAuthor:
    def test_post_and_comment_are_purged_everywhere(self, collected):
        collected.change(collected.post_name, "delete")
        collected.change(collected.comment_name, "delete")
        collected.advance(1.01)

        assert collected.check().purged == 2

        assert found_anywhere(*SECRETS) == []
        post = RedditPost.objects.get(pk=collected.post_name)
        comment = RedditComment.objects.get(pk=collected.comment_name)
        assert (post.removal, comment.removal) == ("deleted", "deleted")
        assert (post.title, post.url, post.permalink, post.extra) == ("[deleted]", None, None, {})
        assert (post.score, post.num_comments) == (None, None)
        assert comment.link_fullname == collected.post_name, "the tree keeps its shape"
        assert receipt(collected.post_name) == (
            "deleted",
            {"title", "url", "flair", "media", "author", "numbers", "matches", "history"},
        )
        assert receipt(collected.comment_name)[1] >= {"body", "url", "author", "matches"}
        assert not PostScore.objects.exists()
        assert not ItemCheck.objects.exists(), "nobody asks about it any more"

    def test_collection_that_meets_a_deleted_item_purges_it_at_once(self, collected):
        data = PostData(
            name=collected.post_name,
            id=collected.post_name[3:],
            title="My Tabby",
            selftext="[deleted]",
            author="[deleted]",
            removed_by_category="deleted",
        )
        ingest_posts([parse_post(data)], now=collected.now())
        stored = RedditPost.objects.get(pk=collected.post_name)
        assert (stored.title, stored.removal) == ("[deleted]", "deleted")
        assert receipt(collected.post_name)[0] == "deleted"

    def test_what_is_deleted_at_first_sight_is_not_stored_at_all(self):
        ingest_posts(
            [parse_post(PostData(number=1, title="My Tabby", removed_by_category="deleted"))]
        )
        ingest_comments(
            [parse_comment(CommentData(number=1, body="[deleted]", author="[deleted]"))]
        )
        assert found_anywhere(*SECRETS) == []
        assert not DeletionReceipt.objects.exists(), "nothing was held"
        assert not ItemCheck.objects.exists()

    def test_a_second_purge_finds_nothing_and_writes_nothing(self, collected):
        name = collected.post_name
        reasons = {name: DeletionReceipt.Reason.DELETED}
        assert deletion.purge(reasons, seen_at={name: timezone.now()}) == 1
        before = row_versions("scraping_redditpost", "fullname")
        assert deletion.purge(reasons, seen_at={name: timezone.now()}) == 0
        assert row_versions("scraping_redditpost", "fullname") == before
        assert DeletionReceipt.objects.filter(fullname=name).count() == 1


class TestItDoesNotComeBack:
    @pytest.fixture(params=["deleted", "gone"])
    def purged(self, request, collected):
        name = collected.post_name
        collected.stale = PostData(name=name, id=name[3:], title="My Tabby", selftext="It purrs")
        reason = DeletionReceipt.Reason(request.param)
        deletion.purge({name: reason}, seen_at={name: collected.now()})
        deletion.purge(
            {collected.comment_name: reason}, seen_at={collected.comment_name: collected.now()}
        )
        return collected

    def test_by_a_listing_or_an_answer_that_was_read_before(self, purged):
        before = row_versions("scraping_redditpost", "fullname")
        result = ingest_posts([parse_post(purged.stale)], now=purged.now())
        assert (result.new, result.updated) == (set(), set())
        assert row_versions("scraping_redditpost", "fullname") == before
        purged.collect()  # the simulator lists it still
        assert "Tabby" not in found_anywhere("My Tabby")

    def test_by_an_import(self, purged, tmp_path):
        from scraping.dumps.importer import import_dump

        path = tmp_path / "posts.ndjson"
        path.write_text(json.dumps(purged.stale | {"retrieved_on": 2_000_000_000}) + "\n")
        report = import_dump(path)
        assert (report.record.deleted, report.record.new) == (1, 0)
        assert found_anywhere("My Tabby") == []

    def test_by_an_import_when_retention_has_removed_the_row(self, purged, tmp_path):
        from scraping.dumps.importer import import_dump

        RedditPost.objects.all().delete()
        path = tmp_path / "posts.ndjson"
        path.write_text(json.dumps(purged.stale) + "\n")
        import_dump(path)
        assert not RedditPost.objects.exists()

    def test_by_a_dump_even_without_a_look_at_the_receipts(self, purged):
        later = datetime(2030, 1, 1, tzinfo=UTC)
        ingest_dumped(POSTS, packed(parse_post(purged.stale), later))
        assert found_anywhere("My Tabby") == []


class TestDeletedAccounts:
    def test_name_and_id_go_and_the_content_stays(self, collected):
        collected.reddit.control("users", {"name": "someone_i_was", "status": "deleted"})
        collected.advance(1.01)
        collected.check()
        post = RedditPost.objects.get(pk=collected.post_name)
        assert (post.title, post.removal, post.author) == ("My Tabby", "", "[deleted]")
        assert found_anywhere("someone_i_was", "t2_") == []
        assert receipt(collected.post_name) == ("account", {"author"})
        assert BotItem.objects.filter(matched_terms=["tabby"]).exists()
        assert purged_fullnames([collected.post_name]) == set(), "imports may fill the rest"

    def test_a_term_that_found_the_name_goes_too(self, collected):
        collected.bot.match_in = ["author"]
        collected.bot.include_terms = ["someone_i_was"]
        collected.bot.save()
        BotItem.objects.update(matched_terms=["someone_i_was"])
        collected.reddit.control("users", {"name": "someone_i_was", "status": "deleted"})
        collected.advance(1.01)
        collected.check()
        assert found_anywhere("someone_i_was") == []

    def test_a_suspended_account_is_none(self, collected):
        collected.reddit.control("users", {"name": "someone_i_was", "status": "suspended"})
        collected.advance(1.01)
        collected.check()
        assert RedditPost.objects.get(pk=collected.post_name).author == "someone_i_was"
        assert not DeletionReceipt.objects.exists()


KILLED = """
import os, signal, django
django.setup()
from datetime import UTC, datetime
from scraping.verifying import recheck
from scraping.verifying.recheck import Recheck
store = Recheck._store
def dies(*arguments):
    {before}
    os.kill(os.getpid(), signal.SIGKILL)
Recheck._store = dies
recheck.check_items(clock=lambda: datetime.fromtimestamp({now}, tz=UTC))
"""


class TestAKill:
    @pytest.mark.slow
    @pytest.mark.parametrize(
        "before",
        [
            "pass",
            # In the middle of the transaction: purged, not committed.
            "store(*arguments)",
        ],
    )
    def test_between_answer_and_purge_loses_nothing(self, collected, processes, settings, before):
        collected.change(collected.post_name, "delete")
        collected.advance(1.01)
        code = KILLED.format(before=before, now=collected.now().timestamp())
        died = processes.start("-c", code, environment={"SIMULATOR_URL": settings.SIMULATOR_URL})
        assert died.wait(seconds=60) == -signal.SIGKILL, died.output
        assert not DeletionReceipt.objects.exists()
        assert found_anywhere("My Tabby") == ["My Tabby"]

        assert collected.check().purged == 1

        assert DeletionReceipt.objects.count() == 1
        assert found_anywhere("My Tabby") == []


class TestManyAtOnce:
    def test_ten_thousand_items_take_a_few_statements(self):
        with connection.cursor() as cursor:
            cursor.execute(
                """
                INSERT INTO scraping_redditcomment (fullname, body, author, created_at,
                    first_seen_at, refreshed_at, extra, removal)
                SELECT 't1_' || n, 'purrs ' || n, 'someone_i_was', now(), now(), now(), '{}', ''
                FROM generate_series(1, 10000) n
                """
            )
        reasons = {f"t1_{n}": DeletionReceipt.Reason.DELETED for n in range(1, 10_001)}
        seen = dict.fromkeys(reasons, timezone.now())
        with recorded_statements() as statements:
            assert deletion.purge(reasons, seen_at=seen) == 10_000
        assert len([sql for sql in statements if "UPDATE" in sql]) == 5
        assert found_anywhere("purrs", "someone_i_was") == []
        assert DeletionReceipt.objects.count() == 10_000
