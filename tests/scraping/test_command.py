"""`manage.py scrape` does what a worker does, and its exit code says whether all was read."""

import io

import pytest
from django.core.management import CommandError, call_command

from scraping.models import RedditPost, ScrapeSession, Stream, Subreddit
from tests.factories import BotFactory, RedditAppFactory

pytestmark = pytest.mark.django_db(transaction=True)


def scrape(*arguments):
    """Run the command; return its exit code and what it wrote."""
    output = io.StringIO()
    try:
        call_command("scrape", *map(str, arguments), stdout=output)
    except SystemExit as end:
        return end.code, output.getvalue()
    return 0, output.getvalue()


def refused(*arguments):
    with pytest.raises(CommandError) as error:
        scrape(*arguments)
    return error.value


@pytest.fixture
def bot(reddit):
    return BotFactory(name="Cats", subreddits=["python", "berlin"])


def test_a_bot_by_name_or_number(bot):
    for known_as in ("Cats", bot.pk):
        code, said = scrape(known_as)

        assert code == 0
        assert "Cats" in said
        assert "completed" in said
    assert [session.trigger for session in ScrapeSession.objects.all()] == ["command"] * 2


def test_the_closing_table_has_the_sessions_numbers(bot):
    _, said = scrape("Cats")

    session = ScrapeSession.objects.get()
    (row,) = [line for line in said.splitlines() if "completed" in line]
    counts = (session.posts_seen, session.comments_seen, session.new, session.matched)
    assert row.split()[2:7] == [str(number) for number in (*counts, session.requests)]


def test_all_are_the_active_ones(bot):
    BotFactory(name="Dogs")
    BotFactory(name="Asleep", is_active=False)

    code, said = scrape("--all")

    assert code == 0
    assert "Dogs" in said
    assert "Asleep" not in said
    assert ScrapeSession.objects.count() == 2


def test_what_could_not_be_read_is_exit_code_1_with_the_reason(bot, reddit):
    reddit.control("subreddits", {"name": "python", "status": "private"})

    code, said = scrape("Cats")

    assert code == 1
    assert "partial" in said
    assert "r/python posts: private" in said


def test_an_inactive_bot_is_skipped_with_the_reason(bot):
    bot.is_active = False
    bot.save()

    code, said = scrape("Cats")

    assert code == 1
    assert "skipped" in said
    assert "is inactive" in said


def test_subreddits_need_no_bot(reddit):
    RedditAppFactory(name="The app")

    code, _ = scrape("--subreddit", "r/python", "--subreddit", "berlin", "--app", "The app")

    assert code == 0
    session = ScrapeSession.objects.get()
    assert (session.bot, session.bot_name) == (None, "r/python, r/berlin")
    assert session.comments_seen > 0
    assert RedditPost.objects.filter(subreddit__name="berlin").exists()


def test_the_limit_is_one_of_items(bot):
    scrape("Cats", "--limit", "100")

    assert ScrapeSession.objects.get().requests <= 4


@pytest.mark.parametrize("arguments", [["Cats"], ["--all"], ["--subreddit", "python"]])
def test_a_dry_run_stores_nothing_at_all(bot, reddit, arguments):
    code, said = scrape(*arguments, "--dry-run")

    assert code == 0
    assert "nothing was stored" in said
    for model in (ScrapeSession, RedditPost, Subreddit, Stream):
        assert not model.objects.exists()
    bot.refresh_from_db()
    assert bot.last_session_at is None


def test_a_dry_run_tells_what_could_not_be_read(bot, reddit):
    reddit.control("faults", {"kind": "status", "status": 429})

    code, said = scrape("Cats", "--dry-run")

    assert code == 1
    assert "failed" in said
    assert "429" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "one of the three"),
        (["Cats", "--all"], "one of the three"),
        (["Nobody"], "BOT “Nobody”: There is no such bot. Known: "),
        (["999999"], "There is no such bot"),
        (["--subreddit", "all"], "“all” is a view over other subreddits"),
        (
            ["--subreddit", "python", "--app", "None"],
            "--app “None”: There is no such Reddit app. Known: ",
        ),
        (["Cats", "--limit", "0"], "is not a number from 1 to 1000"),
        (["Cats", "--limit", "many"], "is not a number from 1 to 1000"),
        (["--unknown"], "unrecognized arguments"),
    ],
)
def test_bad_arguments_are_exit_code_2_with_the_remedy(bot, arguments, message):
    error = refused(*arguments)

    assert (
        error.returncode == 2 or isinstance(error.__context__, SystemExit) or message in str(error)
    )
    assert message in str(error)
    assert not ScrapeSession.objects.exists()


def test_all_without_a_bot_says_what_to_do():
    error = refused("--all")

    assert error.returncode == 2
    assert "Add a bot in the admin" in str(error)


def test_which_app_must_be_said_when_there_are_several(reddit):
    RedditAppFactory(name="One")
    RedditAppFactory(name="Two")

    error = refused("--subreddit", "python")

    assert error.returncode == 2
    assert "Known: “One”, “Two”" in str(error)


def test_a_name_that_several_owners_gave_is_not_guessed(reddit):
    first, second = BotFactory(name="Cats"), BotFactory(name="Cats")

    error = refused("Cats")

    assert "Several owners have such a bot" in str(error)
    assert f"{first.pk} “Cats”, {second.pk} “Cats”" in str(error)


class TestTrees:
    def test_a_bot_that_reads_full_trees_has_a_second_session(self, reddit):
        from scraping.models import RedditComment

        BotFactory(name="Trees", subreddits=["python"], comments="threads")

        code, said = scrape("Trees")

        assert code == 0
        assert "Trees: trees" in said
        sessions = ScrapeSession.objects.order_by("pk")
        assert [(s.kind, s.trigger) for s in sessions] == [
            ("listings", "command"),
            ("threads", "command"),
        ]
        assert RedditComment.objects.count() == sessions[1].new > 0

    def test_when_no_tree_is_due_there_is_no_session(self, reddit):
        reddit.control("subreddits", {"name": "quietplace", "status": "ok"})
        BotFactory(name="Trees", subreddits=["quietplace"], comments="threads")

        assert scrape("Trees")[0] == 0
        assert ScrapeSession.objects.get().kind == "listings"


class TestBatches:
    @pytest.mark.slow
    def test_the_workers_run_the_bots_and_the_summary_is_told(self, bot, reddit, processes):
        reddit.control("subreddits", {"name": "france", "status": "private"})
        failing = BotFactory(name="Dogs", subreddits=["france"])
        processes.environment["SIMULATOR_URL"] = reddit.url
        processes.worker(concurrency=2)

        code, said = scrape("--batch", "--timeout", 60, "Cats", failing.pk)

        assert code == 1
        assert "1 completed, 1 failed" in said
        assert "france posts: private" in said
        assert {s.trigger for s in ScrapeSession.objects.all()} == {"batch"}

    def test_without_a_worker_it_says_so_and_does_not_wait_for_ever(self, bot, broker):
        error = refused("--batch", "--timeout", 1, "--all")

        assert "has not ended within 1 s" in str(error)
        assert "Does a worker run?" in str(error)
        assert ScrapeSession.objects.get().status == "queued"

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--batch"],
            ["--batch", "--all", "Cats"],
            ["--batch", "--subreddit", "python"],
            ["--batch", "--dry-run", "Cats"],
            ["--batch", "--limit", "5", "Cats"],
            ["--batch", "Nobody"],
            ["--batch", "Asleep"],
        ],
    )
    def test_what_a_batch_cannot_be(self, bot, broker, arguments):
        BotFactory(name="Asleep", is_active=False)

        assert refused(*arguments).returncode == 2
        assert not ScrapeSession.objects.exists()
