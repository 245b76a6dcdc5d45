"""The embedded servers of the demo, and their restart after an end."""

from collections.abc import Callable
from pathlib import Path

from local.demo.children import Restarts
from local.servers import ensure_postgres, ensure_redis, lifetime
from local.servers.postgres import PostgresServer
from local.servers.redis import RedisServer

# Starts a server with its data in this folder unless it runs; returns its address.
Ensure = Callable[[Path], str]


class Servers:
    """PostgreSQL and Redis below a folder, if this process uses them."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        postgres = PostgresServer((folder / "postgres").resolve())
        redis = RedisServer((folder / "redis").resolve())
        self._servers: list[tuple[PostgresServer | RedisServer, Ensure, Restarts]] = [
            (postgres, ensure_postgres, Restarts("PostgreSQL", postgres.log, say)),
            (redis, ensure_redis, Restarts("Redis", redis.log, say)),
        ]

    def check(self) -> None:
        """Restart servers that have ended.

        Raises `ChildError` if a server ends again and again, and `EmbeddedServerError` if a server
        cannot start.
        """
        for server, ensure, restarts in self._servers:
            if not lifetime.is_used_here(server.data_dir) or server.process() is not None:
                continue
            if restarts.are_due("has ended"):
                ensure(server.data_dir)
                restarts.started()
