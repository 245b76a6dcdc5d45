"""``manage.py reddit_simulator`` takes the options of ``python -m scraping.simulator``."""

import pytest
from django.core.management.base import CommandError

from scraping.management.commands import reddit_simulator
from scraping.simulator.config import SimulatorConfig, from_options, parse
from scraping.simulator.server import SimulatorError


def options(*arguments):
    parser = reddit_simulator.Command().create_parser("manage.py", "reddit_simulator")
    return vars(parser.parse_args(list(arguments)))


def test_the_options_are_the_same():
    line = ["--port", "0", "--control", "--client", "a:b", "--unlimited", "--speed", "60"]
    assert from_options(options(*line)) == parse(line)
    assert from_options(options()) == SimulatorConfig()


def test_a_taken_port_ends_the_command_with_2(monkeypatch):
    def refuse(config, *, announce):
        raise SimulatorError("port 8090 is taken: --port")

    monkeypatch.setattr(reddit_simulator, "serve", refuse)
    command = reddit_simulator.Command()
    with pytest.raises(CommandError, match="--port") as refused:
        command.handle(**options())
    assert refused.value.returncode == 2


def test_no_system_checks_are_needed():
    assert reddit_simulator.Command.requires_system_checks == []
