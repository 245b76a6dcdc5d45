"""The settings of a simulator, for the command line and for programs."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorConfig:
    """The settings of a simulator. The defaults make a small, lively Reddit."""

    host: str = "127.0.0.1"
    port: int = 8090
    control: bool = False
    """Serve /control/ to requests from this machine."""
    seed: int = 1
    start: float | None = None
    """Virtual time at the start, seconds since the epoch; None: now."""
    speed: float = 1.0
    history_hours: float = 48.0
    subreddits: int = 24
    posts_per_hour: float = 6.0
    """Mean over the subreddits, which differ widely."""
    comments_per_post: float = 5.0
    load: tuple[Path, ...] = ()
    """Files of recorded items to serve instead of a generated world."""
    clients: tuple[str, ...] = ()
    """ID:SECRET pairs that get tokens; empty: any client gets tokens."""
    users: tuple[str, ...] = ()
    """NAME:PASSWORD pairs of the password grant; empty: any user is accepted."""
    refresh_tokens: tuple[str, ...] = ()
    token_lifetime: float = 86_400.0
    budget: int | None = 1000
    window: float = 600.0
    latency: float = 0.0
    """Seconds that every API answer takes."""
    cache_bytes: int = 256 * 2**20


def _pair(text: str) -> str:
    name, separator, _ = text.partition(":")
    if not separator or not name:
        message = f"{text!r} is not of the form NAME:SECRET"
        raise argparse.ArgumentTypeError(message)
    return text


def _at_least(lowest: float, kind: type) -> Any:
    def convert(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not lowest <= value < float("inf"):
            message = f"{text!r} is not a number of at least {lowest:g}"
            raise argparse.ArgumentTypeError(message)
        return value

    return convert


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        message = f"{text!r} is not a port: give 0 (any free one) to 65535"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _subreddits(text: str) -> int:
    from .roster import MOST_SUBREDDITS

    if not text.isdecimal() or not 1 <= int(text) <= MOST_SUBREDDITS:
        message = f"{text!r} is not a number of subreddits: give 1 to {MOST_SUBREDDITS}"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give a parser the simulator's options; `from_options` reads what it parsed."""
    defaults = SimulatorConfig()
    number, whole = _at_least(0, float), _at_least(1, int)

    def option(name: str, **kwargs: Any) -> None:
        target = kwargs.pop("target", name)
        default = getattr(defaults, target)
        default = None if default == () else default
        parser.add_argument("--" + name.replace("_", "-"), dest=target, default=default, **kwargs)

    option("host", help="address to listen on (%(default)s)")
    option("port", type=_port, help="port; 0 takes a free one (%(default)s)")
    option("control", action="store_true", help="serve /control/ to this machine")
    option("seed", type=int, help="what the world is generated from (%(default)s)")
    option("start", type=number, metavar="EPOCH", help="virtual time at the start (now)")
    option("speed", type=number, help="virtual seconds per second; 0 stands still (%(default)s)")
    option("history_hours", type=number, metavar="H", help="past that exists (%(default)s)")
    option("subreddits", type=_subreddits, metavar="N", help="how many (%(default)s)")
    option("posts_per_hour", type=number, metavar="X", help="mean per subreddit (%(default)s)")
    option("comments_per_post", type=number, metavar="X", help="mean (%(default)s)")
    option(
        "load",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="serve recorded items (NDJSON, .gz, .zst) instead of a generated world",
    )
    option(
        "client",
        target="clients",
        type=_pair,
        action="append",
        metavar="ID:SECRET",
        help="give tokens to this client only; may be repeated (any client)",
    )
    option(
        "user",
        target="users",
        type=_pair,
        action="append",
        metavar="NAME:PASSWORD",
        help="accept this user only in the password grant; may be repeated (any user)",
    )
    option(
        "refresh_token",
        target="refresh_tokens",
        action="append",
        metavar="TOKEN",
        help="accept this refresh token only; may be repeated (any)",
    )
    option("token_lifetime", type=_at_least(1, float), metavar="S", help="seconds (%(default)s)")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument(
        "--budget",
        type=whole,
        default=defaults.budget,
        metavar="N",
        help="requests per window and client id (%(default)s)",
    )
    budget.add_argument(
        "--unlimited", dest="budget", action="store_const", const=None, help="no budget"
    )
    option("window", type=_at_least(0.1, float), metavar="S", help="seconds (%(default)s)")
    option("cache_bytes", type=whole, metavar="N", help="memory for serialised items (%(default)s)")
    option("latency", type=number, metavar="S", help="seconds every answer takes (%(default)s)")


def from_options(options: dict[str, Any]) -> SimulatorConfig:
    """Return the configuration from parsed options, and ignore options that are not the simulator's."""
    known = {entry.name for entry in fields(SimulatorConfig)}
    chosen = {name: value for name, value in options.items() if name in known}
    for name in ("load", "clients", "users", "refresh_tokens"):
        chosen[name] = tuple(chosen.get(name) or ())
    return SimulatorConfig(**chosen)


def parse(arguments: Sequence[str] | None = None) -> SimulatorConfig:
    """Return the configuration from a command line; a bad command line ends the process with 2."""
    parser = argparse.ArgumentParser(
        prog="python -m scraping.simulator",
        description="Serve a simulated Reddit API over HTTP.",
    )
    add_arguments(parser)
    return from_options(vars(parser.parse_args(arguments)))
