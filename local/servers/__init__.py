"""PostgreSQL and Redis servers inside the checkout, for when no others are configured.

They listen on Unix sockets only, keep their data below `var/` and end with the last process that
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
    """Where the embedded servers are."""

    database_url: str
    broker_url: str


def ensure_servers(folder: Path, *, durable: bool = True) -> Servers:
    """Have both servers, with their data in `postgres` and `redis` below the folder."""
    return Servers(
        database_url=ensure_postgres(folder / "postgres", durable=durable),
        broker_url=ensure_redis(folder / "redis"),
    )
