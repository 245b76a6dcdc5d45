"""The embedded servers start from nothing, are shared, end with their last user, survive crashes."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import psycopg2
import pytest
import redis

from config import environment
from config.environment import BASE_DIR
from local.servers import EmbeddedServerError, errors, launching, postgres
from local.servers.postgres import PostgresServer
from local.servers.redis import RedisServer
from tests import needs
from tests.processes import running_processes, wait_until

pytestmark = pytest.mark.slow

# Uses both servers, says so, and stays until its standard input or its parent ends.
USER = """
import sys, time
from pathlib import Path
from local.servers import ensure_servers
servers = ensure_servers(Path(sys.argv[1]), durable=False)
print(servers.database_url, servers.broker_url, "READY", flush=True)
while not Path(sys.argv[2]).exists():
    time.sleep(0.05)
"""


@pytest.fixture
def folder():
    """A deep folder with blanks in its path; nothing may run in it after the test.

    Not below pytest's: that is closed to others, to the system user of PostgreSQL among them when
    we are root, and every other test process closes it anew.
    """
    root = Path(tempfile.mkdtemp(prefix="lurker test "))
    folder = root / "/".join(["deep"] * 30)
    folder.mkdir(parents=True)
    yield folder
    assert servers_in(folder) == []
    shutil.rmtree(root)


@pytest.fixture
def users(folder, tmp_path):
    """Start processes that use the servers in the folder."""
    leave = tmp_path / "leave"
    with running_processes(folder=tmp_path, environment=os.environ) as processes:

        def start(ready="READY", **options):
            return processes.start("-c", USER, str(folder), str(leave), ready=ready, **options)

        start.leave = leave.touch
        yield start
    for name in ("postgres", "redis"):
        for process_name in ("postgres", "redis-server", "valkey-server"):
            launching.end_all(process_name, cwd=folder / name)
        shutil.rmtree(launching.socket_dir(folder / name), ignore_errors=True)


def servers_in(folder):
    found = []
    for process in psutil.process_iter(["name"]):
        try:
            if process.cwd().startswith(str(folder)):
                found.append((process.pid, process.info["name"]))
        except psutil.Error:
            continue
    return found


def postmaster(folder):
    return PostgresServer(folder / "postgres").process()


def redis_process(folder):
    return RedisServer(folder / "redis").process()


def can_query(folder):
    config = environment.parse_database_url(PostgresServer(folder / "postgres").url())
    connection = psycopg2.connect(host=config["HOST"], user=config["USER"], dbname=config["NAME"])
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 40 + 2")
            return cursor.fetchone() == (42,)
    finally:
        connection.close()


def can_ping(folder):
    with redis.Redis(unix_socket_path=str(RedisServer(folder / "redis").socket)) as client:
        return client.ping()


def is_gone(folder):
    return lambda: servers_in(folder) == []


def test_starts_in_an_empty_folder_and_ends_with_its_only_user(users, folder):
    user = users()
    assert can_query(folder)
    assert can_ping(folder)
    assert not psutil.Process(postmaster(folder).pid).net_connections("inet")
    assert not psutil.Process(redis_process(folder).pid).net_connections("inet")

    users.leave()
    assert user.wait() == 0
    assert servers_in(folder) == []


def test_many_processes_at_once_share_one_server_and_the_last_one_stops_it(users, folder):
    started = [users(ready=None) for _ in range(4)]
    for user in started:
        user.wait_for("READY", seconds=60)
    assert len({user.output for user in started}) == 1
    names = [name for _, name in servers_in(folder)]
    assert names.count("redis-server") + names.count("valkey-server") == 1
    assert postmaster(folder) is not None

    before = postmaster(folder)
    started[0].send(signal.SIGINT)  # an exit in order, at which it looks for other users
    started[0].wait()
    for user in started[1:3]:
        user.kill()
    assert can_query(folder)
    assert can_ping(folder)
    assert postmaster(folder) == before

    users.leave()
    started[3].wait()
    assert servers_in(folder) == []


def test_a_server_whose_user_was_killed_is_used_by_the_next_one(users, folder):
    users().kill()
    before = postmaster(folder)
    assert before is not None

    user = users()
    assert postmaster(folder) == before
    assert can_ping(folder)
    users.leave()
    user.wait()
    assert servers_in(folder) == []


def test_a_forked_child_counts_as_a_user_of_its_own(folder, tmp_path):
    script = """
import os, sys, time
from pathlib import Path
from local.servers import ensure_redis
ensure_redis(Path(sys.argv[1]) / "redis")
if os.fork():
    sys.exit()  # runs what is registered for the exit; the child stays
time.sleep(60)
"""
    with running_processes(folder=tmp_path, environment=os.environ) as processes:
        parent = processes.start("-c", script, str(folder))
        parent.wait()
        assert can_ping(folder)
    RedisServer(folder / "redis").stop()


def test_killed_servers_are_started_anew_with_their_data(users, folder):
    first = users()
    execute(folder, "CREATE TABLE kept AS SELECT 1 AS number")
    execute(folder, "CHECKPOINT")
    postmaster(folder).kill()
    redis_process(folder).kill()
    wait_until(lambda: postmaster(folder) is None and redis_process(folder) is None)

    second = users()
    assert can_ping(folder)
    assert execute(folder, "SELECT number FROM kept") == [(1,)]
    users.leave()
    first.wait()
    second.wait()
    assert servers_in(folder) == []


def execute(folder, statement):
    server = PostgresServer(folder / "postgres")
    return server._query(postgres.DATABASE, statement)


def test_a_frozen_server_is_replaced(users, folder):
    users()
    frozen = redis_process(folder)
    frozen.send_signal(signal.SIGSTOP)
    users()
    assert redis_process(folder) != frozen
    assert can_ping(folder)


def test_a_pid_file_that_names_a_stranger_is_no_obstacle(users, folder):
    user = users()
    users.leave()
    user.wait()
    for pid_file in (folder / "postgres" / "postmaster.pid", folder / "redis" / "redis.pid"):
        pid_file.write_text(f"{os.getpid()}\n")
    (folder.parent / "leave").unlink(missing_ok=True)
    users_leave = Path(user.popen.args[-1])
    users_leave.unlink()

    again = users()
    assert can_query(folder)
    assert can_ping(folder)
    users.leave()
    again.wait()


def test_a_removed_data_folder_is_made_anew(users, folder):
    users()
    old = postmaster(folder)
    subprocess.run(["rm", "-rf", folder / "postgres"], check=True)
    users()
    assert postmaster(folder) != old
    assert not launching.is_alive(old.pid)
    assert can_query(folder)


def test_half_a_data_folder_is_not_taken_for_a_whole(users, folder):
    (folder / "postgres").mkdir()
    (folder / "postgres" / "base").mkdir()
    user = users(ready=None)
    assert user.wait() != 0
    assert "neither empty nor a data folder of PostgreSQL" in user.output


def test_a_failed_start_shows_the_log(users, folder):
    user = users()
    users.leave()
    user.wait()
    Path(user.popen.args[-1]).unlink()
    (folder / "postgres" / "postgresql.auto.conf").write_text("max_connections = many\n")
    again = users(ready=None)
    assert again.wait(seconds=30) != 0
    assert 'invalid value for parameter "max_connections": "many"' in again.output


def test_the_socket_folder_is_short_private_and_not_someone_elses(tmp_path):
    path = launching.socket_dir(Path("/" + "x" * 4000))
    assert len(os.fsencode(path / ".s.PGSQL.5432.lock")) <= 103

    taken = tmp_path / "taken"
    taken.symlink_to(tmp_path)
    with pytest.raises(EmbeddedServerError, match="not a folder of this user"):
        launching.make_private(taken, owner=os.geteuid())

    launching.make_private(tmp_path / "new", owner=os.geteuid())
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_a_temporary_folder_that_is_too_long_is_not_used(monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", "/" + "long" * 30)
    assert launching.socket_dir(Path("/checkout")).parent == Path("/tmp")
    monkeypatch.setattr("tempfile.tempdir", "/with blanks")
    assert launching.socket_dir(Path("/checkout")).parent == Path("/tmp")


def test_a_missing_redis_is_said_with_its_remedy(monkeypatch):
    from local.servers.redis import server_binary

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(EmbeddedServerError, match="apt-get install redis-server"):
        server_binary()


def test_a_missing_postgres_is_said_with_its_remedy(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EmbeddedServerError, match="Set DATABASE_URL"):
        postgres._binaries()


def test_the_tail_of_a_log_is_its_last_lines(tmp_path):
    log = tmp_path / "log"
    log.write_text("".join(f"line {number}\n" for number in range(50)))
    assert errors.tail(log, lines=2) == "  line 48\n  line 49\n"
    assert errors.tail(tmp_path / "missing") == ""


def test_operators_see_and_stop_the_servers(users, folder):
    def command(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "local.servers", *arguments, "--folder", str(folder)],
            cwd=BASE_DIR,
            capture_output=True,
            text=True,
        )

    assert "postgres: not running" in command("status").stdout
    user = users()
    shown = command("status")
    assert shown.returncode == 0
    assert f"postgres: running, process {postmaster(folder).pid}" in shown.stdout
    assert "in use" in shown.stdout

    refused = command("stop")
    assert refused.returncode == 1
    assert "in use" in refused.stderr
    assert can_query(folder)

    user.kill()
    assert command("stop").returncode == 0
    assert servers_in(folder) == []


def test_servers_in_use_can_be_stopped_by_force(users, folder):
    users()
    done = subprocess.run(
        [sys.executable, "-m", "local.servers", "stop", "--force", "--folder", str(folder)],
        cwd=BASE_DIR,
    )
    assert done.returncode == 0
    assert servers_in(folder) == []


@needs.ROOT.mark()
def test_works_for_an_ordinary_user():
    """The other tests are run by root where this one is."""
    uid = 65534
    folder = Path("/tmp") / f"lurker-test-{os.getpid()}"
    folder.mkdir(mode=0o700)
    os.chown(folder, uid, -1)
    # Imports first, also those of a first use: the interpreter may lie in a closed folder.
    script = """
import os, sys
from pathlib import Path
import redis
from local.servers import ensure_servers
redis.Redis().close()
os.setgroups([])
os.setgid(int(sys.argv[2]))
os.setuid(int(sys.argv[2]))
servers = ensure_servers(Path(sys.argv[1]))
print(os.getuid(), servers.database_url)
"""
    try:
        done = subprocess.run(
            [sys.executable, "-c", script, str(folder), str(uid)],
            cwd=BASE_DIR,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"{uid} postgresql://postgres@/lurker?host=")
        assert (folder / "postgres").stat().st_uid == uid
        assert servers_in(folder) == []
    finally:
        subprocess.run(["rm", "-rf", folder], check=True)


def test_a_start_from_nothing_takes_seconds_not_minutes(users, folder):
    began = time.monotonic()
    users()
    assert time.monotonic() - began < 20  # about one second on two idle cores
