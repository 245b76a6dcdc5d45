"""A Reddit to collect from, a bot that collects, and a client that asks."""

from datetime import timedelta

import pytest
from hypothesis import settings as hypothesis_settings
from prawcore.sessions import FiniteRetryStrategy

from scraping.budget import clients
from scraping.dumps import files
from scraping.models import BotItem
from scraping.planning import freshness
from scraping.reddit.client import Credentials, RedditClient
from scraping.simulator.server import SimulatorServer
from tests.factories import BotFactory, RedditAppFactory
from tests.scraping.budgets import WINDOW
from tests.scraping.dump_samples import ndjson
from tests.scraping.still_reddit import still_reddit
from tests.scraping.traces import SECRETS, found_anywhere
from tests.scraping.world import World

# An example may take long on a busy machine; how long says nothing of what is tested.
hypothesis_settings.register_profile("patient", deadline=None)
hypothesis_settings.load_profile("patient")


# Simulated Reddits: a test that has one runs whole sessions over HTTP.
REDDITS = {"reddit", "crowded", "lively", "simulator", "world", "collected"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Leave tests of whole sessions out of `make test-fast`."""
    for item in items:
        if REDDITS.intersection(item.fixturenames):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def no_kept_clients():
    """What a worker keeps from session to session ends with the test."""
    yield
    clients.close_all()


@pytest.fixture(autouse=True)
def sessions_in_quick_succession(monkeypatch):
    """Reddit's clock is a test's to move: what was read a moment ago by ours may be hours old."""
    monkeypatch.setattr(freshness, "INSIST_AGE", timedelta(0))


@pytest.fixture
def no_pauses(monkeypatch):
    """PRAW tries again without waiting the seconds that it would."""
    monkeypatch.setattr(FiniteRetryStrategy, "sleep", lambda strategy: None)


@pytest.fixture
def reddit(settings):
    """A small Reddit whose clock stands still until a test moves it."""
    with still_reddit(history_hours=6, posts_per_hour=3, comments_per_post=2) as server:
        settings.SIMULATOR_URL = server.url
        yield server


@pytest.fixture(scope="module")
def busy():
    """Few posts with very many comments, in a world that stands still."""
    with still_reddit(
        seed=11, subreddits=2, posts_per_hour=0.5, comments_per_post=400, history_hours=48
    ) as server:
        yield server


@pytest.fixture
def crowded(busy, settings):
    """The busy world; faults that a test sets end with it."""
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


@pytest.fixture
def bot(reddit):
    """A bot that collects posts and comments of two subreddits."""
    return BotFactory(subreddits=["python", "berlin"], comments="stream")


@pytest.fixture
def short_window(settings):
    """60 s, so that an app's requests per minute are those of a window."""
    settings.REDDIT_BUDGET_WINDOW_SECONDS = WINDOW


@pytest.fixture
def app(db):
    """An app with a small budget."""
    return RedditAppFactory(requests_per_minute=20)


@pytest.fixture
def simulator():
    """A Reddit that grants a client as much as that app has."""
    with SimulatorServer(
        control=True,
        budget=20,
        window=float(WINDOW),
        subreddits=4,
        history_hours=2.0,
        clients=("known:right",),
    ) as server:
        yield server


@pytest.fixture
def world(reddit, monkeypatch):
    """A quiet subreddit and a bot that collects it."""
    world = World(reddit)
    # Ingest of a session asks the clock of this machine.
    monkeypatch.setattr("scraping.content.upsert.timezone.now", world.now)
    return world


@pytest.fixture
def collected(world):
    """A post and a comment on it, both of one author, matched by a bot, with a history."""
    world.bot.include_terms = ["tabby", "purrs"]
    world.bot.save()
    world.post_name = world.post(
        title="My Tabby",
        author="someone_i_was",
        url="https://pics.example/tabby",
        fields={"link_flair_text": "Tabby flair", "poll_data": {"options": ["Tabby"]}},
    )
    world.comment_name = world.comment(world.post_name, body="It purrs", author="someone_i_was")
    world.collect()
    assert BotItem.objects.exclude(matched_terms=[]).count() == 2
    assert set(found_anywhere(*SECRETS)) == set(SECRETS)
    return world


@pytest.fixture
def client_of():
    """Make clients of an address; they are closed after the test."""
    made = []

    def client_of(url, *, timeout=5, deadline=30, secret="a secret"):
        credentials = Credentials(
            client_id="tests",
            secret=secret,
            user_agent="linux:org.example.lurker:1.0 (by /u/someone)",
            reddit_url=url,
            oauth_url=url,
        )
        made.append(RedditClient(credentials, timeout=timeout, deadline=deadline))
        return made[-1]

    yield client_of
    for client in made:
        client.close()


@pytest.fixture
def dump(tmp_path):
    """Writes a dump of the given lines, each an object or bytes; returns its path."""

    def write(*items, name="RS_2026-01", data=None):
        path = tmp_path / name
        path.write_bytes(ndjson(*items) if data is None else data)
        return path

    return write


@pytest.fixture
def small_blocks(monkeypatch):
    """A block of a line or two, so that a file of some lines has many batches."""
    monkeypatch.setattr(files, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(files, "PIECE", 100)
