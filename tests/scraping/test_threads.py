"""Full trees of matched posts: every comment there is, in bounded steps, whatever ends a step."""

import functools
import itertools
from datetime import UTC, datetime, timedelta

import praw
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from jobs import locks
from jobs.errors import Cancelled
from scraping import services, thread_reader, threads
from scraping.clients import client_for
from scraping.ingest import ingest_posts
from scraping.models import (
    BotItem,
    CommentThread,
    RedditComment,
    RedditPost,
    ScrapeSession,
    ThreadBranch,
)
from scraping.reddit.parse import parse_post
from scraping.simulator.server import SimulatorServer
from scraping.thread_walks import REQUESTS_BESIDE, ThreadWalk
from tests.factories import BotFactory, CommentData
from tests.scraping.truth import shown_in_tree

# Answers are committed one by one, as in a worker.
pytestmark = pytest.mark.django_db(transaction=True)

# 2026-03-10 12:00:00 UTC
START = 1_773_144_000
KINDS = ("tree", "morechildren")


@pytest.fixture(scope="module")
def busy():
    """Few posts with very many comments, in a world that stands still."""
    with SimulatorServer(
        port=0,
        seed=11,
        start=START,
        speed=0.0,
        control=True,
        subreddits=2,
        posts_per_hour=0.5,
        comments_per_post=400,
        history_hours=48,
        budget=None,
    ) as server:
        yield server


@pytest.fixture
def crowded(busy, settings):
    settings.SIMULATOR_URL = busy.url
    yield busy
    busy.control("reset", {})


@pytest.fixture
def lively(settings):
    """A world of the present, in which posts are young."""
    with SimulatorServer(
        port=0, control=True, seed=3, speed=0, history_hours=1, posts_per_hour=1, budget=None
    ) as server:
        settings.SIMULATOR_URL = server.url
        server.control("subreddits", {"name": "threadplace", "status": "ok"})
        yield server


def threads_bot(**fields):
    return BotFactory(comments="threads", **fields)


def matched(bot, *posts):
    """Store posts as Reddit shows them now, and mark them as the bot's."""
    with client_for(bot.reddit_app, permits=None) as client:
        page = client.info(fullnames=posts)
    ingest_posts([parse_post(thing["data"]) for thing in page.things])
    matched_only(bot, *posts)


def read(bot, **options):
    return services.read_threads(bot.pk, trigger="schedule", **options)


def again(*fullnames):
    """Make threads due, as their next look is an hour away."""
    now = timezone.now()
    CommentThread.objects.filter(pk__in=fullnames).update(look_at=now, looked_at=now)


def visible(reddit, post):
    """Every comment that a tree shows, by the simulator's own account."""
    return set(shown_in_tree(reddit, post))


def asked(reddit):
    """How many requests for trees and parts of them a simulator has answered."""
    kinds = reddit.control("requests")["clients"].values()
    return sum(sum(told.get(kind, {}).values()) for told in kinds for kind in KINDS)


@functools.cache
def by_size(reddit):
    """Of a world that stands still, posts and how many comments each has, the biggest first."""
    sizes = {}
    for item in reddit.control("truth?kind=t1")["items"]:
        sizes[item["link_id"]] = sizes.get(item["link_id"], 0) + 1
    return sorted(sizes.items(), key=lambda pair: -pair[1])


def with_comments(reddit, fewest, most):
    return [post for post, size in by_size(reddit) if fewest <= size <= most][-1]


def stored(post):
    rows = RedditComment.objects.filter(link_fullname=post)
    return set(rows.values_list("fullname", flat=True))


def outcome_of(session, post):
    return next(told for label, told in session.outcomes.items() if label.endswith(post))


def new_post(reddit, title="A post"):
    """A post of ten minutes ago, so that there is time for a chain of answers, a second each."""
    created = reddit.control("")["now"] - 600
    item = {"subreddit": "threadplace", "title": title, "created_utc": created}
    return reddit.control("items", item)["fullname"]


def reply(reddit, parent, text="An answer", ago=600):
    created = reddit.control("")["now"] - ago
    item = {"parent_id": parent, "body": text, "created_utc": created}
    return reddit.control("items", item)["fullname"]


def deep_thread(reddit, depth):
    post = new_post(reddit)
    chain = [reply(reddit, post)]
    while len(chain) < depth:
        chain.append(reply(reddit, chain[-1]))
    return post, chain


class TestWholeTrees:
    def test_a_big_thread_is_stored_to_the_last_comment(self, crowded):
        bot = threads_bot()
        post = with_comments(crowded, 1000, 5000)
        matched(bot, post)

        session = read(bot)

        assert session.status == "completed", session.outcomes
        assert stored(post) == visible(crowded, post)
        assert len(stored(post)) > 900
        assert (session.posts_seen, session.new) == (1, len(stored(post)))
        assert not ThreadBranch.objects.exists()
        thread = CommentThread.objects.get(pk=post)
        assert (thread.walk_began_at, thread.read_missing) == (None, 0)
        assert thread.read_stored == len(stored(post))

    def test_it_takes_no_more_requests_than_praws_replace_more(self, crowded):
        """The usual way, on the same tree."""
        bot = threads_bot()
        post = with_comments(crowded, 1000, 5000)
        matched(bot, post)
        before = asked(crowded)
        session = read(bot)
        ours = asked(crowded) - before

        reddit = praw.Reddit(
            client_id="x",
            client_secret="y",
            user_agent="linux:org.example.lurker:1.0 (by /u/someone)",
            oauth_url=crowded.url,
            reddit_url=crowded.url,
            check_for_updates=False,
        )
        before = asked(crowded)
        submission = reddit.submission(post.removeprefix("t3_"))
        submission.comments.replace_more(limit=None)
        theirs = asked(crowded) - before

        assert {comment.fullname for comment in submission.comments.list()} == stored(post)
        assert session.status == "completed"
        assert ours <= theirs

    def test_a_thread_as_deep_as_it_may_be(self, lively):
        bot = threads_bot(subreddits=["threadplace"])
        post, chain = deep_thread(lively, 120)
        matched(bot, post)

        session = read(bot)

        assert stored(post) == set(chain)
        assert outcome_of(session, post)["outcome"] == "ok"
        assert session.requests_by_kind["tree"] == asked(lively) > 10

    def test_comments_are_matched_as_others_are(self, lively):
        bot = threads_bot(subreddits=["threadplace"], include_terms=["walrus"])
        other = BotFactory(subreddits=["threadplace"], include_terms=["otter"])
        post = new_post(lively, "About a walrus")
        mine = reply(lively, post, "a walrus!")
        theirs = reply(lively, mine, "an otter")
        reply(lively, theirs, "neither")
        matched(bot, post)

        session = read(bot)

        assert session.matched == 1
        pairs = set(BotItem.objects.values_list("bot", "fullname"))
        assert pairs == {(bot.pk, post), (bot.pk, mine), (other.pk, theirs)}

    def test_a_deleted_comment_with_replies_is_told_as_deleted(self, lively):
        bot = threads_bot(subreddits=["threadplace"])
        post, chain = deep_thread(lively, 3)
        lively.control(f"items/{chain[1]}", {"action": "delete"})
        matched(bot, post)

        read(bot)

        assert RedditComment.objects.get(pk=chain[1]).removal == "deleted"
        assert stored(post) == set(chain)

    def test_a_bot_collects_posts_and_then_their_trees(self, lively):
        bot = threads_bot(subreddits=["threadplace"])
        posts = [deep_thread(lively, 2)[0] for _ in range(3)]

        assert services.scrape_bot(bot.pk, trigger="schedule").comments_seen == 0
        session = read(bot)

        assert session.kind == "threads"
        assert all(stored(post) == visible(lively, post) for post in posts)


class TestAnswersThatLeadNowhere:
    """Every walk ends, whatever Reddit says."""

    @staticmethod
    def more(parent, *children):
        data = {"count": 9, "name": "t1_x", "id": "x", "parent_id": parent, "depth": 0}
        return {"kind": "more", "data": data | {"children": list(children)}}

    @staticmethod
    def things(*things):
        return {"json": {"errors": [], "data": {"things": list(things)}}}

    @staticmethod
    def comment(name, post, parent=None):
        data = CommentData(id=name, link_id=post, parent_id=parent or post)
        return {"kind": "t1", "data": data | {"replies": ""}}

    def tree(self, post, *things):
        shown = {"id": post[3:], "name": post, "title": "A post", "created_utc": START}
        shown |= {"subreddit": "threadplace", "num_comments": 9}
        listings = [[{"kind": "t3", "data": shown}], list(things)]
        return [{"kind": "Listing", "data": {"children": children}} for children in listings]

    def says(self, reddit, path, body, **when):
        reddit.control("faults", {"kind": "body", "path": path, "body": body} | when)

    @pytest.fixture
    def post(self, lively):
        post = new_post(lively)
        reply(lively, post)
        return post

    @pytest.fixture
    def bot(self, post):
        bot = threads_bot(subreddits=["threadplace"])
        matched(bot, post)
        return bot

    def test_a_more_that_names_itself_is_told(self, lively, bot, post):
        more = self.more(post, "x1", "x2")
        self.says(lively, "/comments/", self.tree(post, self.comment("c1", post), more))
        self.says(lively, "/morechildren", self.things(more))

        session = read(bot)

        assert session.status == "partial"
        told = outcome_of(session, post)
        assert told["outcome"] == "gap"
        assert "2 ids were named again and again" in told["detail"]
        assert stored(post) == {"t1_c1"}
        assert asked(lively) == 2

    def test_a_more_that_names_itself_beside_the_same_comment(self, lively, bot, post):
        more = self.more(post, "x1")
        self.says(lively, "/comments/", self.tree(post, more))
        self.says(lively, "/morechildren", self.things(self.comment("c1", post), more))

        session = read(bot)

        assert outcome_of(session, post)["outcome"] == "gap"
        assert asked(lively) == 3, "asked once more, as the first answer brought something new"

    def test_ids_that_never_come_are_gone(self, lively, bot, post):
        """Reddit leaves deleted comments out without a word."""
        self.says(lively, "/comments/", self.tree(post, self.more(post, "x1", "x2")))
        self.says(lively, "/morechildren", self.things())

        session = read(bot)

        assert (session.status, asked(lively)) == ("completed", 4), "each once more, by itself"

    @pytest.mark.parametrize("removed", [False, True])
    def test_a_tree_that_shows_none_of_its_comments_is_looked_at_again(
        self, lively, bot, post, removed
    ):
        for comment in visible(lively, post) if removed else ():
            lively.control(f"items/{comment}", {"action": "remove"})
        lively.control(f"items/{post}", {"action": "edit", "fields": {"num_comments": 1}})
        matched(bot, post)
        if not removed:
            self.says(lively, "/comments/", self.tree(post), times=1)

        first = read(bot)

        assert outcome_of(first, post)["outcome"] == "error"
        assert "asked again later" in outcome_of(first, post)["detail"]
        again(post)
        assert read(bot).status == "completed"
        assert stored(post) == visible(lively, post)
        assert bool(stored(post)) != removed

    def test_duplicates_and_orphans_are_stored_once(self, lively, bot, post):
        orphan = self.comment("c2", post, parent="t1_nobody")
        self.says(
            lively,
            "/comments/",
            self.tree(post, self.comment("c1", post), self.more(post, "c1", "x1"),
                      self.more(post, "x1"), self.comment("c1", post)),
        )  # fmt: skip
        self.says(lively, "/morechildren", self.things(orphan, orphan, self.comment("c1", post)))

        session = read(bot)

        assert session.status == "completed"
        assert stored(post) == {"t1_c1", "t1_c2"}
        assert asked(lively) == 2
        children = [entry for entry in lively.control("requests")["latest"]
                    if entry["kind"] == "morechildren"]  # fmt: skip
        assert len(children) == 1

    def test_a_stub_that_leads_back_to_itself(self, lively, bot, post):
        stub = self.more("t1_c1")
        top = self.comment("c1", post)
        top["data"]["replies"] = {"kind": "Listing", "data": {"children": [stub]}}
        self.says(lively, "/comments/", self.tree(post, top))

        session = read(bot)

        assert outcome_of(session, post)["outcome"] == "gap"
        assert asked(lively) == 2

    def test_a_bad_comment_costs_no_other(self, lively, bot, post):
        bad = self.comment("c2", post)
        bad["data"]["created_utc"] = "yesterday"
        things = [self.comment("c1", post), bad, {"kind": "t9", "data": {}}, None]
        self.says(lively, "/comments/", self.tree(post, *things))

        session = read(bot)

        assert (session.status, session.rejected) == ("completed", 3)
        assert stored(post) == {"t1_c1"}

    def test_a_thread_that_never_ends_is_given_up(self, lively, bot, post, settings):
        """Each answer brings a comment and names another id."""
        settings.REDDIT_THREAD_REQUESTS = settings.REDDIT_THREADS_SESSION_REQUESTS = 10_000
        self.says(lively, "/comments/", self.tree(post, self.more(post, "x0")))
        for number in range(REQUESTS_BESIDE + 20):
            things = self.things(
                self.comment(f"c{number}", post), self.more(post, f"x{number + 1}")
            )
            self.says(lively, "/morechildren", things, skip=number, times=1)

        session = read(bot)

        told = outcome_of(session, post)
        assert told["outcome"] == "gap"
        assert "given up" in told["detail"]
        assert asked(lively) == REQUESTS_BESIDE + 9
        assert not ThreadBranch.objects.exists()
        assert CommentThread.objects.get().walk_began_at is None


class TestBudgets:
    """A spent budget, or any other end, is gone on from where it was."""

    def test_a_thread_goes_on_in_the_next_sessions(self, crowded, settings):
        settings.REDDIT_THREAD_REQUESTS = 3
        bot = threads_bot()
        post = with_comments(crowded, 1000, 5000)
        matched(bot, post)

        sessions = [read(bot)]
        assert sessions[0].status == "partial"
        assert "comments missing, to be read later" in outcome_of(sessions[0], post)["detail"]
        assert ThreadBranch.objects.exists()
        while not CommentThread.objects.get().read_at:
            sessions.append(read(bot))
            assert sum(s.comments_seen for s in sessions) >= len(stored(post))

        assert stored(post) == visible(crowded, post)
        assert sessions[-1].status == "completed"
        assert len(sessions) > 2
        # No request is made twice: with a token, a look and at most three for the thread.
        assert all(session.requests <= 5 for session in sessions)
        assert sum(session.new for session in sessions) == len(stored(post))

    def test_the_sessions_requests_are_shared_out_in_turns(self, lively, settings):
        settings.REDDIT_THREADS_SESSION_REQUESTS = 3
        bot = threads_bot(subreddits=["threadplace"])
        posts = [deep_thread(lively, 2)[0] for _ in range(5)]
        matched(bot, *posts)

        first = read(bot)

        assert first.status == "partial"
        assert first.outcomes["threads"]["outcome"] == "gap"
        assert "2 left for later" in first.outcomes["threads"]["detail"]
        assert sum(bool(stored(post)) for post in posts) == 3
        second = read(bot)
        assert second.status == "completed"
        assert all(stored(post) == visible(lively, post) for post in posts)

    def test_a_spent_budget_of_the_app_ends_the_session_and_names_a_time(self, lively, settings):
        """The lane `refresh` leaves a part of each window to what is more urgent."""
        settings.REDDIT_BUDGET_WAIT_SECONDS = 0
        bot = threads_bot(subreddits=["threadplace"], reddit_app__requests_per_minute=1)
        posts = [deep_thread(lively, 2)[0] for _ in range(9)]
        matched(bot, *posts)

        session = read(bot)

        assert session.outcomes["threads"]["outcome"] == "throttled"
        assert session.continues_at is not None
        assert 0 < sum(bool(stored(post)) for post in posts) < 9

    def test_ids_are_asked_for_a_hundred_at_a_time(self, crowded):
        bot = threads_bot()
        post = with_comments(crowded, 1000, 5000)
        matched(bot, post)
        with client_for(bot.reddit_app, permits=None) as client:
            sizes = []
            call = client.more_children
            client.more_children = lambda post, ids: sizes.append(len(ids)) or call(post, ids)
            thread_reader.ThreadReader(bot, client).run()

        assert max(sizes) == 100
        assert stored(post) == visible(crowded, post)


class TestFaults:
    """What goes wrong in the middle of a tree costs nothing of what was read."""

    @pytest.mark.parametrize(
        ("fault", "outcome"),
        [
            ({"kind": "status", "status": 500}, "unavailable"),
            ({"kind": "status", "status": 429}, "throttled"),
            ({"kind": "status", "status": 401}, "unauthorized"),
            ({"kind": "status", "status": 403}, "private"),
            ({"kind": "status", "status": 404}, "missing"),
            ({"kind": "latency", "seconds": 20}, "unavailable"),
            ({"kind": "drip", "interval": 0.5}, "unavailable"),
            ({"kind": "reset"}, "unavailable"),
            ({"kind": "truncate"}, "unavailable"),
            ({"kind": "truncate", "chunked": True}, "unavailable"),
            ({"kind": "not_json"}, "error"),
            ({"kind": "empty"}, "error"),
            ({"kind": "body", "body": {"json": {"errors": [["X", "y", "z"]]}}}, "error"),
            ({"kind": "rate_headers", "case": "remaining_text"}, "ok"),
            ({"kind": "rate_headers", "case": "absent"}, "ok"),
            ({"kind": "oversize"}, "ok"),
            ({"kind": "ads"}, "ok"),
            ({"kind": "alternate_after"}, "ok"),
        ],
        ids=lambda value: (
            "-".join(str(v) for v in value.values()) if isinstance(value, dict) else ""
        ),
    )
    def test_each_is_an_outcome_and_the_next_session_goes_on(
        self, crowded, settings, no_pauses, fault, outcome
    ):
        settings.REDDIT_TIMEOUT_SECONDS, settings.REDDIT_DEADLINE_SECONDS = 1, 2
        settings.THREADS_FOLLOW_HOURS = 8_760  # the posts of this world are of long ago
        bot = threads_bot()
        post = with_comments(crowded, 600, 900)
        matched(bot, post)
        crowded.control("faults", fault | {"path": "/morechildren", "skip": 1})

        session = read(bot)

        assert outcome_of(session, post)["outcome"] == outcome
        assert (session.status == "completed") == (outcome == "ok")
        before = stored(post)
        assert len(before) >= 450
        crowded.control("reset", {})
        if outcome in ("throttled", "unauthorized"):
            type(bot.reddit_app).objects.update(refused_at=None)
            forget_pauses()
        again(post)
        last = read(bot)
        assert stored(post) == visible(crowded, post)
        assert last.status == "completed"
        if outcome != "ok":
            assert last.new == len(stored(post)) - len(before), "the rest, and nothing twice"

    def test_a_thread_at_fault_costs_no_other(self, lively, no_pauses):
        bot = threads_bot(subreddits=["threadplace"])
        posts = [deep_thread(lively, 2)[0] for _ in range(4)]
        matched(bot, *posts)
        bad = posts[1].removeprefix("t3_")
        lively.control("faults", {"kind": "not_json", "path": f"/comments/{bad}"})

        session = read(bot)

        assert session.status == "partial"
        assert outcome_of(session, posts[1])["outcome"] == "error"
        assert sum(stored(post) == visible(lively, post) for post in posts) == 3
        thread = CommentThread.objects.get(pk=posts[1])
        assert thread.failures == 1
        assert thread.look_at > timezone.now() + timedelta(minutes=9)

    def test_when_reddit_is_away_a_session_does_not_ask_for_each_thread(self, lively, no_pauses):
        bot = threads_bot(subreddits=["threadplace"])
        posts = [deep_thread(lively, 2)[0] for _ in range(6)]
        matched(bot, *posts)
        lively.control("faults", {"kind": "status", "status": 503, "path": "/comments/"})

        session = read(bot)

        assert session.status == "failed"
        assert len(session.outcomes) == 1 + thread_reader.FAILURES_IN_A_ROW
        assert "3 left for later" in session.outcomes["threads"]["detail"]

    def test_an_error_between_answer_and_commit_loses_nothing(self, crowded, monkeypatch):
        bot = threads_bot()
        post = with_comments(crowded, 600, 900)
        matched(bot, post)
        calls = []

        def breaking(*args, **options):
            calls.append(1)
            if len(calls) == 3:
                raise ZeroDivisionError("a bug")
            return advance(*args, **options)

        advance = ThreadWalk.advance
        monkeypatch.setattr(ThreadWalk, "advance", breaking)
        with pytest.raises(ZeroDivisionError):
            read(bot)
        session = ScrapeSession.objects.get()
        assert (session.status, session.new) == ("failed", len(stored(post)))

        assert read(bot).status == "completed"
        assert stored(post) == visible(crowded, post)

    def test_a_cancelled_session_ends_between_two_requests_and_is_gone_on_with(
        self, crowded, monkeypatch
    ):
        bot = threads_bot()
        post = with_comments(crowded, 600, 900)
        matched(bot, post)

        def cancel(progress):
            if progress.comments_seen > 480:
                raise Cancelled("Cancelled by somebody.")

        with pytest.raises(Cancelled):
            read(bot, on_progress=cancel)
        session = ScrapeSession.objects.get()
        assert (session.status, session.error) == ("cancelled", "Cancelled by somebody.")
        assert 0 < session.new == len(stored(post)) < len(visible(crowded, post))

        assert read(bot).status == "completed"
        assert stored(post) == visible(crowded, post)

    def test_a_thread_that_another_session_reads_is_left_to_it(self, lively):
        bot = threads_bot(subreddits=["threadplace"])
        post, _ = deep_thread(lively, 2)
        matched(bot, post)

        with locks.hold(f"comment-thread:{post}"):
            session = read(bot)

        assert session.status == "completed"
        assert "another session reads it" in outcome_of(session, post)["detail"]
        assert (asked(lively), stored(post)) == (0, set())

    def test_one_morechildren_of_an_app_at_a_time(self, crowded, monkeypatch):
        monkeypatch.setattr(thread_reader, "TURN_SECONDS", 0.1)
        bot = threads_bot()
        post = with_comments(crowded, 600, 900)
        matched(bot, post)

        with locks.hold(f"morechildren:{bot.reddit_app_id}"):
            session = read(bot)

        assert "Other workers took all turns" in outcome_of(session, post)["detail"]
        assert len(stored(post)) >= 450, "the tree itself needs no turn"


def forget_pauses():
    from scraping.models import RequestBudget

    RequestBudget.objects.all().delete()


class TestWhen:
    """Only where counts differ enough to matter, and while a thread is young."""

    @pytest.mark.parametrize(
        ("reported", "stored", "unreadable", "due"),
        [
            (0, 0, 0, False),
            (1, 0, 0, True),
            (100, 95, 0, True),
            (100, 96, 0, False),
            (100, 80, 20, False),
            (106, 80, 20, True),
            (104, 80, 20, False),
            (10_000, 9_000, 400, True),
            (10_000, 9_000, 600, False),
            (5, 9, 0, False),
            (5, 9, -4, False),
            (6, 9, -4, True),
        ],
    )
    def test_what_differs_by_one_and_by_five_percent_is_read(
        self, reported, stored, unreadable, due
    ):
        found = threads.worth_reading(reported=reported, stored=stored, unreadable=unreadable)

        assert found is due

    def test_pauses_grow_with_age_and_end(self):
        created = datetime(2026, 3, 10, 12, tzinfo=UTC)
        looks, now = [], created
        while now is not None:
            looks.append(now - created)
            now = threads.next_look(created, now)

        assert looks[1] == timedelta(minutes=10)
        pauses = [after - before for before, after in itertools.pairwise(looks)]
        assert pauses[:-1] == sorted(pauses[:-1])
        assert max(pauses) <= timedelta(hours=12)
        assert looks[-1] == timedelta(hours=72)
        assert len(looks) < 30

    def test_what_has_not_grown_is_not_read_again(self, lively):
        bot = threads_bot(subreddits=["threadplace"])
        post, chain = deep_thread(lively, 40)
        matched(bot, post)
        read(bot)
        before = asked(lively)

        assert services.request_threads(bot.pk, trigger="schedule") is None, "not due"
        again(post)
        session = read(bot)
        assert (session.status, session.comments_seen) == ("completed", 0)
        again(post)
        reply(lively, post)
        read(bot)
        assert asked(lively) == before, "one in forty is not worth it"

        for _ in range(2):
            reply(lively, chain[3])
        again(post)
        read(bot)
        assert asked(lively) > before
        assert stored(post) == visible(lively, post)

    def test_removed_comments_that_reddit_counts_are_not_sought_again(self, lively):
        bot = threads_bot(subreddits=["threadplace"])
        post, _ = deep_thread(lively, 3)
        lively.control(f"items/{post}", {"action": "edit", "fields": {"num_comments": 12}})
        matched(bot, post)
        first = read(bot)
        assert first.status == "completed"
        assert CommentThread.objects.get().unreadable == 9
        before = asked(lively)

        again(post)
        read(bot)
        assert asked(lively) == before

        reply(lively, post)
        lively.control(f"items/{post}", {"action": "edit", "fields": {"num_comments": 13}})
        again(post)
        read(bot)
        assert stored(post) == visible(lively, post)

    def test_what_a_stream_has_stored_needs_no_walk(self, lively):
        bot = threads_bot(subreddits=["threadplace"])
        post, _ = deep_thread(lively, 5)
        services.scrape_bot(
            BotFactory(subreddits=["threadplace"], comments="stream").pk, trigger="schedule"
        )
        matched_only(bot, post)

        assert read(bot).status == "completed"
        assert asked(lively) == 0

    def test_a_hundred_threads_are_looked_at_with_one_request(self, lively):
        bot = threads_bot(subreddits=["threadplace"])
        posts = [new_post(lively) for _ in range(150)]
        matched(bot, *posts[:100])
        matched(bot, *posts[100:])
        read(bot)
        again(*posts)

        session = read(bot)

        assert session.requests == 2, "of a hundred each"
        assert "150 looked at" in session.outcomes["threads"]["detail"]

    def test_looking_costs_the_same_queries_for_one_and_for_many(self, lively):
        bot = threads_bot(subreddits=["threadplace"])
        posts = [new_post(lively) for _ in range(60)]
        matched(bot, *posts)
        counts = []
        for some in (posts[:1], posts[:1], posts):
            CommentThread.objects.all().delete()
            BotItem.objects.exclude(fullname__in=some).delete()
            matched_only(bot, *set(some) - set(BotItem.objects.values_list("fullname", flat=True)))
            read(bot)
            again(*some)
            with CaptureQueriesContext(
                connection,
            ) as queries:
                read(bot)
            counts.append(len(queries))

        assert counts[1] == counts[2], "after the first, which makes the app's budget"

    def test_an_old_post_that_cannot_be_read_is_left(self, crowded):
        bot = threads_bot()
        post = with_comments(crowded, 600, 900)
        matched(bot, post)
        crowded.control("faults", {"kind": "status", "status": 403, "path": "/morechildren"})

        session = read(bot)

        assert outcome_of(session, post)["outcome"] == "private"
        assert not ThreadBranch.objects.exists()
        assert not threads.anything_due(bot)

    def test_an_old_post_is_read_once(self, crowded):
        bot = threads_bot()
        post = with_comments(crowded, 20, 200)
        matched(bot, post)

        read(bot)

        assert stored(post) == visible(crowded, post)
        assert CommentThread.objects.get().look_at is None
        assert not threads.anything_due(bot)

    def test_a_large_past_never_stands_before_what_is_new(self, lively, monkeypatch):
        monkeypatch.setattr(threads, "MOST_THREADS", 5)
        bot = threads_bot(subreddits=["threadplace"])
        long_ago = timezone.now() - timedelta(days=400)
        new = [new_post(lively) for _ in range(8)]
        matched(bot, *new)
        RedditPost.objects.filter(pk__in=new[:6]).update(created_at=long_ago)

        threads.enlist(bot)
        assert set(new[6:]) <= set(CommentThread.objects.values_list("pk", flat=True))
        assert CommentThread.objects.count() <= 7

    def test_a_post_that_is_gone_from_the_database_is_forgotten(self, lively):
        bot = threads_bot(subreddits=["threadplace"])
        post, _ = deep_thread(lively, 2)
        matched(bot, post)
        threads.enlist(bot)
        RedditPost.objects.all().delete()

        read(bot)

        assert not CommentThread.objects.exists()

    def test_other_bots_read_no_trees(self, lively):
        bot = BotFactory(subreddits=["threadplace"], comments="stream")
        post, _ = deep_thread(lively, 2)
        matched(bot, post)

        assert not threads.anything_due(bot)
        assert not CommentThread.objects.exists()


def matched_only(bot, *posts):
    BotItem.objects.bulk_create(
        [BotItem(bot=bot, fullname=post, matched_at=timezone.now()) for post in posts],
        ignore_conflicts=True,
    )
