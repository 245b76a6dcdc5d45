"""Processes that are forked from a warm one are like those that Python starts anew."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

from tests.processes import READ_AT_IMPORT, Process, wait_until

pytestmark = pytest.mark.slow

SHOW = """
import os, sys
print(sys.argv, os.getcwd(), os.environ.get("A_VARIABLE"), __name__)
print("an error", file=sys.stderr)
print(os.getpgid(0) == os.getpid() == os.getsid(0), "django" in sys.modules)
print("HOME" in os.environ)
"""


@pytest.fixture
def start(tmp_path):
    started = []
    # A process that lacks them is started anew.
    inherited = {name: os.environ[name] for name in os.environ if name.startswith(READ_AT_IMPORT)}

    def start(*command, **environment):
        process = Process(
            [sys.executable, *command],
            name=f"process-{len(started)}",
            output=tmp_path / f"{len(started)}.log",
            environment=inherited | environment,
            cwd=tmp_path,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()


def test_it_has_its_arguments_folder_environment_and_a_group_of_its_own(start, tmp_path):
    process = start("-c", SHOW, "one", "two", A_VARIABLE="here", PYTHONUNBUFFERED="1")

    assert process.wait() == 0
    assert process.output.splitlines() == [
        f"['-c', 'one', 'two'] {tmp_path} here __main__",
        "an error",
        "True True",  # the second: it was forked from a process with Django
        "False",
    ]


def test_no_setting_of_ours_was_read_before(start):
    names = ("config", "jobs", "scraping", "bots", "accounts")
    program = f"import sys; print([name for name in {names} if name in sys.modules])"

    process = start("-c", program)

    assert process.wait() == 0
    assert process.output == "[]\n"


@pytest.mark.parametrize(
    ("program", "status", "output"),
    [
        ("raise SystemExit(3)", 3, ""),
        ("raise SystemExit('no')", 1, "no\n"),
        ("1 / 0", 1, "ZeroDivisionError: division by zero\n"),
        ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL, ""),
        ("import os; os.kill(os.getpid(), 15)", -signal.SIGTERM, ""),
        ("import atexit; atexit.register(print, 'the end')", 0, "the end\n"),
    ],
)
def test_it_ends_as_it_would_have_ended(start, program, status, output):
    process = start("-c", program)

    assert process.wait() == status
    assert process.output.endswith(output)


def test_a_module_is_run_as_the_main_one(start):
    process = start("-m", "json.tool", "--help")

    assert process.wait() == 0
    assert "usage: python -m json.tool" in process.output


def test_a_kill_ends_its_children_too(start):
    child = "import subprocess, sys; subprocess.run(['sleep', '60'])"
    process = start("-c", child, PATH=os.environ["PATH"])
    wait_until(process.children)
    (below,) = process.children()
    assert process.is_running

    process.kill()

    assert not process.is_running
    wait_until(lambda: not below.is_running() or below.status() == psutil.STATUS_ZOMBIE)


def test_who_waits_too_short_is_told(start):
    process = start("-c", "import time; time.sleep(60)")

    with pytest.raises(subprocess.TimeoutExpired):
        process.popen.wait(0.1)


def test_what_packages_read_when_they_are_imported_starts_it_anew(start):
    process = start("-c", "import sys; print('django' in sys.modules)", REMAP_SIGTERM="SIGQUIT")

    assert process.wait() == 0
    assert process.output == "False\n"
