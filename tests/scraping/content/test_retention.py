"""What is too old goes, with all that refers to it, while collection goes on, and does not come back."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.apps import apps
from django.db import connection, models, transaction
from django.db.models import TextField
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from bots import services as bot_services
from jobs.schedules import system
from scraping.content import retention
from scraping.content.upsert import ingest_posts
from scraping.models import (
    BotItem,
    Gap,
    RedditComment,
    RedditPost,
    ScrapeSession,
    Stream,
    Subreddit,
)
from scraping.reddit.parse import parse_post
from scraping.sessions import services
from scraping.tasks import delete_old_content, delete_old_sessions
from tests.factories import BotFactory, PostData
from tests.scraping.bot_sessions import fill

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def post(number, age, subreddit="python", **fields):
    """A stored post of so many days."""
    written = NOW - age * DAY
    found, _ = Subreddit.objects.get_or_create(name=subreddit) if subreddit else (None, None)
    values = {
        "fullname": f"t3_{number}",
        "subreddit": found,
        "title": "A title",
        "created_at": written,
        "first_seen_at": written,
        "refreshed_at": written,
    }
    return RedditPost.objects.create(**values | fields)


def comment(number, age, subreddit="python"):
    written = NOW - age * DAY
    found, _ = Subreddit.objects.get_or_create(name=subreddit)
    return RedditComment.objects.create(
        fullname=f"t1_{number}",
        subreddit=found,
        body="A comment",
        created_at=written,
        first_seen_at=written,
        refreshed_at=written,
    )


def match(bot, item):
    return BotItem.objects.create(bot=bot, fullname=item.fullname, matched_at=item.first_seen_at)


def left():
    return {*RedditPost.objects.values_list("pk", flat=True)} | {
        *RedditComment.objects.values_list("pk", flat=True)
    }


class TestContent:
    def test_what_is_older_than_its_time_goes_with_its_matches(self):
        bot = BotFactory()
        for item in (post(1, 91), post(2, 89), comment(3, 91), comment(4, 89)):
            match(bot, item)

        deleted = retention.delete_old_content(now=NOW)

        assert left() == {"t3_2", "t1_4"}
        assert set(BotItem.objects.values_list("fullname", flat=True)) == left()
        assert deleted == retention.Deleted(posts=1, comments=1, others=2)
        assert retention.delete_old_content(now=NOW) == retention.Deleted()

    def test_of_the_bots_that_watch_the_longest_wish_counts(self):
        BotFactory(subreddits=["PYTHON", "other"], retention_days=200)
        BotFactory(subreddits=["python"], retention_days=120)
        BotFactory(subreddits=["berlin"], retention_days=7)
        for name in ("python", "berlin", "unwatched"):
            for age in (91, 199, 201):
                post(f"{name}{age}", age, name)
        post("berlin8", 8, "berlin")

        retention.delete_old_content(now=NOW)

        assert left() == {"t3_python91", "t3_python199", "t3_berlin8"}

    def test_a_setting_says_for_how_long(self, settings):
        settings.CONTENT_RETENTION_DAYS = 10
        post(1, 11)
        post(2, 9)

        retention.delete_old_content(now=NOW)

        assert left() == {"t3_2"}

    def test_what_an_import_brought_stays_for_its_time_from_then_on(self):
        post(1, 3000, retrieved_at=NOW - 900 * DAY, first_seen_at=NOW - 10 * DAY)
        post(2, 3000, retrieved_at=NOW - 900 * DAY, first_seen_at=NOW - 100 * DAY)
        post(3, 3000, first_seen_at=NOW - 10 * DAY)

        retention.delete_old_content(now=NOW)

        assert left() == {"t3_1"}

    def test_advertisements_go_too(self):
        post(1, 91, None)
        post(2, 89, None)

        retention.delete_old_content(now=NOW)

        assert left() == {"t3_2"}

    def test_what_is_no_longer_complete_is_said_to_be_so(self):
        post(1, 91)
        python = Subreddit.objects.get()
        stream = Stream.objects.create(
            subreddit=python, kind="posts", complete_since=NOW - 300 * DAY, watermark=NOW
        )
        old = Gap.objects.create(
            stream=stream, starts_at=NOW - 200 * DAY, ends_at=NOW - 100 * DAY, reason="item_limit"
        )
        young = Gap.objects.create(
            stream=stream, starts_at=NOW - 100 * DAY, ends_at=NOW - 50 * DAY, reason="item_limit"
        )

        retention.delete_old_content(now=NOW)

        for row in (stream, old, young):
            row.refresh_from_db()
        assert stream.complete_since == NOW - 90 * DAY
        assert old.closed_by.startswith("retention")
        assert young.closed_at is None

    def test_matches_without_an_item_go(self):
        bot = BotFactory()
        kept, lost = match(bot, post(1, 5)), BotItem(bot=bot, fullname="t3_lost")
        lost.matched_at = NOW - 2 * DAY
        lost.save()
        BotItem.objects.create(bot=bot, fullname="t3_being_stored", matched_at=NOW)

        for size in (1, 100):
            retention.delete_old_content(now=NOW, batch_size=size)

        found = set(BotItem.objects.values_list("fullname", flat=True))
        assert found == {kept.fullname, "t3_being_stored"}

    def test_no_relation_is_forgotten(self):
        """Whatever knows an item by its name must be said to go with it, or to stay true without."""
        known = {*retention.DEPENDENTS, *retention.KEPT}
        for model in apps.get_app_config("scraping").get_models():
            for field in model._meta.local_fields:
                if isinstance(field, TextField | models.CharField) and "fullname" in field.name:
                    assert (model.__name__, field.name) in known, (
                        f"{model.__name__}.{field.name}: add it to retention.DEPENDENTS or KEPT"
                    )
        for model in retention.CONTENT:
            for relation in model._meta.related_objects:
                assert relation.on_delete is not models.PROTECT, relation
                assert relation.on_delete is not models.RESTRICT, relation

    def test_a_new_relation_goes_with_the_item(self):
        """Rows of a table that retention has never heard of, with a foreign key."""

        class Plot(models.Model):
            post = models.ForeignKey(RedditPost, on_delete=models.CASCADE)

            class Meta:
                app_label = "scraping"

        try:
            with connection.schema_editor() as editor:
                editor.create_model(Plot)
            Plot.objects.create(post=post(1, 91))
            Plot.objects.create(post=post(2, 89))

            assert retention.delete_old_content(now=NOW).others == 1
            assert [plot.post_id for plot in Plot.objects.all()] == ["t3_2"]
        finally:
            with connection.schema_editor() as editor:
                editor.delete_model(Plot)
            del apps.all_models["scraping"]["plot"]
            apps.clear_cache()


class TestBatches:
    def test_a_row_that_somebody_holds_is_not_waited_for(self):
        for number in range(5):
            post(number, 91)
        held, done = threading.Event(), threading.Event()

        def hold():
            with transaction.atomic():
                RedditPost.objects.select_for_update().get(pk="t3_2")
                held.set()
                done.wait(60)
            connection.close()

        holder = threading.Thread(target=hold)
        holder.start()
        assert held.wait(60)
        try:
            assert retention.delete_old_content(now=NOW, batch_size=2).posts == 4
        finally:
            done.set()
            holder.join(60)

        assert left() == {"t3_2"}
        assert retention.delete_old_content(now=NOW).posts == 1

    def test_each_batch_is_a_transaction_of_its_own(self, monkeypatch):
        """Stopped anywhere, what went is gone and the next run goes on."""
        for number in range(10):
            post(number, 91)
        calls = []

        def stop():
            calls.append(RedditPost.objects.count())
            if len(calls) == 2:
                raise InterruptedError

        monkeypatch.setattr(retention.cancellation, "check", stop)
        with pytest.raises(InterruptedError):
            retention.delete_old_content(now=NOW, batch_size=3)

        assert calls == [7, 4]
        monkeypatch.undo()
        assert retention.delete_old_content(now=NOW, batch_size=3).posts == 4

    def test_fifty_thousand_go_while_others_come(self):
        """Writers get their turn between the batches, and nothing young is lost."""
        python = Subreddit.objects.create(name="python")
        with connection.cursor() as cursor:
            cursor.execute(
                """
                INSERT INTO scraping_redditpost (fullname, subreddit_id, title, created_at, removal,
                    extra, first_seen_at, refreshed_at)
                SELECT 't3_old' || n, %s, 'A title', %s - n * interval '1 second', '', '{}', %s, %s
                FROM generate_series(1, 50000) n
                """,
                [python.pk, NOW - 91 * DAY, NOW, NOW],
            )
        stored, stop = [], threading.Event()

        def collect():
            number = 0
            while not stop.is_set():
                number += 1
                data = PostData(number=number, id=f"new{number}", created_utc=NOW.timestamp())
                stored.extend(ingest_posts([parse_post(data)]).new)
                # The same row again and again, too, as a collector refreshes what it meets.
                ingest_posts([parse_post(data | {"score": number})])
            connection.close()

        writer = threading.Thread(target=collect)
        writer.start()
        try:
            deleted = retention.delete_old_content(now=NOW)
            during = len(stored)
        finally:
            stop.set()
            writer.join(60)

        assert deleted.posts == 50_000
        assert during >= 50  # as many as there are batches
        assert left() == set(stored)

    def test_the_statement_uses_the_index_by_subreddit_and_time(self):
        python = Subreddit.objects.create(name="python")
        with connection.cursor() as cursor:
            cursor.execute("SET enable_seqscan = off")
            query = retention._old(RedditPost, python, NOW).order_by("created_at")[:100]
            plan = query.explain()
            cursor.execute("SET enable_seqscan = on")

        assert "scraping_post_by_time" in plan
        assert "Sort" not in plan


class TestWhatWasDeletedStaysAway:
    def test_a_deep_walk_does_not_bring_it_back(self, reddit):
        bot = BotFactory(subreddits=["python", "berlin"], comments="stream")
        first = services.scrape_bot(bot.pk, trigger="manual")
        assert first.new
        # The simulator's hours are of March: everything is too old by now.
        now = timezone.now()
        assert retention.delete_old_content(now=now).posts == first.posts_seen
        assert not BotItem.objects.exists()

        for _ in range(2):
            Stream.objects.update(watermark=None)
            session = services.scrape_bot(bot.pk, trigger="manual")

            assert (session.status, session.new, session.matched) == ("completed", 0, 0)
            assert session.posts_seen == first.posts_seen
            assert left() == set()
            assert not BotItem.objects.exists()

    def test_it_is_known_ground_for_the_next_walk(self, reddit):
        """A quiet subreddit whose listing holds nothing young costs a page, not ten."""
        bot = BotFactory(subreddits=["python"])
        services.scrape_bot(bot.pk, trigger="manual")
        fill(reddit, "python", number=250, each=60)
        services.scrape_bot(bot.pk, trigger="manual")
        reddit.control("clock", {"advance": 3600})
        retention.delete_old_content(now=timezone.now())

        session = services.scrape_bot(bot.pk, trigger="manual")

        assert session.requests <= 2
        assert (session.status, session.new) == ("completed", 0)

    def test_what_is_young_enough_is_stored_beside_it(self, reddit):
        bot = BotFactory(subreddits=["python"])
        services.scrape_bot(bot.pk, trigger="manual")
        half = RedditPost.objects.order_by("created_at")[RedditPost.objects.count() // 2].created_at
        retention.delete_old_content(now=half + 90 * DAY)
        young = left()
        assert young
        RedditPost.objects.all().delete()
        Stream.objects.update(watermark=None)

        services.scrape_bot(bot.pk, trigger="manual")

        assert left() == young

    def test_a_longer_wish_lets_it_come_again(self):
        post(1, 120)
        post(2, 20)
        retention.delete_old_content(now=NOW)
        assert Subreddit.objects.get().content_since == NOW - 90 * DAY
        BotFactory(subreddits=["python"], retention_days=150)

        retention.delete_old_content(now=NOW)

        assert Subreddit.objects.get().content_since == NOW - 150 * DAY

    def test_what_is_young_costs_no_query(self, django_assert_num_queries):
        rows = [("t3_1", 1, timezone.now())]

        with django_assert_num_queries(0):
            assert retention.too_old(rows) == set()


class TestSessions:
    def session(self, age, status="completed"):
        return ScrapeSession.objects.create(
            bot_name="x", trigger="manual", status=status, queued_at=NOW - age * DAY
        )

    def test_those_that_are_older_than_their_time_go(self, settings):
        kept = {self.session(29).pk, self.session(100, "running").pk, self.session(90, "queued").pk}
        for age in (31, 40, 50):
            self.session(age, "failed")

        assert retention.delete_old_sessions(now=NOW, batch_size=2) == 3
        assert set(ScrapeSession.objects.values_list("pk", flat=True)) == kept

        settings.SESSION_RETENTION_DAYS = 10
        assert retention.delete_old_sessions(now=NOW) == 1


class TestSchedules:
    @pytest.mark.parametrize(
        ("name", "crontab"),
        [("delete-old-sessions", "0 2 * * *"), ("delete-old-content", "30 2 * * 0")],
    )
    def test_are_installed_on_their_queue_and_an_operators_edit_stays(self, name, crontab):
        row = PeriodicTask.objects.get(name=name)
        fields = row.crontab
        found = " ".join(
            [
                fields.minute,
                fields.hour,
                fields.day_of_month,
                fields.month_of_year,
                fields.day_of_week,
            ]
        )
        assert (found, row.queue, row.enabled) == (crontab, "cleanup", True)

        PeriodicTask.objects.filter(pk=row.pk).update(enabled=False, description="Mine")
        system.install()

        row.refresh_from_db()
        assert (row.enabled, row.description) == (False, "Mine")

    def test_run_the_services(self):
        assert delete_old_sessions() == 0
        assert delete_old_content() == {"posts": 0, "comments": 0, "others": 0}

    def test_a_bots_form_asks_for_how_long(self):
        bot = BotFactory.build(retention_days=5000)

        with pytest.raises(Exception, match="less than or equal to 3653"):
            bot.clean_fields(exclude=["owner", "reddit_app"])
        assert "keep content for" in str(type(bot)._meta.get_field("retention_days").verbose_name)
        assert bot_services.schedule_name(1) == "scrape-bot-1"
