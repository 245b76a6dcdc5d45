"""The admin shows receipts, the history of a post and how far verification is behind."""

from datetime import timedelta

import pytest

from scraping.content import deletion
from scraping.models import BotItem, DeletionReceipt, PostScore
from tests.factories import SuperuserFactory

pytestmark = pytest.mark.django_db(transaction=True)


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
        assert "Oldest verification" in page

    def test_what_fell_short_is_not_among_the_matches(self, admin, collected):
        BotItem.objects.filter(fullname=collected.post_name).update(state="missed")
        url = "/admin/scraping/botitem/"
        assert collected.post_name not in admin.get(url).content.decode()
        assert collected.post_name in admin.get(url + "?state=missed").content.decode()
        assert collected.post_name in admin.get(url + "?state=any").content.decode()
