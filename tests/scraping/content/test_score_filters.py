"""A post that has yet to reach its bot's score waits for it, and is decided at an age."""

import pytest

from bots.models import BotConfig
from scraping.models import BotItem
from tests.factories import BotFactory
from tests.scraping.world import World

pytestmark = pytest.mark.django_db(transaction=True)


class TestScoreFilters:
    @pytest.fixture
    def world(self, reddit, monkeypatch):
        world = World(reddit, min_score=50)
        monkeypatch.setattr("scraping.content.upsert.timezone.now", world.now)
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
