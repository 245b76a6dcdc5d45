"""Scores of a post are noted from first sight on, where they tell something new."""

import pytest

from scraping.content import check_plan, scores
from scraping.content.upsert import ingest_posts
from scraping.models import PostScore
from scraping.reddit.parse import parse_post
from tests.factories import PostData
from tests.scraping.world import HOUR

pytestmark = pytest.mark.django_db(transaction=True)


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
        check_plan.enrol_new(now=world.now())
        assert self.entries("t3_zz0001") == [(None, 3)]
