"""PostgreSQL and Redis servers inside the checkout, used if no other servers are configured.

They listen only on Unix sockets, keep their data below `var/`, and end with the last process that
uses them. `python -m local.servers` shows and stops them.
"""

from dataclasses import dataclass
from pathlib import Path

from local.servers.errors import EmbeddedServerError
from local.servers.postgres import ensure_postgres
from local.servers.redis import ensure_redis

__all__ = ["EmbeddedServerError", "Servers", "ensure_postgres", "ensure_redis", "ensure_servers"]


@dataclass(frozen=True)
class Servers:
    """The addresses of the embedded servers."""

    database_url: str
    broker_url: str


def ensure_servers(folder: Path, *, durable: bool = True) -> Servers:
    """Start both servers unless they run, with data in `postgres` and `redis` below the folder."""
    return Servers(
        database_url=ensure_postgres(folder / "postgres", durable=durable),
        broker_url=ensure_redis(folder / "redis"),
    )
