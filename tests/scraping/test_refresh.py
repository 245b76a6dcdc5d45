"""What is stored is looked up on Reddit again: young items often, old ones seldom, none forgotten."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from bots.models import BotConfig
from scraping import checks, refresh, scores, services
from scraping.budget import BudgetSpent
from scraping.ingest import POSTS, ingest_dumped, ingest_posts
from scraping.models import (
    BotItem,
    ItemCheck,
    PostScore,
    RedditComment,
    RedditPost,
    Subreddit,
)
from scraping.reddit.parse import parse_post
from tests.database import row_versions
from tests.factories import BotFactory, PostData, RedditAppFactory, packed

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)


class World:
    """The simulator, a bot that collects from it, and one clock for both."""

    def __init__(self, reddit, **bot):
        self.reddit = reddit
        self.bot = BotFactory(subreddits=["Quiet"], comments="stream", **bot)
        reddit.control("subreddits", {"name": "Quiet", "status": "ok"})

    def now(self):
        return datetime.fromtimestamp(self.reddit.control("")["now"], tz=UTC)

    def advance(self, hours):
        self.reddit.control("clock", {"advance": hours * 3600})

    def post(self, **fields):
        shown = {"hide_score": False} | fields.pop("fields", {})
        given = {"subreddit": "Quiet", "title": "A cat", "fields": shown} | fields
        return self.reddit.control("items", given)["fullname"]

    def comment(self, post, **fields):
        return self.reddit.control("items", {"link_id": post, "body": "Meow", **fields})["fullname"]

    def change(self, fullname, action, **fields):
        self.reddit.control(f"items/{fullname}", {"action": action, **fields})

    def collect(self):
        session = services.scrape_bot(self.bot.pk, trigger="manual")
        checks.enrol_new(now=self.now())
        return session

    def check(self, **options):
        return refresh.check_items(clock=self.now, **options)


@pytest.fixture
def world(reddit, monkeypatch):
    world = World(reddit)
    # Ingest of a session asks the clock of this machine.
    monkeypatch.setattr("scraping.ingest.timezone.now", world.now)
    return world


def requests_for_info(reddit):
    latest = reddit.control("requests?limit=1000")["latest"]
    return sum("info" in entry["path"] for entry in latest)


class TestTheSchedule:
    CREATED = datetime(2026, 1, 1, tzinfo=UTC)

    def times(self, checked=timedelta(0), count=8):
        """Ages in hours at which an item is checked, each with whether it is a refresh."""
        found = []
        for _ in range(count):
            due, is_refresh = checks.next_check(self.CREATED, self.CREATED + checked)
            checked = due - self.CREATED
            found.append((checked / HOUR, is_refresh))
        return found

    def test_refreshes_at_an_hour_and_a_day_and_a_half_serve_both(self):
        assert self.times() == [
            (1, True), (4, False), (8, False), (16, False), (36, True), (72, False), (114, False),
            (156, False),
        ]  # fmt: skip

    def test_an_item_seen_just_before_such_an_age_is_not_asked_about_twice(self):
        assert self.times(timedelta(minutes=57), 1) == [(3.95, False)]

    def test_ages_are_the_operators(self, settings):
        settings.REFRESH_AGES_HOURS = [2, 24 * 7]
        first, last = (age for age, is_refresh in self.times(count=12) if is_refresh)
        assert first == 2
        assert 24 * 7 * 0.9 <= last <= 24 * 7
        settings.REFRESH_AGES_HOURS = []
        assert not any(is_refresh for _, is_refresh in self.times())

    @given(
        age=st.timedeltas(min_value=timedelta(minutes=-5), max_value=timedelta(days=4000)),
        ages=st.lists(st.floats(0.1, 2160), max_size=4),
        within=st.integers(6, 2160),
    )
    def test_no_item_is_planned_beyond_the_promise(self, age, ages, within):
        from django.test import override_settings

        with override_settings(REFRESH_AGES_HOURS=sorted(set(ages)), VERIFY_WITHIN_HOURS=within):
            checked = self.CREATED + age
            due, _ = checks.next_check(self.CREATED, checked)
        assert checked < due <= checked + timedelta(hours=within)


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
            patched.setattr("scraping.budget.AppBudget.take", spent)
            result = world.check()
        assert (result.asked, list(result.stopped.values())) == (0, ["spent"])
        assert world.check().asked == 1, "nothing was lost"

    def test_the_lanes_are_those_of_deletions_and_refreshes(self, world, monkeypatch):
        lanes = []
        made = refresh.AppBudget

        def budget(app, *, lane, **options):
            lanes.append(lane)
            return made(app, lane=lane, **options)

        monkeypatch.setattr(refresh, "AppBudget", budget)
        world.check()
        assert lanes == ["deletion", "refresh"]

    def test_the_task_is_on_schedule(self):
        from django_celery_beat.models import PeriodicTask

        from jobs import system_schedules

        system_schedules.install()
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
                query = checks.ItemCheck.objects.filter(
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

        shares = {app.pk: set(subreddits) for app, subreddits in refresh._shares()}

        quiet = Subreddit.objects.get(name="Quiet").pk
        assert shares == {
            world.bot.reddit_app_id: {quiet},
            other.reddit_app_id: {elsewhere.pk},
            real.pk: {0, orphan.pk},
        }
        assert not refresh._is_trusted(other.reddit_app)

    def test_items_of_a_dump_are_due_at_once(self, world):
        old = datetime(2020, 1, 1, tzinfo=UTC)
        ingest_dumped(POSTS, packed(parse_post(PostData(number=1)), old), now=world.now())
        checks.enrol_new(now=world.now())
        check = ItemCheck.objects.get()
        assert (check.due_at, check.checked_at) == (world.now(), old)

    def test_a_run_enrols_what_was_stored_lately_and_the_nightly_one_everything(self, world):
        now = world.now()
        ingest_posts([parse_post(PostData(number=1))], now=now)
        ingest_posts([parse_post(PostData(number=2))], now=now - timedelta(days=3))
        assert not ItemCheck.objects.exists()

        assert world.check().enrolled == 1
        assert [check.fullname for check in ItemCheck.objects.all()] == ["t3_zz0001"]
        assert checks.enrol_new(now=now, everything=True) == 1
        assert checks.enrol_new(now=now, everything=True) == 0

    def test_an_item_that_retention_removed_is_forgotten(self, world):
        post = world.post()
        world.collect()
        RedditPost.objects.filter(pk=post).delete()
        world.change(post, "delete")
        Subreddit.objects.update(status="ok")
        ingest_posts([parse_post(PostData(number=1, subreddit="Quiet"))], now=world.now())
        checks.enrol_new(now=world.now())
        RedditPost.objects.all().delete()
        world.advance(43)
        world.check()
        assert not ItemCheck.objects.filter(pk="t3_zz0001").exists()


class TestThePromise:
    """Thousands of items of all ages, their own clock, and the real client."""

    ITEMS = 3_000

    @pytest.fixture
    def answers(self, monkeypatch):
        """Every item stands. (That real answers are understood is shown elsewhere.)"""
        asked = []

        class Everything:
            requests, waited = 0, 0.0

            def begin(self, permits):
                pass

            def info(self, *, fullnames):
                asked.append(list(fullnames))
                from scraping.reddit.client import Page

                make = lambda name: PostData(id=name[3:], name=name, number=1)  # noqa: E731
                return Page([{"kind": "t3", "data": make(name)} for name in fullnames], None)

        from contextlib import contextmanager

        @contextmanager
        def client_for(app, *, permits):
            yield Everything()

        monkeypatch.setattr(refresh, "client_for", client_for)
        RedditAppFactory()
        return asked

    def fill(self, now):
        """Half of them of the last three days, the others of years, verified over the last days."""
        half = self.ITEMS // 2
        ages = {f"t3_{n:06d}": timedelta(hours=72 * n / half) for n in range(half)}
        created = {name: now - age for name, age in ages.items()}
        checks.enrol([(name, None, at, now) for name, at in created.items()])
        for hours in range(40):
            created = {
                f"t3_{n:06d}": now - timedelta(days=3 + n)
                for n in range(half, self.ITEMS)
                if n % 40 == hours
            }
            told = now - hours * HOUR
            checks.enrol([(name, None, at, told) for name, at in created.items()])

    def run(self, answers, *, days, per_run, every=timedelta(minutes=30)):
        """Let the sweep run on schedule; return the largest age of a verification after two days."""
        now = start = datetime(2026, 1, 20, 12, tzinfo=UTC)
        self.fill(now)
        worst = timedelta(0)
        while now < start + timedelta(days=days):
            now += every
            refresh.check_items(clock=lambda moment=now: moment, requests=per_run)
            oldest = ItemCheck.objects.order_by("checked_at").values_list("checked_at", flat=True)
            worst = max(worst, now - oldest[0])
        return worst

    @pytest.fixture(autouse=True)
    def light(self, monkeypatch):
        """What is stored is not the matter here, and would take its time."""
        monkeypatch.setattr(refresh.Sweep, "_store", self.store)

    @staticmethod
    def store(sweep, batch, answer, missing, now):
        assert not missing
        checks.told(batch, now=now)

    def test_every_item_is_verified_within_48_hours(self, answers):
        assert self.run(answers, days=6, per_run=300) <= timedelta(hours=48)
        # Old ones seldom: an item of years is asked about each 42 hours.
        times = [batch for batch in answers for name in batch if name == "t3_002999"]
        assert len(times) <= 4

    def test_also_with_little_more_than_what_that_takes(self, answers):
        # 3,000 items, each within 42 hours, are 18 requests a day; young ones need some more.
        assert self.run(answers, days=5, per_run=1, every=timedelta(minutes=45)) <= 48 * HOUR

    def test_with_too_little_the_longest_overdue_come_first_and_the_gauge_tells(self, answers):
        worst = self.run(answers, days=5, per_run=1, every=timedelta(hours=2))
        assert worst > 48 * HOUR
        # A queue: none is passed over for ever. 12 requests a day bring each item its turn.
        assert worst < timedelta(days=self.ITEMS / 100 / 12 * 2 + 1)


class TestHistory:
    def entries(self, post):
        return list(
            PostScore.objects.filter(post=post).order_by("at").values_list("score", "num_comments")
        )

    def test_it_begins_at_first_sight_and_goes_on_at_each_refresh(self, world):
        post = world.post()
        world.change(post, "score", score=3)
        world.collect()
        world.advance(1.01)
        world.check()
        world.change(post, "score", score=80)
        for hours in (3.2, 4, 8, 20.5):
            world.advance(hours)
            world.check()

        assert self.entries(post)[:2] == [(3, 0), (3, 0)]
        assert self.entries(post)[-1] == (80, 0)
        assert len(self.entries(post)) == 4, "first sight, two refreshes and the one change between"

    def test_a_listing_adds_what_is_worth_noting(self, world):
        post = world.post()
        world.change(post, "score", score=100)
        world.collect()
        world.advance(0.2)
        world.change(post, "score", score=104)
        world.collect()
        assert self.entries(post) == [(100, 0)]
        world.advance(0.2)
        world.change(post, "score", score=150)
        world.collect()
        assert self.entries(post) == [(100, 0), (150, 0)]
        world.change(post, "score", score=900)
        world.collect()
        assert len(self.entries(post)) == 2, "too soon after the last"

    def test_it_has_an_end(self, world, monkeypatch):
        monkeypatch.setattr(scores, "MOST_ENTRIES", 4)
        now = world.now()
        for number in range(1, 9):
            ingest_posts(
                [parse_post(PostData(number=1, score=10**number))], now=now + number * HOUR
            )
        assert len(self.entries("t3_zz0001")) == 4

    def test_a_hidden_score_is_none(self, world):
        ingest_posts([parse_post(PostData(number=1, hide_score=True, score=1))], now=world.now())
        checks.enrol_new(now=world.now())
        assert self.entries("t3_zz0001") == [(None, 3)]


class TestScoreFilters:
    @pytest.fixture
    def world(self, reddit, monkeypatch):
        world = World(reddit, min_score=50)
        monkeypatch.setattr("scraping.ingest.timezone.now", world.now)
        return world

    def states(self, bot):
        return dict(BotItem.objects.filter(bot=bot).values_list("fullname", "state"))

    def test_one_that_never_reaches_it_is_decided_at_36_hours(self, world):
        post = world.post()
        world.change(post, "score", score=10)
        world.collect()
        assert self.states(world.bot) == {post: "pending"}
        for hours in (1.01, 3, 4, 8, 19):
            world.advance(hours)
            world.check()
            assert self.states(world.bot) == {post: "pending"}
        world.advance(1.1)
        world.check()
        assert self.states(world.bot) == {post: "missed"}
        world.change(post, "score", score=99)
        world.advance(40)
        world.check()
        assert self.states(world.bot) == {post: "missed"}, "too late"

    def test_one_that_reaches_it_is_a_match_as_soon_as_that_is_known(self, world):
        post, other = world.post(), world.post()
        world.change(post, "score", score=10)
        world.change(other, "score", score=10)
        world.collect()
        world.change(post, "score", score=50)
        world.collect()
        assert self.states(world.bot) == {post: "matched", other: "pending"}
        world.change(other, "score", score=51)
        world.advance(1.01)
        world.check()
        assert self.states(world.bot)[other] == "matched"

    def test_one_that_has_it_at_first_sight_is_a_match(self, world):
        post = world.post()
        world.change(post, "score", score=77)
        world.collect()
        assert self.states(world.bot) == {post: "matched"}

    def test_comments_are_asked_for_points_and_not_for_comments(self, world):
        BotConfig.objects.update(min_score=None, min_comments=2)
        post = world.post()
        first = world.comment(post)
        world.collect()
        assert self.states(world.bot) == {post: "pending", first: "matched"}
        world.comment(post)
        world.collect()
        assert self.states(world.bot)[post] == "matched"

    def test_a_change_of_the_filter_decides_anew(self, world):
        from scraping import matching

        post = world.post()
        world.change(post, "score", score=10)
        world.collect()
        bot = BotConfig.objects.get(pk=world.bot.pk)
        bot.min_score = 5
        bot.save()
        matching.rematch(bot)
        assert self.states(bot) == {post: "matched"}
        bot.min_score = 500
        bot.save()
        matching.rematch(bot)
        assert self.states(bot) == {post: "pending"}
        bot.min_score = None
        bot.save()
        matching.rematch(bot)
        assert self.states(bot) == {post: "matched"}

    def test_a_change_asks_for_a_rematch(self, world):
        from django_celery_results.models import TaskResult

        world.post()
        world.collect()
        world.bot.min_score = 60
        world.bot.save()
        assert TaskResult.objects.filter(task_name="scraping.rematch_bot").count() == 1

    def test_zero_is_refused(self):
        from django.core.exceptions import ValidationError

        bot = BotFactory.build(min_score=0)
        with pytest.raises(ValidationError) as raised:
            bot.clean_fields(exclude={"owner", "reddit_app"})
        assert list(raised.value.message_dict) == ["min_score"]
