"""The walk of a tree ends whatever Reddit answers, and what it cannot find is told."""

import pytest

from scraping.models import CommentThread, ThreadBranch
from scraping.threads.thread_walk import REQUESTS_BESIDE
from tests.factories import CommentData
from tests.scraping.comment_threads import (
    again,
    asked,
    matched,
    new_post,
    outcome_of,
    read,
    reply,
    stored,
    threads_bot,
    visible,
)
from tests.scraping.still_reddit import START

# Answers are committed one by one, as in a worker.
pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


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
