"""


The first change keeps a worker alive when its connection to Redis breaks while it holds a message.
In Celery 5.7 with kombu 5.7, the consumer calls `Connection.collect()` on a lost connection, which
sets `transport.client` to None. When a task ends afterwards, the worker acknowledges it on the old
channel. The channel rebuilds its lost pool from `transport.client`, and the AttributeError ends the
worker (celery/worker/consumer/consumer.py, on_connection_error_after_connected; kombu/transport/
redis.py, Channel._connparams). Celery expects a ConnectionError there: it drops the acknowledgement
with the connection, and Redis delivers the message again after the visibility time-out.

`tests/config/test_broker_loss.py` fails without this change. When the test passes without it,
remove both.

The second change saves time. kombu makes a client object for each command, three times a task; with
redis-py 8 this is a fifth of the work of a worker's main process for a short task. A client holds
no connection, only its pool, so one client for each pool is enough (`benchmarks/task_path.py`).
"""

from collections.abc import Callable
from typing import Any

import redis
from kombu.transport.redis import Channel
from kombu.transport.virtual import Transport

# The methods are private, so kombu's stubs omit them.
_Patched: Any = Channel
_connparams: Callable[..., dict[str, Any]] = _Patched._connparams
_create_client: Callable[..., redis.Redis] = _Patched._create_client


def _connparams_while_connected(self: Channel, asynchronous: bool = False) -> dict[str, Any]:
    # By the stubs every channel has a transport, but a closed channel has none.
    transport: Transport | None = getattr(self, "connection", None)
    if transport is None or transport.client is None:
        raise redis.ConnectionError("The connection of this channel was given up.")
    return _connparams(self, asynchronous=asynchronous)


def _one_client_for_each_pool(self: Channel, asynchronous: bool = False) -> redis.Redis:
    # The asynchronous client listens, so it needs its own connection.
    if asynchronous:
        return _create_client(self, asynchronous=True)
    client: redis.Redis | None = self.__dict__.get("_client_of_pool")
    if client is None or client.connection_pool is not self.pool:
        client = self.__dict__["_client_of_pool"] = _create_client(self)
    return client


def survive_lost_connections() -> None:
    """Install the first change. A second call does nothing."""
    _Patched._connparams = _connparams_while_connected


def reuse_clients() -> None:
    """Install the second change. A second call does nothing."""
    _Patched._create_client = _one_client_for_each_pool
