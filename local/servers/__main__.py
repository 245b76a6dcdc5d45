"""Show or stop the embedded servers: `python -m local.servers [status|stop]`."""

import argparse
import sys
from pathlib import Path

from local.servers import EmbeddedServerError, lifetime
from local.servers.postgres import PostgresServer
from local.servers.redis import RedisServer

CHECKOUT = Path(__file__).resolve().parents[2]
DEFAULT_FOLDERS = (CHECKOUT / "var", CHECKOUT / "var" / "test")


def servers(folders: list[Path]) -> list[tuple[str, PostgresServer | RedisServer]]:
    """Return the servers whose data folders exist below the given folders."""
    found: list[tuple[str, PostgresServer | RedisServer]] = []
    for folder in folders:
        data_dir = folder.resolve()
        if (data_dir / "postgres").is_dir():
            found.append(("postgres", PostgresServer(data_dir / "postgres")))
        if (data_dir / "redis").is_dir():
            found.append(("redis", RedisServer(data_dir / "redis")))
    return found


def show(name: str, server: PostgresServer | RedisServer) -> None:
    """Print one line about a server, and its address if it runs."""
    process = server.process()
    if process is None:
        print(f"{name}: not running ({server.data_dir})")  # noqa: T201
        return
    use = "in use" if lifetime.is_used(server.data_dir) else "left behind, not in use"
    print(f"{name}: running, process {process.pid}, {use}\n  {server.url()}")  # noqa: T201


def stop(name: str, server: PostgresServer | RedisServer, *, force: bool) -> bool:
    """Stop a server unless processes use it; return whether it is stopped."""
    with lifetime.exclusively(server.data_dir):
        if server.process() is not None and lifetime.is_used(server.data_dir) and not force:
            sys.stderr.write(
                f"{name} ({server.data_dir}) is in use. End the processes that use it, or repeat "
                "with --force.\n"
            )
            return False
        server.stop()
    return True


def main() -> int:
    """Run the command and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m local.servers", description=__doc__)
    parser.add_argument("action", nargs="?", choices=("status", "stop"), default="status")
    parser.add_argument("--force", action="store_true", help="stop servers that are in use, too")
    parser.add_argument("--folder", type=Path, help="instead of var and var/test")
    options = parser.parse_args()
    folders = [options.folder] if options.folder else list(DEFAULT_FOLDERS)
    try:
        if options.action == "stop":
            stopped = [stop(name, server, force=options.force) for name, server in servers(folders)]
            return 0 if all(stopped) else 1
        for name, server in servers(folders):
            show(name, server)
        if not servers(folders):
            print("postgres: not running\nredis: not running")  # noqa: T201
    except EmbeddedServerError as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
