"""An item that answers leave out is gone when that is proved, and not before."""

import pytest
from django.utils import timezone

from scraping.content import receipts
from scraping.models import DeletionReceipt, ItemCheck, RedditComment, RedditPost
from tests.scraping.traces import found_anywhere, receipt

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


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
