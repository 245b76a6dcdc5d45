"""In the admin each sees and changes what is theirs; a schedule and a run lead to their bot."""

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from django_celery_results.models import TaskResult

from bots.models import BotConfig
from scraping.models import BotItem, ScrapeSession
from tests.bots.admin_pages import ADD, BOTS, page_of, run_action, text_of, typed
from tests.factories import BotFactory, RedditAppFactory, SuperuserFactory, UserFactory

pytestmark = pytest.mark.django_db


class TestOwnership:
    """Staff see and change what is theirs; what is others' is not there at all."""

    @pytest.fixture
    def others(self):
        bot = BotFactory(name="Someone else's bot", reddit_app__name="Someone else's app")
        bot.session = ScrapeSession.objects.create(
            bot=bot, bot_name=bot.name, trigger="manual", status="completed"
        )
        bot.item = BotItem.objects.create(bot=bot, fullname="t3_zz", matched_at=timezone.now())
        return bot

    def pages(self, bot):
        return [
            ("bots_botconfig", bot),
            ("bots_redditapp", bot.reddit_app),
            ("scraping_scrapesession", bot.session),
            ("scraping_botitem", bot.item),
        ]

    def test_lists_show_ones_own(self, client, staff, others):
        client = staff(client)
        mine = BotFactory(owner=client.user, name="My bot", reddit_app__name="My app")

        for name, _ in self.pages(others):
            html = client.get(reverse(f"admin:{name}_changelist")).content.decode()
            assert "Someone else" not in html, name
            assert "t3_zz" not in html, name
        assert mine.name in text_of(client.get(BOTS))
        assert "My app" in text_of(client.get(reverse("admin:bots_redditapp_changelist")))

    def test_pages_of_others_things_do_not_exist(self, client, staff, others):
        client = staff(client)

        for name, thing in self.pages(others):
            for view in ("change", "delete", "history"):
                url = reverse(f"admin:{name}_{view}", args=[thing.pk])
                answer = client.get(url)
                assert answer.status_code in (302, 403), (name, view)
                if answer.status_code == 302:
                    assert answer.url == reverse("admin:index"), (name, view)

    def test_a_superuser_sees_everything(self, admin, others):
        for name, thing in self.pages(others):
            url = reverse(f"admin:{name}_change", args=[thing.pk])
            assert admin.get(url).status_code == 200, name

    def test_nothing_of_others_can_be_changed(self, client, staff, others):
        client = staff(client)

        client.post(page_of(others), typed(others.reddit_app, name="Mine now"))
        for action in ("run_now", "pause", "resume"):
            run_action(client, action, [others])
        client.post(page_of(others), typed(others.reddit_app, bots_botconfig_save_and_run="1"))
        client.post(reverse("admin:bots_botconfig_delete", args=[others.pk]), {"post": "yes"})

        others.refresh_from_db()
        assert others.name == "Someone else's bot"
        assert others.auto_scrape_enabled
        assert ScrapeSession.objects.count() == 1

    def test_a_bot_cannot_use_anothers_app(self, client, staff, others):
        client = staff(client)
        mine = RedditAppFactory(owner=client.user)

        assert "Someone else" not in client.get(ADD).content.decode()
        answer = client.post(ADD, typed(others.reddit_app))
        assert "Select a valid choice" in text_of(answer)
        assert client.post(ADD, typed(mine)).status_code == 302
        assert BotConfig.objects.get(name="Cats").owner == client.user

    def test_another_owner_may_have_a_bot_of_the_same_name(self, client, staff, others):
        client = staff(client)
        mine = RedditAppFactory(owner=client.user)

        answer = client.post(ADD, typed(mine, name=others.name))

        assert answer.status_code == 302, text_of(answer)

    def test_without_permission_there_is_nothing(self, client, others):
        client.force_login(UserFactory())

        for name, _ in self.pages(others):
            assert client.get(reverse(f"admin:{name}_changelist")).status_code == 403

    def test_viewing_is_not_running(self, client, others):
        user = UserFactory()
        user.user_permissions.set(Permission.objects.filter(codename="view_botconfig"))
        bot = BotFactory(owner=user)
        client.force_login(user)

        run_action(client, "run_now", [bot])
        client.post(page_of(bot), typed(bot.reddit_app, bots_botconfig_save_and_run="1"))

        assert not ScrapeSession.objects.filter(bot=bot).exists()


class TestPagesOfSchedulesAndRuns:
    """Those of the jobs app, which knows no bots."""

    def link_to(self, bot):
        return f'<a class="text-link" href="{page_of(bot)}">Bot “{bot.name}”</a>'

    def test_a_bots_schedule_leads_to_its_bot(self, client):
        client.force_login(SuperuserFactory())
        bot, other = BotFactory(name="Cats"), BotFactory(name="Dogs")
        row = PeriodicTask.objects.get(name=f"scrape-bot-{bot.pk}")
        address = reverse("admin:django_celery_beat_periodictask_change", args=[row.pk])

        page = client.get(address).content.decode()

        assert self.link_to(bot) in page
        assert page_of(other) not in page

    @pytest.mark.parametrize("trigger", ["schedule", "manual"])
    def test_so_does_a_run_with_or_without_a_schedule(self, client, trigger):
        client.force_login(SuperuserFactory())
        bot = BotFactory()
        by = (
            {"periodic_task_name": f"scrape-bot-{bot.pk}"}
            if trigger == "schedule"
            else {"task_kwargs": f'{{"bot_id": {bot.pk}}}'}
        )
        run = TaskResult.objects.create(task_id="f00", task_name="scraping.scrape_bot", **by)

        address = reverse("admin:django_celery_results_taskresult_change", args=[run.pk])

        assert self.link_to(bot) in client.get(address).content.decode()

    def test_a_schedule_of_no_bot_or_of_one_that_is_gone_has_no_link(self, client):
        client.force_login(SuperuserFactory())
        gone = BotFactory()
        link = self.link_to(gone)
        PeriodicTask.objects.filter(name=f"scrape-bot-{gone.pk}").update(name="mine")
        gone.delete()
        row = PeriodicTask.objects.get(name="mine")

        address = reverse("admin:django_celery_beat_periodictask_change", args=[row.pk])
        answer = client.get(address)

        assert answer.status_code == 200
        assert link not in answer.content.decode()
        assert client.get(reverse("admin:django_celery_beat_periodictask_add")).status_code == 200
