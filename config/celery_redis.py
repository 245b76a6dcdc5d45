"""Two changes of kombu's Redis transport: it survives, and does not build what it has.

A worker stays alive when its connection to Redis breaks while it holds a message.

Celery 5.7 with kombu 5.7: on a lost connection the consumer calls `Connection.collect()`, which
sets `transport.client` to None. A task that ends afterwards is acknowledged on the old channel,
whose lost pool is built anew from `transport.client`, and the resulting AttributeError ends the
worker (celery/worker/consumer/consumer.py, on_connection_error_after_connected; kombu/transport/
redis.py, Channel._connparams). A ConnectionError in its place is what Celery expects there: the
acknowledgement is dropped with the connection, and Redis hands the message out again after the
visibility time-out.

`tests/config/test_broker_loss.py` fails without this. Remove both when it passes without.

And kombu makes a client object for each command, three times a task; with redis-py 8 that is a
fifth of what a worker's main process does for a short task. A client holds no connection but its
pool, so one for each pool serves (`benchmarks/task_path.py`).
"""

from collections.abc import Callable
from typing import Any

import redis
from kombu.transport.redis import Channel
from kombu.transport.virtual import Transport

# The two methods are private, and so kombu's stubs leave them out.
_Patched: Any = Channel
_connparams: Callable[..., dict[str, Any]] = _Patched._connparams
_create_client: Callable[..., redis.Redis] = _Patched._create_client


def _connparams_while_connected(self: Channel, asynchronous: bool = False) -> dict[str, Any]:
    # The stubs say that a channel has a transport; one that was closed has none.
    transport: Transport | None = getattr(self, "connection", None)
    if transport is None or transport.client is None:
        raise redis.ConnectionError("The connection of this channel was given up.")
    return _connparams(self, asynchronous=asynchronous)


def _one_client_for_each_pool(self: Channel, asynchronous: bool = False) -> redis.Redis:
    # The asynchronous one listens: it has a connection of its own.
    if asynchronous:
        return _create_client(self, asynchronous=True)
    client: redis.Redis | None = self.__dict__.get("_client_of_pool")
    if client is None or client.connection_pool is not self.pool:
        client = self.__dict__["_client_of_pool"] = _create_client(self)
    return client


def survive_lost_connections() -> None:
    """Install the work-around; once is enough, and again does no harm."""
    _Patched._connparams = _connparams_while_connected


def reuse_clients() -> None:
    """Make one client for each pool of connections; again does no harm."""
    _Patched._create_client = _one_client_for_each_pool
