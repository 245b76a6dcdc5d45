"""The demo outlives the death of its processes, and its login is the same from start to start."""

import json
import re
import signal
import stat
import time

import psutil
import pytest
from django.conf import global_settings

from accounts.models import User
from config.environment import BASE_DIR
from local.demo import children
from local.demo.account import EMAIL, ensure_account
from local.demo.children import ChildError, Children
from local.servers import ensure_redis, launching
from tests.processes import wait_until

# A process that has a child of its own, and one that ends at once.
STAYS = """
import subprocess, sys, time
print("ready", flush=True)
subprocess.run([sys.executable, "-c", "import time; time.sleep(600)"])
"""
ENDS = """
import sys
sys.exit("no port is free")
"""


@pytest.fixture
def lines():
    """What the demo prints."""
    return []


@pytest.fixture
def processes_of_demo(tmp_path, lines, monkeypatch):
    monkeypatch.setattr(children, "RESTART_PAUSES", (0.1, 0.2, 0.3))
    (tmp_path / "stays.py").write_text(STAYS)
    (tmp_path / "ends.py").write_text(ENDS)
    found = Children(tmp_path / "demo", lines.append)
    known = found.start
    found.start = lambda *command: known(*command, PYTHONPATH=str(tmp_path))
    yield found
    found.stop()


def registered(folder):
    return [int(pid) for pid in json.loads((folder / "processes.json").read_text())]


def test_a_process_that_was_killed_returns(processes_of_demo, lines, tmp_path):
    child = processes_of_demo.start("worker", "stays")
    killed = psutil.Process(child.process.pid)
    wait_until(killed.children)
    (left_behind,) = killed.children()
    killed.kill()
    wait_until(lambda: processes_of_demo.check() or child.process.pid != killed.pid)
    assert lines == ["worker was killed by SIGKILL; it starts again in 0.1 s (restart 1 of 3)."]
    wait_until(lambda: child.log.read_text().count("ready") == 2)
    assert child.process.poll() is None
    assert registered(tmp_path / "demo") == [child.process.pid]
    wait_until(lambda: not left_behind.is_running() or left_behind.status() == "zombie")


def test_a_process_that_ends_again_and_again_is_given_up(processes_of_demo, lines):
    processes_of_demo.start("web", "ends")
    began = time.monotonic()
    with pytest.raises(ChildError, match=r"after 3 restarts\. The demo gives up") as given_up:
        wait_until(processes_of_demo.check)
    assert time.monotonic() - began > 0.6
    assert len(lines) == 3
    assert lines[0].startswith("web ended with status 1; it starts again in 0.1 s")
    assert str(given_up.value).count("no port is free") == 4


@pytest.mark.slow
def test_a_process_that_ran_for_long_has_all_its_restarts_again(
    processes_of_demo, lines, monkeypatch
):
    monkeypatch.setattr(children, "SETTLED_SECONDS", 0.3)
    child = processes_of_demo.start("worker", "stays")
    for _ in range(5):
        time.sleep(0.4)
        pid = child.process.pid
        psutil.Process(pid).kill()
        wait_until(lambda pid=pid: processes_of_demo.check() or child.process.pid != pid)
    assert [line.endswith("(restart 1 of 3).") for line in lines] == [True] * 5


def test_what_is_awaited_may_end_before_it_is_ready(processes_of_demo, lines, tmp_path):
    child = processes_of_demo.start("worker", "stays")
    psutil.Process(child.process.pid).kill()
    file = tmp_path / "demo" / "worker.log"
    processes_of_demo.wait_until(child, lambda: "ready" in file.read_text(), seconds=10)
    assert len(lines) <= 1
    with pytest.raises(ChildError, match="worker was not ready within 1 s"):
        processes_of_demo.wait_until(child, lambda: False, seconds=1)


@pytest.mark.slow
def test_an_embedded_server_that_was_killed_returns(tmp_path, lines, monkeypatch):
    from local.demo.servers import Servers
    from local.servers.redis import RedisServer

    monkeypatch.setattr(children, "RESTART_PAUSES", (0.1, 0.2))
    servers = Servers(tmp_path, lines.append)
    servers.check()
    assert lines == []
    ensure_redis(tmp_path / "redis")
    try:
        killed = RedisServer((tmp_path / "redis").resolve()).process()
        killed.kill()
        wait_until(lambda: not killed.is_running() or killed.status() == "zombie")
        wait_until(
            lambda: servers.check() or RedisServer((tmp_path / "redis").resolve()).is_healthy()
        )
        assert lines == ["Redis has ended; it starts again in 0.1 s (restart 1 of 2)."]
    finally:
        for name in ("redis-server", "valkey-server"):
            launching.end_all(name, cwd=tmp_path / "redis")


# --- The login ------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_password_is_the_same_from_start_to_start(tmp_path):
    file = tmp_path / "demo-password"
    first = ensure_account(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = ensure_account(file)
    assert first.password == again.password == again.sign_in == file.read_text().strip()
    assert User.objects.get(email=EMAIL).check_password(first.password)
    # Nobody is signed out by another start of the demo.
    assert first.user.get_session_auth_hash() == again.user.get_session_auth_hash()
    assert not again.is_reset


@pytest.mark.django_db
def test_a_password_that_the_user_has_set_is_kept_and_told(tmp_path):
    file = tmp_path / "demo-password"
    password = ensure_account(file).password
    user = User.objects.get(email=EMAIL)
    user.set_password("of my own")
    user.save()
    account = ensure_account(file)
    assert User.objects.get(email=EMAIL).check_password("of my own")
    assert account.password == password  # Flower's still
    assert password not in account.sign_in
    assert f"./manage.py changepassword {EMAIL}" in account.sign_in


@pytest.mark.django_db
def test_without_the_file_the_user_has_a_new_password(tmp_path):
    """As in a checkout whose demo had another password at each start."""
    file = tmp_path / "demo-password"
    password = ensure_account(file).password
    file.unlink()
    account = ensure_account(file)
    assert account.is_reset
    assert account.password == account.sign_in != password
    assert User.objects.get(email=EMAIL).check_password(account.password)


@pytest.mark.django_db
def test_a_user_who_was_deactivated_stays_so(tmp_path):
    file = tmp_path / "demo-password"
    ensure_account(file)
    User.objects.update(is_active=False)
    assert "deactivated" in ensure_account(file).sign_in
    assert not User.objects.get(email=EMAIL).is_active


# --- The whole of it ------------------------------------------------------------------------------

DEMO = """
import sys
from pathlib import Path
from local.demo import __main__ as demo
demo.FOLDER = Path(sys.argv.pop(1)) / "demo"
demo.PASSWORD_FILE = demo.FOLDER / "password"
sys.exit(demo.main())
"""


def processes_in(folder):
    """The demo's processes by the part of the command that names each."""
    found = {}
    for pid in registered(folder):
        command = psutil.Process(pid).cmdline()
        found[
            next(
                name
                for name in ("simulator", "gunicorn", "worker", "beat", "flower")
                if any(name in part for part in command)
            )
        ] = pid
    return found


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_demo_goes_on_when_its_processes_are_killed(processes, tmp_path, settings):
    settings.PASSWORD_HASHERS = global_settings.PASSWORD_HASHERS  # the tests' own is a quick one
    environment = {"DJANGO_SETTINGS_MODULE": "config.settings.local", "COLUMNS": "200"}
    demo = processes.start(
        *("-c", DEMO, str(tmp_path), "--every", "10"), name="demo", environment=environment
    )
    try:
        demo.wait_for("Lurker is collecting", seconds=120)
        password = (tmp_path / "demo" / "password").read_text().strip()
        assert f"{EMAIL}  {password}" in demo.output
        assert User.objects.get(email=EMAIL).check_password(password)
        before = processes_in(tmp_path / "demo")
        for name in ("beat", "simulator"):
            psutil.Process(before[name]).kill()
        demo.wait_for("beat was killed by SIGKILL; it starts again in 1 s (restart 1 of 5).")
        demo.wait_for("simulator was killed by SIGKILL")
        shown = len(re.findall(" completed | partial ", demo.output))
        demo.wait_for(
            lambda _: len(re.findall(" completed | partial ", demo.output)) >= shown + 3,
            seconds=60,
        )
        after = processes_in(tmp_path / "demo")
        assert {name for name in before if before[name] != after[name]} == {"beat", "simulator"}
        demo.send(signal.SIGTERM)
        assert demo.wait(seconds=60) == 0
        assert not any(psutil.pid_exists(pid) for pid in after.values())
    finally:
        demo.send(signal.SIGTERM)
        demo.popen.wait(60)
        Children(tmp_path / "demo", print)  # ends what is left


def test_the_constants_of_the_demo_lie_below_var():
    from local.demo.__main__ import FOLDER, PASSWORD_FILE

    assert {FOLDER.parent, PASSWORD_FILE.parent} == {BASE_DIR / "var"}
