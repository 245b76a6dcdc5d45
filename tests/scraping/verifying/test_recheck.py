"""What is stored is looked up on Reddit again when it is due, and what changed there changes here."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from scraping.budget.app_budget import BudgetSpent
from scraping.content import check_plan
from scraping.content.upsert import POSTS, ingest_dumped, ingest_posts
from scraping.models import ItemCheck, RedditComment, RedditPost, Subreddit
from scraping.reddit.parse import parse_post
from scraping.verifying import recheck
from tests.database import row_versions
from tests.factories import BotFactory, PostData, RedditAppFactory, packed

pytestmark = pytest.mark.django_db(transaction=True)


def requests_for_info(reddit):
    latest = reddit.control("requests?limit=1000")["latest"]
    return sum("info" in entry["path"] for entry in latest)


class TestRefresh:
    def test_scores_and_edits_are_seen_at_an_hour_of_age(self, world):
        post = world.post()
        comment = world.comment(post)
        world.collect()
        world.change(post, "edit", selftext="It purrs no more")
        world.change(post, "score", score=70)
        world.change(comment, "score", score=9)

        assert world.check().asked == 0, "nothing is due yet"
        world.advance(1.01)
        result = world.check()

        stored = RedditPost.objects.get(pk=post)
        assert (stored.selftext, stored.edited, stored.score) == ("It purrs no more", True, 70)
        assert RedditComment.objects.get(pk=comment).score == 9
        assert (result.asked, result.updated, result.stopped) == (2, 2, {})
        assert world.check().asked == 0

    def test_where_nothing_changed_only_the_check_is_written(self, world):
        post = world.post()
        world.change(post, "score", score=5)
        world.collect()
        before = row_versions("scraping_redditpost", "fullname")
        world.advance(1.01)
        assert world.check().asked == 1
        assert row_versions("scraping_redditpost", "fullname") == before

    def test_a_hundred_go_in_one_request(self, world):
        for number in range(130):
            world.post(title=f"Cat {number}")
        world.collect()
        world.advance(1.01)
        assert ItemCheck.objects.count() == 130, list(ItemCheck.objects.values_list())[:3]

        result = world.check()

        assert (result.asked, requests_for_info(world.reddit)) == (130, 2)
        assert ItemCheck.objects.filter(checked_at__lt=world.now()).count() == 0

    def test_a_run_is_bounded_and_the_next_goes_on(self, world):
        for number in range(120):
            world.post(title=f"Cat {number}")
        world.collect()
        world.advance(1.01)

        assert world.check(requests=1).asked == 100
        assert world.check(requests=1).asked == 20

    def test_spent_requests_end_the_run_politely(self, world, monkeypatch):
        world.post()
        world.collect()
        world.advance(1.01)

        def spent(self):
            raise BudgetSpent("spent", retry_after=300)

        with monkeypatch.context() as patched:
            patched.setattr("scraping.budget.app_budget.AppBudget.take", spent)
            result = world.check()
        assert (result.asked, list(result.stopped.values())) == (0, ["spent"])
        assert world.check().asked == 1, "nothing was lost"

    def test_the_lanes_are_those_of_deletions_and_refreshes(self, world, monkeypatch):
        lanes = []
        made = recheck.AppBudget

        def budget(app, *, lane, **options):
            lanes.append(lane)
            return made(app, lane=lane, **options)

        monkeypatch.setattr(recheck, "AppBudget", budget)
        world.check()
        assert lanes == ["deletion", "refresh"]

    def test_the_task_is_on_schedule(self):
        from django_celery_beat.models import PeriodicTask

        from jobs.schedules import system

        system.install()
        row = PeriodicTask.objects.get(name="refresh-and-verify")
        assert (row.task, row.queue, row.enabled) == ("scraping.check_items", "scraping", True)

    def test_due_items_are_found_by_the_index(self):
        with connection.cursor() as cursor:
            cursor.execute(
                """
                INSERT INTO scraping_itemcheck SELECT 't3_' || n, n % 50, now(), now(),
                    now() + make_interval(secs => n), false, null, false
                FROM generate_series(1, 20000) n
                """
            )
            cursor.execute("ANALYZE scraping_itemcheck")
            for subreddits in (None, [1, 2, 3]):
                query = check_plan.ItemCheck.objects.filter(
                    is_refresh=False, due_at__lte=datetime.now(UTC)
                ).order_by("due_at")
                if subreddits:
                    query = query.filter(subreddit_id__in=subreddits)
                plan = query[:1000].explain()
                assert "scraping_check_due" in plan, plan
                assert "Sort" not in plan, plan

    def test_each_app_asks_about_what_its_bots_watch(self, world):
        from bots.models import RedditApp

        world.post()
        world.collect()
        other = BotFactory(subreddits=["elsewhere"])
        elsewhere = Subreddit.objects.create(name="elsewhere")
        orphan = Subreddit.objects.create(name="orphan")
        real = RedditAppFactory(service=RedditApp.Service.REDDIT)

        shares = {app.pk: set(subreddits) for app, subreddits in recheck._shares()}

        quiet = Subreddit.objects.get(name="Quiet").pk
        assert shares == {
            world.bot.reddit_app_id: {quiet},
            other.reddit_app_id: {elsewhere.pk},
            real.pk: {0, orphan.pk},
        }
        assert not recheck._is_trusted(other.reddit_app)

    def test_items_of_a_dump_are_due_at_once(self, world):
        old = datetime(2020, 1, 1, tzinfo=UTC)
        ingest_dumped(POSTS, packed(parse_post(PostData(number=1)), old), now=world.now())
        check_plan.enrol_new(now=world.now())
        check = ItemCheck.objects.get()
        assert (check.due_at, check.checked_at) == (world.now(), old)

    def test_a_run_enrols_what_was_stored_lately_and_the_nightly_one_everything(self, world):
        now = world.now()
        ingest_posts([parse_post(PostData(number=1))], now=now)
        ingest_posts([parse_post(PostData(number=2))], now=now - timedelta(days=3))
        assert not ItemCheck.objects.exists()

        assert world.check().enrolled == 1
        assert [check.fullname for check in ItemCheck.objects.all()] == ["t3_zz0001"]
        assert check_plan.enrol_new(now=now, everything=True) == 1
        assert check_plan.enrol_new(now=now, everything=True) == 0

    def test_an_item_that_retention_removed_is_forgotten(self, world):
        post = world.post()
        world.collect()
        RedditPost.objects.filter(pk=post).delete()
        world.change(post, "delete")
        Subreddit.objects.update(status="ok")
        ingest_posts([parse_post(PostData(number=1, subreddit="Quiet"))], now=world.now())
        check_plan.enrol_new(now=world.now())
        RedditPost.objects.all().delete()
        world.advance(43)
        world.check()
        assert not ItemCheck.objects.filter(pk="t3_zz0001").exists()
