"""Demonstration bots are saved the way the admin saves them, and again without harm."""

import io

import pytest
from django.core.management import CommandError, call_command
from django_celery_beat.models import PeriodicTask

from bots.models import BotConfig, RedditApp
from tests.factories import SuperuserFactory, UserFactory

pytestmark = pytest.mark.django_db


def seed(*options):
    output = io.StringIO()
    call_command("seed_demo", *options, stdout=output)
    return output.getvalue()


def test_three_bots_with_schedules_belong_to_the_first_superuser():
    UserFactory()
    owner = SuperuserFactory()
    SuperuserFactory()

    said = seed("--every", "30")

    bots = BotConfig.objects.all()
    assert len(bots) == 3
    assert {bot.owner for bot in bots} == {owner}
    assert {str(bot.interval) for bot in bots} == {"0:00:30"}
    assert PeriodicTask.objects.filter(name__startswith="scrape-bot-", enabled=True).count() == 3
    for bot in bots:
        bot.full_clean()
        assert bot.name in said


def test_twice_is_once():
    SuperuserFactory()
    seed()
    BotConfig.objects.update(is_active=False, every=99)

    seed()

    assert BotConfig.objects.count() == 3
    assert RedditApp.objects.count() == 1
    assert {(bot.is_active, bot.every) for bot in BotConfig.objects.all()} == {(True, 60)}


def test_they_can_be_given_other_subreddits_and_another_owner():
    SuperuserFactory()
    owner = UserFactory()

    seed("--owner", owner.email.upper(), "--subreddits", "one1", "two2", "three3", "four4")

    assert {bot.owner for bot in BotConfig.objects.all()} == {owner}
    watched = [bot.subreddits for bot in BotConfig.objects.order_by("pk")]
    assert watched == [["one1", "four4"], ["two2"], ["three3"]]


@pytest.mark.parametrize("options", [[], ["--owner", "nobody@example.org"]])
def test_without_an_owner_it_says_how_to_get_one(options):
    with pytest.raises(CommandError, match="createsuperuser") as refused:
        seed(*options)
    assert refused.value.returncode == 2


def test_what_the_admin_would_refuse_is_refused():
    SuperuserFactory()

    with pytest.raises(
        CommandError, match="every: The interval “every second” is out of range"
    ) as refused:
        seed("--every", "1")
    assert refused.value.returncode == 2
