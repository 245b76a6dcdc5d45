"""The simulator as a program."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from scraping.simulator.config import SimulatorConfig, parse
from scraping.simulator.server import SimulatorError, SimulatorServer

from .api import START, Api

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[3]


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "scraping.simulator", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ready(process):
    line = process.stdout.readline()
    match = re.fullmatch(r"Reddit simulator ready at (http://127\.0\.0\.1:\d+)\n", line)
    assert match, line + process.stderr.read()
    return match[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_and_ends_at_once(number):
    with start("--port", "0", "--control", "--subreddits", "3") as process:
        url = ready(process)
        with urllib.request.urlopen(f"{url}/control") as reply:
            assert len(json.load(reply)["subreddits"]) == 3
        # Neither an idle connection nor one that waits for a slow answer may hold it back.
        fault = json.dumps({"kind": "latency", "seconds": 60}).encode()
        urllib.request.urlopen(f"{url}/control/faults", data=fault).close()
        port = int(url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as idle:
            idle.sendall(b"POST /api/v1/access_token HTTP/1.1\r\nHost: x\r\n\r\n")
            time.sleep(0.1)
            began = time.monotonic()
            process.send_signal(number)
            output, errors = process.communicate(timeout=5)
        assert time.monotonic() - began < 1.5
        assert (process.returncode, output, errors) == (0, "", "")


def test_a_taken_port_is_named_with_the_remedy():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with start("--port", str(port)) as process:
            output, errors = process.communicate(timeout=10)
        assert (process.returncode, output) == (2, "")
        assert f"port {port}" in errors
        assert "--port" in errors
        assert "Traceback" not in errors
        with pytest.raises(SimulatorError, match=str(port)):
            SimulatorServer(port=port, subreddits=1).start()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--port", "99999"], "99999"),
        (["--speed", "-1"], "'-1'"),
        (["--speed", "nan"], "'nan'"),
        (["--subreddits", "0"], "'0'"),
        (["--subreddits", "1001"], "1000"),
        (["--client", "nosecret"], "NAME:SECRET"),
        (["--budget", "0"], "'0'"),
        (["--budget", "5", "--unlimited"], "--unlimited"),
        (["--colour", "red"], "--colour"),
    ],
)
def test_bad_options_are_refused(arguments, part, capsys):
    with pytest.raises(SystemExit) as ended:
        parse(arguments)
    assert ended.value.code == 2
    assert part in capsys.readouterr().err


def test_options_become_a_configuration():
    assert parse([]) == SimulatorConfig()
    line = (
        "--port 0 --control --seed 9 --start 1.5e9 --speed 60 --history-hours 6 --subreddits 200"
        " --posts-per-hour 20 --comments-per-post 5 --client a:b --client c:d --user u:p"
        " --refresh-token r --token-lifetime 3 --unlimited --window 5 --latency 0.01"
    )
    config = parse(line.split())
    assert config == SimulatorConfig(
        port=0,
        control=True,
        seed=9,
        start=1.5e9,
        speed=60.0,
        history_hours=6.0,
        subreddits=200,
        posts_per_hour=20.0,
        comments_per_post=5.0,
        clients=("a:b", "c:d"),
        users=("u:p",),
        refresh_tokens=("r",),
        token_lifetime=3.0,
        budget=None,
        window=5.0,
        latency=0.01,
    )
    assert parse(["--budget", "7"]).budget == 7


def test_a_process_of_its_own_serves_the_same_world():
    config = SimulatorConfig(
        port=0,
        seed=4,
        start=START,
        speed=0.0,
        subreddits=5,
        history_hours=6,
        control=True,
        clients=("tester:secret",),
        budget=None,
    )
    with SimulatorServer(config, process=True) as process, SimulatorServer(config) as thread:
        assert process.simulator is None
        assert thread.simulator is not None
        pages = [Api(server).page("/r/python/new", limit=50) for server in (process, thread)]
        assert pages[0] == pages[1]
        assert pages[0]["children"]


def test_a_process_that_cannot_start_says_why():
    with SimulatorServer(subreddits=1) as blocker:
        port = int(blocker.url.rpartition(":")[2])
        second = SimulatorServer(port=port, process=True)
        with pytest.raises(SimulatorError, match=f"port {port}"):
            second.start()


def test_many_subreddits_with_a_heavy_tail_start_quickly():
    began = time.monotonic()
    with SimulatorServer(
        start=START,
        speed=0.0,
        control=True,
        subreddits=200,
        posts_per_hour=20,
        comments_per_post=5,
        history_hours=2,
        budget=None,
    ) as sim:
        assert time.monotonic() - began < 3
        posts = {}
        for item in Api(sim).truth(kind="t3"):
            posts[item["subreddit"]] = posts.get(item["subreddit"], 0) + 1
        total, sizes = sum(posts.values()), sorted(posts.values(), reverse=True)
        assert 0.5 < total / (200 * 20 * 2) < 1.6
        assert sum(sizes[:20]) > 0.3 * total
