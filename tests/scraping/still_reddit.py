"""A small Reddit of a test's own."""

from scraping.simulator.server import SimulatorServer

# 2026-03-10 12:00:00 UTC
START = 1_773_144_000


def still_reddit(**options):
    """A server whose clock stands still until a test moves it, without a budget."""
    usual = {"start": START, "speed": 0, "seed": 3, "budget": None}
    return SimulatorServer(port=0, control=True, **usual | options)
