"""What authors delete is purged, everywhere and with a receipt, and never comes back."""

import json
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from scraping import deletion, receipts
from scraping.ingest import POSTS, ingest_comments, ingest_dumped, ingest_posts
from scraping.models import (
    BotItem,
    DeletionReceipt,
    ItemCheck,
    PostScore,
    RedditComment,
    RedditPost,
)
from scraping.purges import purged_fullnames
from scraping.reddit.parse import parse_comment, parse_post
from tests.database import recorded_statements, row_versions
from tests.factories import CommentData, PostData, SuperuserFactory, packed

pytestmark = pytest.mark.django_db(transaction=True)

SECRETS = ("Tabby", "purrs", "someone_i_was", "t2_", "pics.example")


@pytest.fixture
def collected(world):
    """A post and a comment on it, both of one author, matched by a bot, with a history."""
    world.bot.include_terms = ["tabby", "purrs"]
    world.bot.save()
    world.post_name = world.post(
        title="My Tabby",
        author="someone_i_was",
        url="https://pics.example/tabby",
        fields={"link_flair_text": "Tabby flair", "poll_data": {"options": ["Tabby"]}},
    )
    world.comment_name = world.comment(world.post_name, body="It purrs", author="someone_i_was")
    world.collect()
    assert BotItem.objects.exclude(matched_terms=[]).count() == 2
    assert set(found_anywhere(*SECRETS)) == set(SECRETS)
    return world


def found_anywhere(*texts):
    """Those of the texts that any row of any table of ours holds, receipts and runs included."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' "
            "AND tablename SIMILAR TO '(scraping|django_celery_results|jobs)_%'"
        )
        tables = [name for (name,) in cursor.fetchall()]
        found = set()
        for text in texts:
            for table in tables:
                cursor.execute(
                    f"SELECT 1 FROM {table} t WHERE t::text ILIKE %s LIMIT 1", [f"%{text}%"]
                )
                found |= {text} if cursor.fetchone() else set()
    return sorted(found)


def receipt(fullname):
    found = DeletionReceipt.objects.get(fullname=fullname)
    return found.reason, set(found.parts)


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
        from scraping.dump_import import import_dump

        path = tmp_path / "posts.ndjson"
        path.write_text(json.dumps(purged.stale | {"retrieved_on": 2_000_000_000}) + "\n")
        report = import_dump(path)
        assert (report.record.withheld, report.record.new) == (1, 0)
        assert found_anywhere("My Tabby") == []

    def test_by_an_import_when_retention_has_removed_the_row(self, purged, tmp_path):
        from scraping.dump_import import import_dump

        RedditPost.objects.all().delete()
        path = tmp_path / "posts.ndjson"
        path.write_text(json.dumps(purged.stale) + "\n")
        import_dump(path)
        assert not RedditPost.objects.exists()

    def test_by_a_dump_even_without_a_look_at_the_receipts(self, purged):
        later = datetime(2030, 1, 1, tzinfo=UTC)
        ingest_dumped(POSTS, packed(parse_post(purged.stale), later))
        assert found_anywhere("My Tabby") == []


class TestByModerators:
    @pytest.mark.parametrize("category", ["moderator", "automod_filtered"])
    def test_it_is_purged_by_default(self, collected, category):
        collected.change(collected.post_name, "remove", by=category)
        collected.change(collected.comment_name, "remove")
        collected.advance(1.01)
        collected.check()
        assert found_anywhere("My Tabby", "It purrs", "someone_i_was") == []
        assert receipt(collected.post_name)[0] == receipt(collected.comment_name)[0] == "removed"

    def test_it_is_kept_where_the_setting_says_so(self, collected, settings):
        settings.REMOVED_CONTENT = "keep"
        collected.change(collected.post_name, "remove")
        collected.change(collected.comment_name, "remove")
        collected.advance(1.01)
        collected.check()
        post = RedditPost.objects.get(pk=collected.post_name)
        comment = RedditComment.objects.get(pk=collected.comment_name)
        assert (post.title, post.removal) == ("My Tabby", "removed")
        assert (comment.body, comment.removal) == ("It purrs", "removed")
        assert post.author == "someone_i_was", "Reddit still names the author of a removed post"
        # Of a removed comment it does not, so that nobody could tell when the account goes.
        assert (comment.author, comment.author_fullname) == ("[deleted]", "")
        assert receipt(collected.comment_name) == ("removed", {"author"})

    def test_what_reddit_itself_took_down_is_purged_in_any_case(self, collected, settings):
        settings.REMOVED_CONTENT = "keep"
        collected.change(collected.post_name, "remove", by="copyright_takedown")
        collected.advance(1.01)
        collected.check()
        assert found_anywhere("My Tabby") == []

    def test_what_they_approve_again_comes_back(self, collected):
        collected.change(collected.post_name, "remove")
        collected.advance(1.01)
        collected.check()
        collected.change(collected.post_name, "approve")
        collected.advance(3.01)
        collected.check()
        post = RedditPost.objects.get(pk=collected.post_name)
        assert (post.title, post.removal) == ("My Tabby", "")

    def test_what_its_author_deletes_after_them_does_not(self, collected):
        collected.change(collected.post_name, "remove")
        collected.advance(1.01)
        collected.check()
        collected.change(collected.post_name, "delete")
        collected.advance(3.01)
        collected.check()
        assert RedditPost.objects.get(pk=collected.post_name).removal == "deleted"
        assert DeletionReceipt.objects.filter(fullname=collected.post_name).count() == 1

    def test_a_change_of_the_setting_purges_what_was_kept(self, collected, settings):
        settings.REMOVED_CONTENT = "keep"
        collected.change(collected.post_name, "remove")
        collected.advance(1.01)
        collected.check()
        settings.REMOVED_CONTENT = "purge"
        collected.advance(3.01)
        collected.check()
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


class TestLeftOut:
    def omit(self, world, monkeypatch, *names):
        """Have answers leave items out, as Reddit does with what it knows nothing of."""
        from scraping.reddit.client import Page, RedditClient

        info = RedditClient.info

        def without(client, **asked):
            page = info(client, **asked)
            kept = [thing for thing in page.things if thing["data"]["name"] not in names]
            return Page(kept, page.after)

        monkeypatch.setattr(RedditClient, "info", without)

    def test_it_is_gone_when_a_second_answer_leaves_it_out(self, collected, monkeypatch):
        self.omit(collected, monkeypatch, collected.post_name)
        collected.advance(1.01)
        first = collected.now()
        assert (collected.check().left_out, found_anywhere("My Tabby")) == (1, ["My Tabby"])
        collected.advance(0.2)
        assert collected.check().asked == 0, "not before half an hour"
        collected.advance(0.4)
        assert collected.check().purged == 1

        assert found_anywhere("My Tabby") == []
        assert RedditPost.objects.get(pk=collected.post_name).removal == "gone"
        found = DeletionReceipt.objects.get()
        assert (found.reason, found.seen_at) == ("gone", first)
        assert RedditComment.objects.get(pk=collected.comment_name).body == "It purrs"

    def test_once_is_no_proof(self, collected, monkeypatch):
        with monkeypatch.context() as patched:
            self.omit(collected, patched, collected.post_name)
            collected.advance(1.01)
            collected.check()
        collected.advance(0.6)
        collected.check()
        check = ItemCheck.objects.get(pk=collected.post_name)
        assert (check.missing_since, check.is_unreadable) == (None, False)
        assert not DeletionReceipt.objects.exists()

    @pytest.mark.parametrize("status", ["private", "banned", "quarantined", "gated"])
    def test_a_subreddit_that_cannot_be_read_proves_nothing(self, collected, status):
        collected.reddit.control("subreddits", {"name": "Quiet", "status": status})
        for hours in (1.01, 0.6, 6.1, 0.6, 6.1):
            collected.advance(hours)
            collected.check()
        assert not DeletionReceipt.objects.exists()
        assert receipts.verification().unreadable == 2
        assert receipts.verification().oldest_at is None

        collected.reddit.control("subreddits", {"name": "Quiet", "status": "ok"})
        collected.change(collected.post_name, "delete")
        collected.advance(6.1)
        collected.check()
        assert receipt(collected.post_name)[0] == "deleted"
        assert receipts.verification().unreadable == 0

    def test_an_empty_answer_now_and_then_purges_nothing(self, collected):
        collected.reddit.control("faults", {"kind": "empty", "path": "info", "times": 1})
        collected.advance(1.01)
        collected.check()
        collected.advance(0.6)
        collected.check()
        assert not DeletionReceipt.objects.exists()

    def test_the_simulator_does_not_know_what_is_gone_from_reddit(self, collected, monkeypatch):
        from bots.models import RedditApp
        from tests.factories import RedditAppFactory

        RedditAppFactory(service=RedditApp.Service.REDDIT, refused_at=timezone.now())
        self.omit(collected, monkeypatch, collected.post_name)
        for hours in (1.01, 0.6, 6.1, 0.6):
            collected.advance(hours)
            collected.check()
        assert not DeletionReceipt.objects.exists()


KILLED = """
import os, signal, django
django.setup()
from datetime import UTC, datetime
from scraping import refresh
from scraping.refresh import Sweep
store = Sweep._store
def dies(*arguments):
    {before}
    os.kill(os.getpid(), signal.SIGKILL)
Sweep._store = dies
refresh.check_items(clock=lambda: datetime.fromtimestamp({now}, tz=UTC))
"""


class TestAKill:
    @pytest.mark.parametrize(
        "before",
        [
            "pass",
            # In the middle of the transaction: purged, not committed.
            "store(*arguments)",
        ],
    )
    def test_between_answer_and_purge_loses_nothing(
        self, collected, process_environment, settings, before
    ):
        collected.change(collected.post_name, "delete")
        collected.advance(1.01)
        code = KILLED.format(before=before, now=collected.now().timestamp())
        died = subprocess.run(
            [sys.executable, "-c", code],
            env=process_environment | {"SIMULATOR_URL": settings.SIMULATOR_URL},
            capture_output=True,
            timeout=60,
        )
        assert died.returncode == -signal.SIGKILL, died.stderr.decode()
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


class TestTheReport:
    @pytest.fixture
    def purges(self):
        now = datetime(2026, 2, 1, 12, tzinfo=UTC)
        DeletionReceipt.objects.bulk_create(
            DeletionReceipt(
                fullname=f"t3_{n}",
                kind="post",
                reason="deleted",
                seen_at=now - timedelta(seconds=n),
                purged_at=now + timedelta(days=n),
                parts=["title"],
            )
            for n in range(3)
        )

    def run(self, capsys, *arguments):
        call_command("deletion_report", *arguments)
        return capsys.readouterr().out

    def test_counts_and_times(self, purges, capsys, collected):
        report = json.loads(self.run(capsys, "--json"))
        (row,) = report["purges"]
        assert (row["reason"], row["purged"]) == ("deleted", 3)
        assert row["longest_seconds"] == 2 * 86_400 + 2
        assert row["p50_seconds"] == 86_401
        assert report["oldest_unverified_hours"] is not None
        assert report["overdue"] == 0

    def test_the_span_is_asked_for(self, purges, capsys):
        report = json.loads(
            self.run(capsys, "--json", "--since", "2026-02-02", "--until", "2026-02-03T00:00")
        )
        assert [row["purged"] for row in report["purges"]] == [1]

    def test_forms(self, purges, capsys):
        assert self.run(capsys, "--csv").splitlines()[1].startswith("deleted,post,3,")
        assert "Deleted" in self.run(capsys) or "deleted" in self.run(capsys)
        lines = self.run(capsys, "--receipts", "--json").splitlines()
        assert [json.loads(line)["fullname"] for line in lines] == ["t3_0", "t3_1", "t3_2"]
        assert self.run(capsys, "--receipts").splitlines()[0] == (
            "fullname,kind,reason,seen_at,purged_at,parts"
        )

    @pytest.mark.parametrize("arguments", [("--json", "--csv"), ("--since", "yesterday")])
    def test_bad_arguments(self, arguments):
        from django.core.management.base import CommandError

        with pytest.raises(CommandError):
            call_command("deletion_report", *arguments)


class TestTheAdmin:
    @pytest.fixture
    def admin(self, client):
        client.force_login(SuperuserFactory())
        return client

    def test_receipts_are_listed_and_exported(self, admin, collected):
        name = collected.post_name
        deletion.purge({name: DeletionReceipt.Reason.DELETED}, seen_at={name: collected.now()})
        url = "/admin/scraping/deletionreceipt/"
        assert name in admin.get(url).content.decode()
        pk = DeletionReceipt.objects.get().pk
        for form in ("csv", "ndjson"):
            answer = admin.post(url, {"action": f"export_{form}", "_selected_action": [pk]})
            text = b"".join(answer.streaming_content).decode()
            assert name in text
            assert "Tabby" not in text

    def test_a_post_shows_its_history(self, admin, collected):
        PostScore.objects.create(
            post_id=collected.post_name,
            at=collected.now() + timedelta(hours=1),
            score=1234,
            num_comments=5,
        )
        page = admin.get(f"/admin/scraping/redditpost/{collected.post_name}/change/", follow=True)
        assert "<polyline" in page.content.decode()
        assert "1,234 points" in page.content.decode()

    def test_the_front_page_tells_how_far_behind_verification_is(self, admin, collected):
        page = admin.get("/admin/").content.decode()
        assert "Verified longest ago" in page

    def test_what_fell_short_is_not_among_the_matches(self, admin, collected):
        BotItem.objects.filter(fullname=collected.post_name).update(state="missed")
        url = "/admin/scraping/botitem/"
        assert collected.post_name not in admin.get(url).content.decode()
        assert collected.post_name in admin.get(url + "?state=missed").content.decode()
        assert collected.post_name in admin.get(url + "?state=any").content.decode()
