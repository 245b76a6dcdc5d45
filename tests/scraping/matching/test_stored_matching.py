"""What is stored is matched anew when a bot changes, and on trial before it is saved."""

import threading
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.db import connection, transaction
from django.urls import reverse
from django.utils import timezone
from django_celery_results.models import TaskResult

from bots.models import BotConfig
from jobs.errors import Skip
from scraping import matching, tasks
from scraping.content.upsert import ingest_comments, ingest_posts
from scraping.matching import stored
from scraping.models import BotItem, RedditPost
from scraping.reddit.parse import parse_comment, parse_post
from tests.database import row_versions, sessions_waiting_for_locks
from tests.factories import (
    BotFactory,
    CommentData,
    PostData,
    RedditAppFactory,
    SuperuserFactory,
    UserFactory,
)
from tests.processes import wait_until

pytestmark = pytest.mark.django_db

PREVIEW = reverse("admin:scraping_botitem_preview")


def store(*titles, subreddit="python", age=timedelta(hours=1), first=1):
    """Store a post of each title; the later ones are newer."""
    start = (timezone.now() - age).timestamp()
    ingest_posts(
        [
            parse_post(
                PostData(number=n, title=title, subreddit=subreddit, created_utc=start + n)
                | {"subreddit_id": f"t5_{subreddit}"}
            )
            for n, title in enumerate(titles, first)
        ]
    )


def marks(bot):
    """The titles or bodies that the bot has marks on, with the terms."""
    titles = dict(RedditPost.objects.values_list("fullname", "title"))
    found = BotItem.objects.filter(bot=bot).values_list("fullname", "matched_terms")
    return {titles.get(fullname, fullname): terms for fullname, terms in found}


def requested():
    return list(
        TaskResult.objects.filter(task_name="scraping.rematch_bot").values_list(
            "task_kwargs", flat=True
        )
    )


class TestRematch:
    def test_marks_follow_the_terms(self):
        store("a cat", "a dog", "cat and dog", "a bird")
        bot = BotFactory(include_terms=["cat"])
        matching.rematch(bot)
        assert marks(bot) == {"a cat": ["cat"], "cat and dog": ["cat"]}

        bot.include_terms = ["dog", "cat"]
        bot.exclude_terms = ["a cat"]
        bot.save()
        result = matching.rematch(bot)

        assert marks(bot) == {"a dog": ["dog"], "cat and dog": ["dog", "cat"]}
        assert (result.examined, result.added, result.changed, result.removed) == (4, 1, 1, 1)

    def test_marks_follow_the_subreddits(self):
        store("a cat")
        store("a cat in rust", subreddit="Rust", first=10)
        bot = BotFactory(include_terms=["cat"], subreddits=["python"])
        matching.rematch(bot)
        bot.subreddits = ["rust"]
        bot.save()
        matching.rematch(bot)

        assert marks(bot) == {"a cat in rust": ["cat"]}

    def test_comments_are_matched_too(self):
        ingest_comments([parse_comment(CommentData(number=1, body="a cat"))])
        bot = BotFactory(include_terms=["cat"])
        matching.rematch(bot)

        assert list(marks(bot)) == ["t1_yy0001"]

    @pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
    def test_no_item_falls_between_two_batches(self, batch_size):
        store(*(f"cat {n}" for n in range(7)))
        RedditPost.objects.update(created_at=timezone.now() - timedelta(hours=1))
        bot = BotFactory(include_terms=["cat"])

        assert matching.rematch(bot, batch_size=batch_size).added == 7
        bot.include_terms = ["dog"]
        bot.save()
        assert matching.rematch(bot, batch_size=batch_size).removed == 7
        assert marks(bot) == {}

    def test_marks_that_are_right_are_not_written_again(self):
        store("a cat")
        bot = BotFactory(include_terms=["cat"])
        matching.rematch(bot)
        before = row_versions("scraping_botitem")

        result = matching.rematch(bot)

        assert row_versions("scraping_botitem") == before
        assert (result.added, result.changed, result.removed) == (0, 0, 0)

    def test_marks_of_other_bots_and_of_purged_items_stay(self):
        store("a cat")
        bot, other = BotFactory(include_terms=["dog"]), BotFactory(include_terms=["cat"])
        BotItem.objects.create(bot=bot, fullname="t3_purged", matched_at=timezone.now())
        matching.rematch(other)
        matching.rematch(bot)

        assert list(marks(bot)) == ["t3_purged"]
        assert list(marks(other)) == ["a cat"]

    def test_it_ends_when_the_bot_changed_meanwhile(self):
        store("a cat")
        bot = BotFactory(include_terms=["cat"])
        BotConfig.objects.filter(pk=bot.pk).update(include_terms=["dog"])

        assert matching.rematch(bot).superseded
        assert marks(bot) == {}

    def test_the_task_says_what_it_did(self):
        store("a cat")
        bot = BotFactory(include_terms=["cat"])

        assert tasks.rematch_bot(bot.pk)["added"] == 1
        with pytest.raises(Skip, match="does not exist"):
            tasks.rematch_bot(bot.pk + 1)

    @pytest.mark.django_db(transaction=True)
    def test_a_page_that_is_being_stored_is_waited_for(self):
        """It was matched by the terms of before and is not to be seen until it is committed."""
        store("an old post")
        bot = BotFactory(include_terms=["cat"])
        stored_page, commit = threading.Event(), threading.Event()

        def page():
            with transaction.atomic():
                store("a cat", first=50)
                stored_page.set()
                commit.wait(20)
            connection.close()

        def rematch():
            matching.rematch(bot)
            connection.close()

        storing, matcher = threading.Thread(target=page), threading.Thread(target=rematch)
        storing.start()
        stored_page.wait(20)
        matcher.start()
        matcher.join(0.5)
        assert matcher.is_alive()
        commit.set()
        storing.join(20)
        matcher.join(20)

        assert list(marks(bot)) == ["a cat"]

    @pytest.mark.django_db(transaction=True)
    def test_a_change_waits_for_the_batch_that_is_being_written(self):
        bot = BotFactory(include_terms=["cat"])

        def change():
            BotConfig.objects.filter(pk=bot.pk).update(include_terms=["dog"])
            connection.close()

        other = threading.Thread(target=change)
        with transaction.atomic():
            match = matching.Match(bot.pk, "t3_a", ["cat"])
            assert stored._write(bot, matching.Rematched(), matches=[match], unmarked=[])
            other.start()
            wait_until(lambda: sessions_waiting_for_locks() == 1, what="the change waits")
        other.join(20)

        assert not stored._write(bot, matching.Rematched(), matches=[match], unmarked=[])


class TestRequests:
    @pytest.mark.parametrize(
        "change",
        [
            {"include_terms": ["dog"]},
            {"exclude_terms": ["dog"]},
            {"subreddits": ["python", "rust"]},
            {"match_in": ["title"]},
            {"case_sensitive": True},
            {"whole_words": False},
        ],
    )
    @pytest.mark.parametrize("door", ["save", "update"])
    def test_a_change_of_what_is_matched_asks_for_a_rematch(self, change, door):
        bot = BotFactory(include_terms=["cat"])
        store("a dog")
        if door == "update":
            BotConfig.objects.filter(pk=bot.pk).update(**change)
        else:
            for name, value in change.items():
                setattr(bot, name, value)
            bot.save()

        assert requested() == [f'{{"bot_id": {bot.pk}}}']

    def test_no_other_change_does(self):
        bot = BotFactory(include_terms=["cat"])
        store("a dog")
        bot.name = "Another name"
        bot.every = 7
        bot.save()
        bot.include_terms = ["not written"]
        bot.save(update_fields=["name"])
        BotConfig.objects.update(last_session_summary="3 posts", auto_scrape_enabled=False)

        assert requested() == []

    def test_a_new_bot_gets_what_is_stored_and_asks_for_nothing_where_nothing_is(self):
        BotFactory()
        assert requested() == []
        store("a dog")
        bot = BotFactory()
        assert requested() == [f'{{"bot_id": {bot.pk}}}']

    def test_one_that_is_switched_on_again_does(self):
        bot = BotFactory(is_active=False)
        store("a dog")
        bot.save()
        assert requested() == []
        BotConfig.objects.update(is_active=True)

        assert len(requested()) == 1


class TestPreview:
    def preview(self, **options):
        values = {"subreddits": ["Python"], "include_terms": ["cat"]} | options.pop("bot", {})
        return matching.preview(BotConfig(**values), **options)

    def test_it_counts_and_shows_the_newest(self):
        store(*(f"cat {n}" for n in range(9)), "a dog")
        store("an old cat", age=timedelta(days=31), first=50)
        store("another's cat", subreddit="rust", first=60)
        ingest_comments(
            [
                parse_comment(
                    CommentData(number=1, body="cat", created_utc=timezone.now().timestamp())
                )
            ]
        )

        found = self.preview(examples=3)

        assert (found.examined, found.matched, found.cut) == (11, 10, "")
        assert found.by_term == {"cat": 10}
        assert [example.excerpt for example in found.examples] == ["cat", "cat 8", "cat 7"]
        assert found.examples[0].subreddit == "python"
        assert BotItem.objects.count() == 0

    def test_it_says_when_it_is_cut(self):
        store(*(f"cat {n}" for n in range(9)))

        few = self.preview(item_limit=4)
        assert (few.examined, few.matched) == (4, 4)
        assert few.cut == "only the newest 4 items were looked at"
        assert few.examples[0].excerpt == "cat 8"
        assert "0 seconds" in self.preview(seconds=0).cut

    def test_subreddits_take_turns(self, monkeypatch):
        monkeypatch.setattr(stored, "BATCH", 2)
        store(*(f"cat {n}" for n in range(9)))
        store("a cat in rust", subreddit="rust", first=50)

        found = self.preview(bot={"subreddits": ["python", "rust"]}, item_limit=3)

        assert {example.subreddit for example in found.examples} == {"python", "rust"}


class TestPreviewPage:
    def typed(self, **changes):
        return {
            "subreddits": "r/python",
            "include_terms": "cat",
            "match_in": ["title", "body"],
            "whole_words": "on",
            "name": "",
            "every": "nonsense",
        } | changes

    @pytest.fixture
    def admin(self, client):
        client.force_login(SuperuserFactory())
        return client

    def test_it_shows_what_would_match_and_saves_nothing(self, admin):
        store("a cat <b>bold</b>", "a dog")

        page = admin.post(PREVIEW, self.typed())

        text = page.content.decode()
        assert page.status_code == 200
        assert "Matching items: 1 of 2" in text
        assert "a cat &lt;b&gt;bold" in text
        assert not BotConfig.objects.exists()
        assert not BotItem.objects.exists()

    @pytest.mark.parametrize(("least", "told"), [("50", True), ("", False)])
    def test_it_says_that_scores_are_not_looked_at(self, admin, least, told):
        store("a cat")

        text = admin.post(PREVIEW, self.typed(min_score=least)).content.decode()

        assert "Matching items: 1 of 1" in text
        assert ("ignores the minimum score" in text) is told

    def test_faults_are_named(self, admin):
        text = admin.post(PREVIEW, self.typed(include_terms="re:(", subreddits="")).content.decode()

        assert "does not compile" in text
        assert "Subreddits" in text

    def test_the_form_has_the_button_and_no_script(self, admin):
        bot = BotFactory()
        for address in (
            reverse("admin:bots_botconfig_add"),
            reverse("admin:bots_botconfig_change", args=[bot.pk]),
        ):
            text = admin.get(address).content.decode()
            button = text[text.index(f'formaction="{PREVIEW}') - 200 :][:400]
            assert 'form="botconfig_form"' in button
            assert "onclick" not in button
            # Enter presses the first button of a form: it must go on being the one that saves.
            assert text.index('name="_save"') < text.index(f'formaction="{PREVIEW}')
            assert "<script>" not in text[text.index(f'formaction="{PREVIEW}') :]

    @pytest.mark.parametrize(
        ("permission", "status"),
        [("add_botconfig", 200), ("change_botconfig", 200), ("view_botconfig", 403)],
    )
    def test_it_is_for_those_who_may_edit_bots(self, client, permission, status):
        user = UserFactory()
        user.user_permissions.add(Permission.objects.get(codename=permission))
        client.force_login(user)

        assert client.post(PREVIEW, self.typed()).status_code == status

    def test_it_is_for_nobody_else(self, client):
        assert client.post(PREVIEW, self.typed()).status_code == 302
        client.force_login(UserFactory())
        assert client.get(PREVIEW).status_code == 405

    def test_another_bots_name_is_no_fault(self, admin):
        BotFactory(name="Cats", reddit_app=RedditAppFactory())

        assert b"Matching items" in admin.post(PREVIEW, self.typed(name="Cats")).content
