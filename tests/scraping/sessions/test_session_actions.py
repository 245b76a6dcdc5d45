"""A session can be cancelled while it goes on, and run again when it ended too early: by its owner."""

import re

import pytest
from django.contrib.auth.models import Permission
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse
from django_celery_results.models import TaskResult

from bots import services as bot_services
from jobs import locks
from scraping.models import ScrapeSession
from scraping.sessions import batches, lifecycle, services
from tests.factories import BotFactory, SuperuserFactory, UserFactory
from tests.processes import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

SESSIONS = reverse("admin:scraping_scrapesession_changelist")
BATCHES = reverse("admin:scraping_scrapebatch_changelist")
BOTS = reverse("admin:bots_botconfig_changelist")
ENDS_TOO_EARLY = ["partial", "failed", "cancelled", "interrupted"]


def page_of(session):
    return reverse("admin:scraping_scrapesession_change", args=[session.pk])


def hidden_fields(answer):
    """What the form of a page sends without being filled in."""
    fields = {}
    tag = r'<input type="hidden" name="([^"]+)" value="([^"]*)">'
    for name, value in re.findall(tag, answer.content.decode()):
        fields.setdefault(name, []).append(value)
    return fields


def run_action(client, url, name, *rows):
    chosen = [row.pk for row in rows]
    answer = client.post(url, {"action": name, "_selected_action": chosen}, follow=True)
    if name.startswith("cancel_") and b'name="confirmed"' in answer.content:
        answer = client.post(url, hidden_fields(answer), follow=True)
    return " ".join(str(message) for message in get_messages(answer.wsgi_request)) or " ".join(
        str(message) for message in answer.context["messages"]
    )


def ended(bot, status, **fields):
    return ScrapeSession.objects.create(bot=bot, bot_name=bot.name, trigger="schedule",
                                        status=status, **fields)  # fmt: skip


@pytest.fixture
def admin(client):
    client.user = SuperuserFactory()
    client.force_login(client.user)
    return client


@pytest.fixture
def operator(client):
    """Somebody who may edit and run bots, his own."""
    user = UserFactory()
    names = ["view_scrapesession", "view_scrapebatch", "view_botconfig", "change_botconfig"]
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client.user = user
    client.force_login(user)
    return client


class TestCancelling:
    def test_a_queued_session_never_starts(self, broker, admin):
        run = bot_services.run_now(BotFactory())
        session = ScrapeSession.objects.get()

        told = run_action(admin, SESSIONS, "cancel_sessions", session)

        assert "1 session(s) cancelled" in told
        session.refresh_from_db()
        assert session.status == "cancelled"
        assert session.error == f"Cancelled by {admin.user}."
        assert TaskResult.objects.get(task_id=run.task_id).status == "REVOKED"

    def test_one_whose_run_is_gone_is_cancelled_all_the_same(self, broker):
        bot_services.run_now(BotFactory())
        TaskResult.objects.all().delete()

        assert lifecycle.cancel(ScrapeSession.objects.get(), by="somebody")
        assert ScrapeSession.objects.get().status == "cancelled"

    @pytest.mark.parametrize("status", ["completed", *ENDS_TOO_EARLY])
    def test_what_has_ended_stays_as_it_is(self, status):
        session = ended(BotFactory(), status, task_id="a run")

        assert not lifecycle.cancel(session, by="somebody")
        assert ScrapeSession.objects.get().status == status

    def test_one_in_a_terminal_says_how_to_end_it(self, admin):
        bot = BotFactory()
        with locks.hold(lifecycle.lock_key(bot.pk)):
            session = lifecycle.start(bot, trigger="command")
            told = run_action(admin, SESSIONS, "cancel_sessions", session)

        assert "press Ctrl-C there" in told
        session.refresh_from_db()
        assert session.status == "running"

    @pytest.mark.slow
    def test_a_running_session_ends_at_its_next_safe_point(self, reddit, processes):
        processes.environment["SIMULATOR_URL"] = reddit.url
        reddit.control("faults", {"kind": "latency", "seconds": 3, "path": "/new"})
        bot_services.run_now(BotFactory(comments="stream"))
        processes.worker()
        wait_until(lambda: ScrapeSession.objects.get().status == "running", what="it is under way")

        assert lifecycle.cancel(ScrapeSession.objects.get(), by="somebody")

        wait_until(lambda: ScrapeSession.objects.get().status == "cancelled", what="it has ended")
        session = ScrapeSession.objects.get()
        assert session.error == "Cancelled by somebody."
        assert session.posts_seen > 0, "what was read is told"
        assert session.comments_seen == 0
        wait_until(lambda: TaskResult.objects.get(task_name="scraping.scrape_bot").status
                   == "REVOKED", what="its run has ended")  # fmt: skip


class TestRunningAgain:
    @pytest.mark.parametrize("status", ENDS_TOO_EARLY)
    @pytest.mark.parametrize("kind", ["listings", "threads"])
    def test_the_new_session_says_which_one_it_resumes(self, broker, admin, status, kind):
        session = ended(BotFactory(comments="threads"), status, kind=kind)

        assert "1 session(s) requested" in run_action(admin, SESSIONS, "run_again", session)

        new = ScrapeSession.objects.exclude(pk=session.pk).get()
        assert (new.status, new.trigger, new.kind) == ("queued", "manual", kind)
        assert new.resumes == session
        task = {"listings": "scraping.scrape_bot", "threads": "scraping.read_threads"}[kind]
        assert TaskResult.objects.get(task_id=new.task_id).task_name == task
        assert str(session) in admin.get(page_of(new)).content.decode()

    @pytest.mark.parametrize("status", ["queued", "running", "completed"])
    def test_what_is_done_or_goes_on_does_not(self, broker, admin, status):
        session = ended(BotFactory(), status)

        assert "only one that ended before" in run_action(admin, SESSIONS, "run_again", session)
        assert ScrapeSession.objects.count() == 1

    @pytest.mark.parametrize("bot", ["inactive", "gone"])
    def test_without_a_bot_that_may_there_is_no_session(self, broker, admin, bot):
        session = ended(BotFactory(is_active=False), "failed")
        if bot == "gone":
            session.bot.delete()

        assert "the bot is gone or inactive" in run_action(admin, SESSIONS, "run_again", session)
        assert ScrapeSession.objects.count() == 1

    def test_an_interrupted_session_is_resumed_by_the_next_one(self, reddit):
        bot = BotFactory()
        with locks.hold(lifecycle.lock_key(bot.pk)):
            dead = lifecycle.start(bot, trigger="schedule")

        done = services.scrape_bot(bot.pk, trigger="schedule")
        after = services.scrape_bot(bot.pk, trigger="schedule")

        assert (done.resumes, done.status) == (dead, "completed")
        assert after.resumes is None

    def test_kinds_do_not_end_one_another(self, reddit):
        """A bot's trees are read while its listings are."""
        bot = BotFactory(comments="threads")
        with locks.hold(lifecycle.lock_key(bot.pk, "threads")):
            reading = lifecycle.start(bot, trigger="schedule", kind="threads")
            done = services.scrape_bot(bot.pk, trigger="schedule")
            reading.refresh_from_db()
            assert (reading.status, done.resumes) == ("running", None)
            assert lifecycle.close_interrupted() == 0
        assert lifecycle.close_interrupted() == 1

    def test_a_bot_is_told_of_its_listings_and_not_of_its_trees(self, reddit):
        bot = BotFactory(comments="threads")
        done = services.scrape_bot(bot.pk, trigger="schedule")
        services.read_threads(bot.pk, trigger="schedule")

        bot.refresh_from_db()
        assert bot.last_session_at == done.ended_at


class TestAskingBeforeItCancels:
    def ask(self, client, url=SESSIONS, **fields):
        return client.post(url, {"action": "cancel_sessions"} | fields)

    def test_nothing_is_done_before_one_is_sure(self, broker, admin):
        bots = BotFactory.create_batch(2)
        for bot in bots:
            bot_services.run_now(bot)
        chosen = list(ScrapeSession.objects.all())

        page = self.ask(admin, _selected_action=[session.pk for session in chosen])

        assert "Cancel 2 sessions?" in page.content.decode()
        for session in chosen:
            assert f'href="{page_of(session)}">{session}</a>' in page.content.decode()
        assert f'href="{SESSIONS}"' in page.content.decode()
        assert set(ScrapeSession.objects.values_list("status", flat=True)) == {"queued"}

        answer = admin.post(SESSIONS, hidden_fields(page), follow=True)

        assert "2 session(s) cancelled" in answer.content.decode()
        assert set(ScrapeSession.objects.values_list("status", flat=True)) == {"cancelled"}

    def test_all_that_a_filter_finds_stay_the_chosen_ones(self, broker, admin):
        for bot in BotFactory.create_batch(3):
            bot_services.run_now(bot)
        other = ended(BotFactory(), "running")
        url = f"{SESSIONS}?status__exact=queued"
        first = ScrapeSession.objects.filter(status="queued").first()

        page = self.ask(admin, url, _selected_action=[first.pk], select_across="1")
        assert "Cancel 3 sessions?" in page.content.decode()
        admin.post(url, hidden_fields(page))

        assert ScrapeSession.objects.filter(status="cancelled").count() == 3
        other.refresh_from_db()
        assert other.status == "running"

    def test_it_names_no_more_than_fit_a_page(self, admin):
        bot = BotFactory()
        rows = [ended(bot, "queued") for _ in range(23)]

        page = self.ask(admin, _selected_action=[row.pk for row in rows]).content.decode()

        assert "Cancel 23 sessions?" in page
        assert "and 3 more" in page

    def test_to_be_sure_is_no_permission(self, broker, client):
        user = UserFactory()
        user.user_permissions.set(Permission.objects.filter(codename="view_scrapesession"))
        client.force_login(user)
        bot_services.run_now(BotFactory(owner=user))
        session = ScrapeSession.objects.get()

        self.ask(client, _selected_action=[session.pk], confirmed="yes")

        assert ScrapeSession.objects.get().status == "queued"

    def test_nor_a_way_past_the_csrf_check(self, broker):
        client = Client(enforce_csrf_checks=True)
        client.force_login(SuperuserFactory())
        bot_services.run_now(BotFactory())
        session = ScrapeSession.objects.get()

        answer = self.ask(client, _selected_action=[session.pk], confirmed="yes")

        assert answer.status_code == 403
        assert ScrapeSession.objects.get().status == "queued"

    def test_others_sessions_are_not_named(self, broker, operator):
        bot_services.run_now(BotFactory(name="Secret"))

        answer = self.ask(operator, _selected_action=[ScrapeSession.objects.get().pk])
        page = operator.get(answer.url).content.decode()

        assert "None of the selected rows exists any more." in page
        assert "Secret" not in page


class TestTheAdmin:
    @pytest.mark.parametrize(
        ("status", "button"),
        [("queued", "cancel_sessions"), ("running", "cancel_sessions"), ("completed", None)]
        + [(status, "run_again") for status in ENDS_TOO_EARLY],
    )
    def test_a_sessions_page_has_the_button_that_fits(self, admin, status, button):
        page = admin.get(page_of(ended(BotFactory(), status))).content.decode()

        for name in ("cancel_sessions", "run_again"):
            assert (f'name="action" value="{name}"' in page) == (name == button)

    def test_its_button_posts_what_the_list_understands(self, broker, admin):
        bot_services.run_now(BotFactory())
        session = ScrapeSession.objects.get()
        page = admin.get(page_of(session)).content.decode()
        assert f'<form method="post" action="{SESSIONS}"' in page
        assert f'name="_selected_action" value="{session.pk}"' in page

    def test_a_get_changes_nothing(self, broker, admin):
        bot_services.run_now(BotFactory())
        session = ScrapeSession.objects.get()

        admin.get(SESSIONS, {"action": "cancel_sessions", "_selected_action": session.pk})

        assert ScrapeSession.objects.get().status == "queued"

    def test_an_operator_cancels_and_repeats_his_own(self, broker, operator):
        bot = BotFactory(owner=operator.user)
        bot_services.run_now(bot)
        session = ScrapeSession.objects.get()

        run_action(operator, SESSIONS, "cancel_sessions", session)
        run_action(operator, SESSIONS, "run_again", session)

        assert [s.status for s in ScrapeSession.objects.order_by("pk")] == ["cancelled", "queued"]

    def test_what_is_others_is_not_there(self, broker, operator):
        others = BotFactory()
        bot_services.run_now(others)
        batch = batches.scrape_batch([BotFactory()], by=others.owner).batch
        failed = ended(others, "failed")

        for session in ScrapeSession.objects.all():
            run_action(operator, SESSIONS, "cancel_sessions", session)
        run_action(operator, SESSIONS, "run_again", failed)
        run_action(operator, BATCHES, "cancel_batches", batch)
        run_action(operator, BOTS, "run_as_batch", others)

        assert sorted(ScrapeSession.objects.values_list("status", flat=True)) == [
            "failed", "queued", "queued",
        ]  # fmt: skip
        assert operator.get(page_of(failed)).status_code == 302

    def test_who_may_only_look_has_no_buttons(self, broker, client):
        user = UserFactory()
        user.user_permissions.set(Permission.objects.filter(codename="view_scrapesession"))
        client.force_login(user)
        bot = BotFactory(owner=user)
        bot_services.run_now(bot)
        session = ScrapeSession.objects.get()

        assert 'name="action"' not in client.get(page_of(session)).content.decode()
        client.post(SESSIONS, {"action": "cancel_sessions", "_selected_action": [session.pk]})

        assert ScrapeSession.objects.get().status == "queued"

    def test_selected_bots_run_as_one_batch(self, broker, operator):
        bots = BotFactory.create_batch(2, owner=operator.user)
        off = BotFactory(owner=operator.user, is_active=False)

        told = run_action(operator, BOTS, "run_as_batch", *bots, off)

        assert "A batch of 2 sessions requested." in told
        assert "is inactive" in told
        page = operator.get(BATCHES).content.decode()
        assert "0 of 2" in page
        batch = batches.ScrapeBatch.objects.get()
        assert "2 will not start" in run_action(operator, BATCHES, "cancel_batches", batch)
        assert "2 cancelled; 0 posts" in operator.get(BATCHES).content.decode()
        detail = operator.get(reverse("admin:scraping_scrapebatch_change", args=[batch.pk]))
        assert bots[0].name in detail.content.decode()

    def test_only_inactive_bots_are_no_batch(self, broker, admin):
        told = run_action(admin, BOTS, "run_as_batch", BotFactory(is_active=False))

        assert "at least one active bot" in told
