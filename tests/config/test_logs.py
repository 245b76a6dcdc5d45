"""One shape for all log lines, whoever writes them."""

import json
import subprocess
import sys

import pytest

from config.environment import BASE_DIR
from config.logs import logging_config

SCRIPT = """
import logging, logging.config, structlog, sys
from config.logs import logging_config
logging.config.dictConfig(logging_config(level="INFO", form=sys.argv[1]))
logging.getLogger("library").info("said %s", "hello", extra={"bot": 7})
logging.getLogger("library").debug("not written")
structlog.get_logger("ours").warning("fetched", subreddit="python", items=25)
try:
    1 / 0
except ZeroDivisionError:
    structlog.get_logger("ours").exception("failed")
"""


def lines(form):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, form], cwd=BASE_DIR, capture_output=True, text=True
    )
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_json_lines_are_for_machines():
    library, ours, failed = map(json.loads, lines("json"))
    assert (library["event"], library["level"], library["logger"]) == (
        "said hello",
        "info",
        "library",
    )
    assert library["bot"] == 7
    assert library["timestamp"].endswith("Z")
    assert (ours["event"], ours["subreddit"], ours["items"]) == ("fetched", "python", 25)
    assert failed["exception"][0]["exc_type"] == "ZeroDivisionError"


def test_console_lines_are_for_eyes():
    written = "\n".join(lines("console"))
    assert "said hello" in written
    assert "subreddit=python" in written
    assert "ZeroDivisionError" in written
    assert "not written" not in written


@pytest.mark.parametrize("form", ["json", "console"])
def test_the_level_is_the_one_that_was_asked_for(form):
    assert logging_config(level="ERROR", form=form)["root"]["level"] == "ERROR"
