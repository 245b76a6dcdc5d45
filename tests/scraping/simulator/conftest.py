"""Servers for the tests. A frozen clock makes every answer repeatable."""

import pytest

from scraping.simulator.server import SimulatorServer
from tests import needs

from .api import START, Api


@pytest.fixture(scope="session")
def frozen():
    """A world that stands still and that no test changes."""
    with SimulatorServer(seed=7, start=START, speed=0.0, control=True, budget=None) as sim:
        yield sim


@pytest.fixture(scope="session")
def api(frozen):
    """A client of the world that stands still."""
    return Api(frozen)


@pytest.fixture
def sim():
    """A small world of the test's own."""
    with SimulatorServer(
        seed=3, start=START, speed=0.0, control=True, subreddits=8, history_hours=12, budget=None
    ) as server:
        yield server


@pytest.fixture
def own(sim):
    """A client of the test's own world."""
    return Api(sim)


@pytest.fixture(scope="session")
def reference():
    """The folder of recorded Reddit data, which is not part of the project."""
    needs.RECORDINGS.require()
    return needs.RECORDINGS_FOLDER
