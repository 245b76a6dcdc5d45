"""Runs the demo; `make demo ARGS="--help"` lists its options."""

import argparse
import fcntl
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

import django
from rich.console import Console
from rich.panel import Panel

from config import health
from config.environment import BASE_DIR
from local.demo.children import Child, ChildError, Children, free_port
from local.demo.servers import Servers
from local.servers import EmbeddedServerError

FOLDER = BASE_DIR / "var" / "demo"
PASSWORD_FILE = BASE_DIR / "var" / "demo-password"
READY_SECONDS = 60
FIRST_SESSIONS_SECONDS = 120
POLL_SECONDS = 0.5
# Enough traffic that every session finds something new, and a past that is quickly read.
WORLD = ("--posts-per-hour", "60", "--history-hours", "6")
PORTS = {"web": 8000, "simulator": 8090, "flower": 5555}


class DemoError(Exception):
    """The demo did not work as expected; the message says why."""


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument(
        "--once",
        action="store_true",
        help="end after every bot has had one scheduled session; non-zero if that does not happen "
        f"within {FIRST_SESSIONS_SECONDS} s",
    )
    parser.add_argument(
        "--load",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="serve these recorded items (NDJSON, .gz, .zst) instead of a generated world",
    )
    parser.add_argument(
        "--every", type=int, default=15, metavar="SECONDS", help="the bots' interval"
    )
    options = parser.parse_args(arguments)
    for path in options.load:
        if not path.is_file():
            parser.error(f"--load: {path} is no file")
    if options.every < 10:
        parser.error(f"--every: {options.every} is under a bot's shortest interval, 10 seconds")
    return options


class Demo:
    """One run of the demo."""

    def __init__(self, options: argparse.Namespace, console: Console) -> None:
        self._options = options
        self._console = console
        self._ports = self._choose_ports()
        self._children: Children
        self._servers = Servers(BASE_DIR / "var", self._say)
        self._bots: list[Any] = []
        self._database_away_since: float | None = None

    def run(self) -> None:
        """Start all processes, show the sessions, and end all processes."""
        lock = _only_one()
        self._prepare()
        self._children = Children(FOLDER, self._say)
        try:
            self._start()
            self._seed()
            self._show()
        finally:
            self._console.print("Ending all processes ...", style="dim")
            self._children.stop()
            lock.close()

    def _choose_ports(self) -> dict[str, int]:
        ports = {}
        for name, wanted in PORTS.items():
            ports[name] = free_port(wanted)
            if ports[name] != wanted:
                self._say(f"Port {wanted} is in use: the {name} process takes {ports[name]}.")
        return ports

    def _prepare(self) -> None:
        """Start the database and the broker (the settings start embedded ones), and migrate."""
        self._say("Starting PostgreSQL and Redis, unless the environment names servers ...")
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")
        os.environ.setdefault("LOG_LEVEL", "WARNING")
        os.environ["SIMULATOR_URL"] = self._url("simulator")
        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        from local.demo.account import EMAIL, ensure_account

        self._account = ensure_account(PASSWORD_FILE)
        if self._account.is_reset:
            self._say(f"{EMAIL} has a new password, which is kept in {_shown(PASSWORD_FILE)}.")

    def _start(self) -> None:
        simulator = self._child(
            *("simulator", "scraping.simulator", "--port", str(self._ports["simulator"])),
            *(
                ("--load", *(str(path) for path in self._options.load))
                if self._options.load
                else WORLD
            ),
        )
        web = self._child(
            *("web", "gunicorn", "config.wsgi", "--workers", "2"),
            *("--bind", f"127.0.0.1:{self._ports['web']}"),
            DEBUG="false",
            PORT=str(self._ports["web"]),
        )
        worker, worker_is_ready = self._beating(
            *("worker", "celery", "-A", "config", "worker", "--queues", "scraping,default,cleanup"),
            *("--concurrency", "2", "--hostname", "demo@%h"),
            LOG_LEVEL="INFO",
            # Ctrl-C gives running sessions a few seconds; unfinished sessions run again later.
            REMAP_SIGTERM="SIGQUIT",
            CELERY_SOFT_SHUTDOWN_TIMEOUT="5",
        )
        beat, beat_is_ready = self._beating(
            *("beat", "celery", "-A", "config", "beat", "--pidfile", ""), LOG_LEVEL="INFO"
        )
        flower = self._child(
            *("flower", "celery", "-A", "config", "flower", "--address=127.0.0.1"),
            f"--port={self._ports['flower']}",
            FLOWER_BASIC_AUTH=f"demo:{self._account.password}",
        )
        self._say("Starting simulator, web, worker, beat and Flower ...")
        for child, is_ready in (
            (simulator, lambda: "ready at" in simulator.log.read_text()),
            (web, _answers(self._url("web") + "/healthz")),
            (worker, worker_is_ready),
            (beat, beat_is_ready),
            (flower, _answers(self._url("flower") + "/healthcheck")),
        ):
            self._children.wait_until(child, is_ready, seconds=READY_SECONDS)

    def _beating(
        self, name: str, *command: str, **environment: str
    ) -> tuple[Child, Callable[[], bool]]:
        """Start a process with a heartbeat file; return it and the test that the file exists."""
        file = FOLDER / f"{name}.alive"
        file.unlink(missing_ok=True)
        return self._child(name, *command, HEARTBEAT_FILE=str(file), **environment), file.exists

    def _child(self, name: str, *command: str, **environment: str) -> Child:
        return self._children.start(name, *command, **environment)

    def _seed(self) -> None:
        from datetime import timedelta

        from bots import demo

        names = _recorded_subreddits(self._options.load, self._say) if self._options.load else None
        self._bots = demo.seed(
            self._account.user, every=timedelta(seconds=self._options.every), subreddits=names
        )
        for bot in self._bots:
            shown = ", ".join(f"r/{name}" for name in bot.subreddits[:6])
            more = len(bot.subreddits) - 6
            self._say(
                f"Bot “{bot.name}”: {shown}{f' and {more} more' if more > 0 else ''}, {bot.timing}"
            )
        self._say("Waiting for the first scheduled sessions ...")

    def _show(self) -> None:
        """Print each scheduled session as it ends, forever; with --once, until each bot has had one."""
        from django.utils import timezone

        waiting = {bot.pk: bot.name for bot in self._bots}
        begin = timezone.now()
        shown: set[int] = set()
        deadline = time.monotonic() + FIRST_SESSIONS_SECONDS
        ends: Counter[str] = Counter()
        self._console.print(HEADING, style="bold")
        while True:
            self._servers.check()
            self._children.check()
            for session in self._ended_sessions(begin, shown):
                shown.add(session.pk)
                self._print_session(session)
                if waiting.pop(session.bot_id, None):
                    ends[session.status] += 1
                    if not waiting:
                        self._print_login()
                        if self._options.once:
                            _judge(ends)
                            return
            if waiting and time.monotonic() > deadline:
                names = ", ".join(f"“{name}”" for name in waiting.values())
                message = (
                    f"No scheduled session of {names} ended within {FIRST_SESSIONS_SECONDS} s."
                )
                raise DemoError(f"{message} The logs are in {_shown(FOLDER)}/.")
            time.sleep(POLL_SECONDS)

    def _ended_sessions(self, begin: datetime, shown: Collection[int]) -> list[Any]:
        """Return the ended scheduled sessions that are not shown; none while PostgreSQL is down.

        Raises `DemoError` if PostgreSQL stays down.
        """
        from django.db import DatabaseError, InterfaceError, connection

        from scraping.models import ScrapeSession

        ended = ScrapeSession.objects.filter(
            trigger=ScrapeSession.Trigger.SCHEDULE, started_at__gte=begin, ended_at__isnull=False
        )
        try:
            sessions = list(ended.exclude(pk__in=shown).order_by("ended_at"))
        except (DatabaseError, InterfaceError) as error:
            connection.close()
            if self._database_away_since is None:
                self._database_away_since = time.monotonic()
                self._say(f"PostgreSQL does not answer: {str(error).partition(chr(10))[0]}")
            elif time.monotonic() - self._database_away_since > READY_SECONDS:
                raise DemoError(f"PostgreSQL has not answered for {READY_SECONDS} s.") from error
            return []
        if self._database_away_since is not None:
            self._database_away_since = None
            self._say("PostgreSQL answers again.")
        return sessions

    def _print_session(self, session: Any) -> None:
        seconds = session.duration.total_seconds()
        self._console.print(
            f"{session.ended_at:%H:%M:%S} {session.bot_name[:21]:21} {session.status:11}"
            f"{session.posts_seen:5}{session.comments_seen:9}{session.new:7}"
            f"{session.requests:9}{seconds:8.1f}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )

    def _print_login(self) -> None:
        self._console.print(
            Panel(
                f"Admin      {self._url('web')}/admin/\n"
                f"  login    {self._account.user.email}  {self._account.sign_in}\n"
                f"Flower     {self._url('flower')}\n"
                f"  login    demo  {self._account.password}\n"
                f"Simulator  {self._url('simulator')}\n"
                f"Logs       {_shown(FOLDER)}/\n"
                "Ctrl-C ends everything.",
                title="Lurker is collecting",
                expand=False,
            )
        )

    def _url(self, name: str) -> str:
        return f"http://127.0.0.1:{self._ports[name]}"

    def _say(self, message: str) -> None:
        self._console.print(message, highlight=False, markup=False, soft_wrap=True)


HEADING = (
    f"\n{'Ended':8} {'Bot':21} {'Status':11}"
    f"{'Posts':>5}{'Comments':>9}{'New':>7}{'Requests':>9}{'Seconds':>8}"
)


def _shown(path: Path) -> str:
    return os.path.relpath(path, BASE_DIR)


def _judge(ends: Counter[str]) -> None:
    """Raise `DemoError` if a first session failed; a session that read only a part is fine."""
    bad = {
        status: count for status, count in ends.items() if status not in ("completed", "partial")
    }
    if bad:
        raise DemoError(f"Not every first session went well: {dict(ends)}.")


def _answers(url: str) -> Callable[[], bool]:
    def check() -> bool:
        with suppress(health.UnwellError):
            health.check_http(url)
            return True
        return False

    return check


def _recorded_subreddits(files: Sequence[Path], say: Callable[[str], None]) -> list[str]:
    """Return the subreddits of recorded items, by number of items; print the invalid names."""
    from django.core.exceptions import ValidationError

    from bots.validation import clean_subreddits
    from scraping.simulator.load import load

    world, report = load(files)
    say(
        f"Loaded {report.posts} posts and {report.comments} comments; {report.rejected} lines rejected."
    )
    found = Counter(item.subreddit for item in world.items() if item.subreddit)
    names = []
    for name, _ in found.most_common():
        try:
            names += clean_subreddits([name])
        except ValidationError as error:
            say(f"Left out: {' '.join(error.messages)}")
    return names


def _only_one() -> Any:
    """Hold the demo's lock file, which the kernel unlocks however the process ends."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    lock = (FOLDER / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DemoError("A demo of this checkout is running already: end it with Ctrl-C.") from None
    return lock


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Run the demo and return the exit status."""
    options = parse_arguments(sys.argv[1:])
    console = Console()
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # SIGINT, too: a shell's background job ignores it by default
        signal.signal(number, _interrupt)
    try:
        Demo(options, console).run()
    except KeyboardInterrupt:
        console.print("Ended.")
    except (DemoError, ChildError, EmbeddedServerError) as error:
        console.print(str(error), style="red", markup=False, highlight=False)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
