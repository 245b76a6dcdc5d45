"""What Reddit's listings do not reach any more is searched for, and gaps close where that proves it."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from bots.models import RedditApp
from scraping import tasks
from scraping.completing import deep_walks, gap_searches
from scraping.completing.gap_searches import Found, Known, judge
from scraping.coverage.gaps import Cover, close
from scraping.models import BotItem, Gap, RedditPost, ScrapeSession, Stream, Subreddit
from scraping.sessions import services
from tests.factories import BotFactory

# Pages are committed one by one, as in a worker.
pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

NAME = "busyplace"
EACH = 20


@pytest.fixture
def bot(reddit):
    reddit.control("subreddits", {"name": NAME, "status": "ok"})
    return BotFactory(subreddits=[NAME])


def scrape(bot):
    return services.scrape_bot(bot.pk, trigger="manual")


def search(bot):
    return gap_searches.search_gaps(bot.reddit_app)


def fill(reddit, number, *, is_link=lambda index: index % 2):
    """Posts that come one after the other, texts and links in turn unless told otherwise."""
    began = reddit.control("")["now"]
    reddit.control("clock", {"advance": number * EACH})
    items = []
    for index in range(number):
        items.append({"subreddit": NAME, "title": "A post", "created_utc": began + index * EACH})
        if is_link(index):
            items[-1]["url"] = "https://example.org/"
    return [item["fullname"] for item in reddit.control("items", {"items": items})["items"]]


def beyond_the_cap(reddit, bot, number=1_200, **kinds):
    """A gap below what `/new` lists: return the posts that were known before, and those after."""
    before = fill(reddit, 12)
    scrape(bot)
    after = fill(reddit, number, **kinds)
    scrape(bot)
    return before, after


def stored():
    return set(RedditPost.objects.values_list("fullname", flat=True))


def live(reddit):
    items = reddit.control(f"truth?subreddit={NAME}&kind=t3")["items"]
    return {item["fullname"] for item in items if item["state"] == "live"}


class TestBothQueriesReachBelowIt:
    def test_it_is_closed_and_its_posts_are_stored_and_matched(self, reddit, bot):
        _, after = beyond_the_cap(reddit, bot)
        assert live(reddit) - stored()
        assert deep_walks.walk_deep(bot.reddit_app).gaps_closed == 0

        result = search(bot)

        gap = Gap.objects.get()
        assert (result.due, result.searched, result.gaps_closed, result.gaps_left) == (1, 1, 1, 0)
        assert gap.closed_at is not None
        assert gap.closed_by == "a search"
        assert live(reddit) == stored()
        assert BotItem.objects.filter(bot=bot, fullname__in=after).count() == len(after)
        session = ScrapeSession.objects.latest()
        assert (session.status, session.gaps_closed) == ("completed", 1)
        assert session.outcomes == {f"r/{NAME} posts": {"outcome": "ok", "detail": "1 gaps closed"}}

    def test_the_deep_walk_s_job_does_it(self, reddit, bot):
        beyond_the_cap(reddit, bot)

        result = tasks.deep_walk.run()

        assert result[str(bot.reddit_app)]["search"]["gaps_closed"] == 1
        assert Gap.objects.get().closed_by == "a search"
        assert tasks.deep_walk.run() == {}

    def test_known_posts_that_ended_since_are_no_objection(self, reddit, bot):
        before, after = beyond_the_cap(reddit, bot)
        reddit.control(f"items/{before[-2]}", {"action": "remove"})
        reddit.control(f"items/{after[-995]}", {"action": "delete"})
        assert {before[-2], after[-995]} <= stored()

        assert search(bot).gaps_closed == 1

        removals = RedditPost.objects.filter(pk__in=[before[-2], after[-995]])
        assert "" not in removals.values_list("removal", flat=True)


class TestItStaysOpen:
    def test_where_one_query_hits_its_cap_and_what_was_found_is_stored(self, reddit, bot):
        # Of 1,430 posts one in eleven is a link: 1,300 texts.
        _, after = beyond_the_cap(reddit, bot, 1_430, is_link=lambda index: index % 11 == 0)
        links = set(after[::11])
        assert links - stored()
        missed = len(live(reddit) - stored())

        result = search(bot)

        gap = Gap.objects.get()
        assert (result.gaps_closed, result.gaps_left) == (0, 1)
        assert gap.closed_at is None
        assert gap.searched_at is not None
        assert links <= stored()
        assert 0 < len(live(reddit) - stored()) < missed
        session = ScrapeSession.objects.latest()
        assert session.status == "partial"
        assert "end above its start" in session.outcomes[f"r/{NAME} posts"]["detail"]
        assert search(bot).due == 0  # each gap once

    def test_where_a_known_post_is_not_among_the_results(self, reddit, bot):
        _, after = beyond_the_cap(reddit, bot)
        reddit.control(f"items/{after[-995]}", {"action": "unindex"})
        assert after[-995] in stored()

        result = search(bot)

        assert (result.gaps_closed, result.gaps_left) == (0, 1)
        assert Gap.objects.get().closed_at is None
        detail = ScrapeSession.objects.latest().outcomes[f"r/{NAME} posts"]["detail"]
        assert "known posts are not among the results" in detail
        assert live(reddit) == stored()
        assert search(bot).due == 0

    def test_where_a_query_shows_nothing(self, reddit, bot):
        """As if Reddit did not know the field any more."""
        beyond_the_cap(reddit, bot)
        nothing = {"kind": "Listing", "data": {"children": [], "after": None}}
        reddit.control("faults", {"kind": "body", "body": nothing, "path": "/search", "skip": 7})

        result = search(bot)

        assert (result.gaps_closed, result.gaps_left) == (0, 1)
        assert Gap.objects.get().closed_at is None
        detail = ScrapeSession.objects.latest().outcomes[f"r/{NAME} posts"]["detail"]
        assert "end above its start" in detail


class TestErrors:
    @pytest.mark.parametrize("skip", [0, 3, 9])
    def test_one_half_way_leaves_it_for_another_time(self, reddit, bot, no_pauses, skip):
        beyond_the_cap(reddit, bot)
        reddit.control("faults", {"kind": "status", "status": 503, "path": "/search", "skip": skip})

        failed = search(bot)

        gap = Gap.objects.get()
        assert (failed.due, failed.searched) == (1, 0)
        assert (gap.closed_at, gap.searched_at) == (None, None)
        outcome = ScrapeSession.objects.latest().outcomes[f"r/{NAME} posts"]["outcome"]
        assert outcome == "unavailable"

        reddit.control("faults", method="DELETE")
        assert search(bot).gaps_closed == 1
        assert live(reddit) == stored()

    def test_results_that_lead_back_to_themselves_decide_nothing(self, reddit, bot):
        beyond_the_cap(reddit, bot)
        reddit.control("faults", {"kind": "alternate_after", "path": "/search"})

        assert search(bot).searched == 0

        gap = Gap.objects.get()
        assert (gap.closed_at, gap.searched_at) == (None, None)

    def test_a_spent_budget_ends_the_run_and_decides_nothing(self, reddit, bot, no_pauses):
        beyond_the_cap(reddit, bot)
        reddit.control("faults", {"kind": "status", "status": 429, "path": "/search"})

        result = search(bot)

        assert result.ended_early
        assert ScrapeSession.objects.latest().status == "partial"
        assert Gap.objects.get().searched_at is None

    def test_a_subreddit_that_closed_is_searched_when_it_is_open_again(self, reddit, bot):
        beyond_the_cap(reddit, bot)
        reddit.control("subreddits", {"name": NAME, "status": "private"})

        assert search(bot).searched == 0

        assert Subreddit.objects.get(name=NAME).status == "private"
        assert search(bot).due == 0
        reddit.control("subreddits", {"name": NAME, "status": "ok"})
        Subreddit.objects.filter(name=NAME).update(status="ok")
        assert search(bot).gaps_closed == 1


class TestWhatIsDue:
    @pytest.fixture
    def stream(self, reddit):
        BotFactory(subreddits=["python"], comments="stream")
        subreddit = Subreddit.objects.create(name="python", status="ok")
        now = timezone.now()
        return Stream.objects.create(
            subreddit=subreddit, kind="posts", watermark=now, deep_read_at=now
        )

    def gap(self, stream, **fields):
        top = stream.watermark
        gap = Gap.objects.create(
            stream=stream,
            starts_at=top - timedelta(hours=3),
            ends_at=top - timedelta(hours=2),
            reason="listing_cap",
            **fields,
        )
        found_at = stream.deep_read_at - timedelta(minutes=1)
        Gap.objects.filter(pk=gap.pk).update(found_at=found_at)
        return gap

    def due(self):
        return list(gap_searches.due_streams(RedditApp.objects.get()))

    def test_what_a_deep_walk_has_left(self, stream):
        gap = self.gap(stream)
        (due,) = self.due()
        assert due.gaps_to_search == [gap]

    def test_a_gap_of_comments_never_is(self, stream):
        stream.kind = "comments"
        stream.save()
        self.gap(stream)
        assert self.due() == []

    def test_nor_what_a_deep_walk_has_still_to_try(self, stream):
        gap = self.gap(stream)
        Gap.objects.filter(pk=gap.pk).update(found_at=timezone.now() + timedelta(minutes=1))
        assert self.due() == []

    def test_nor_what_was_searched_or_closed_or_is_deleted_again_at_once(self, stream):
        for fields in ({"searched_at": timezone.now()}, {"closed_at": timezone.now()}):
            self.gap(stream, **fields)
        assert self.due() == []
        self.gap(stream)
        stream.subreddit.content_since = timezone.now()
        stream.subreddit.save()
        assert self.due() == []

    def test_a_part_that_is_left_of_one_that_was_searched_is_not_either(self, stream):
        gap = self.gap(stream, searched_at=timezone.now())
        middle = gap.starts_at + timedelta(minutes=20)
        close([Cover(stream.pk, middle, middle + timedelta(minutes=10))], by="an import")
        assert Gap.objects.filter(closed_at=None).count() == 2
        assert self.due() == []

    def test_nothing_is_asked_when_nothing_is(self, stream, reddit):
        result = gap_searches.search_gaps(RedditApp.objects.get())
        assert (result.due, result.requests) == (0, 0)
        assert not ScrapeSession.objects.exists()


class TestJudgement:
    """The gap is from minute 100 to minute 200; posts are known by their minutes."""

    def verdict(self, known, *shown, reached=(90, 90)):
        def at(minute):
            return datetime(2026, 3, 1, tzinfo=UTC) + timedelta(minutes=minute)

        gap = Gap(starts_at=at(100), ends_at=at(200))
        posts = [Known(str(minute), at(minute)) for minute in sorted(known, reverse=True)]
        found = [
            Found(frozenset(map(str, some)), None if down is None else at(down))
            for some, down in zip(shown, reached, strict=True)
        ]
        return judge(gap, posts, found)

    KNOWN = (91, 95, 99, 210, 220, 230)

    def test_all_that_is_known_was_shown(self):
        verdict = self.verdict(self.KNOWN, [91, 95, 99], [210, 220, 230, 150])
        assert (verdict.reason, verdict.missing) == ("", frozenset())

    def test_one_was_not(self):
        verdict = self.verdict((*self.KNOWN, 240), [91, 95, 99], [210, 220, 230])
        assert verdict.missing == {"240"}

    def test_one_within_it_was_not(self):
        verdict = self.verdict((*self.KNOWN, 150), [91, 95, 99], [210, 220, 230])
        assert verdict.missing == {"150"}

    def test_what_lies_below_the_higher_of_both_ends_need_not_be_shown(self):
        known = (*self.KNOWN, 80, 85)
        verdict = self.verdict(known, [91, 95, 99], [210, 220, 230], reached=(70, 90))
        assert verdict.missing == frozenset()

    @pytest.mark.parametrize("reached", [(100, 90), (90, 100), (90, None), (None, 90), (150, 90)])
    def test_a_query_that_ended_above_its_start_proves_nothing(self, reached):
        verdict = self.verdict(self.KNOWN, [91, 95, 99], [210, 220, 230], reached=reached)
        assert "end above its start" in verdict.reason

    @pytest.mark.parametrize("shown", [([91, 95, 99, 210, 220, 230], [150]), ([91, 95], [99, 210])])
    def test_three_known_posts_are_needed_of_each_query(self, shown):
        assert "too few posts" in self.verdict(self.KNOWN, *shown).reason

    def test_those_within_it_do_not_count(self):
        """A search that was cut short may have brought them."""
        verdict = self.verdict((*self.KNOWN, 150, 151, 152), [*self.KNOWN], [150, 151, 152])
        assert "too few posts" in verdict.reason
