"""What moderators remove is purged or kept, as the setting says; what Reddit takes down is purged."""

import pytest

from scraping.models import DeletionReceipt, RedditComment, RedditPost
from tests.scraping.traces import found_anywhere, receipt

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


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
