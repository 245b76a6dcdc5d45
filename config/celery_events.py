"""Events for Flower, in groups: a worker sends the events of its tasks a few times a second.

Celery also collects events, but sends them at each turn of its loop. For short tasks that is more
than one message a task, and a quarter of the main process's work
(celery/worker/consumer/consumer.py, on_send_event_buffered). The events keep their own times.

Each message has a deadline, too. A worker sends events from its loop, and Celery sets no deadline.
On a half-open connection RabbitMQ confirms nothing; the loop would stop forever, and with it the
heartbeat that ends a half-open connection.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from celery import bootsteps

SECONDS = 0.25
# Seconds that one message with events may take.
SEND_SECONDS = 5


class EventsInGroups(bootsteps.StartStopStep):
    """Makes a worker wait a moment for more events before it sends them."""

    requires = ("celery.worker.consumer.events:Events",)

    def start(self, consumer: Any) -> None:
        """Set up each new connection to the broker."""
        if consumer.hub is not None and consumer.event_dispatcher is not None:
            dispatcher = consumer.event_dispatcher
            dispatcher.on_send_buffered = _later(consumer)
            limit = partial(_limit, dispatcher)
            dispatcher.on_enabled.add(limit)  # a later remote command brings a new producer
            limit()


def _limit(dispatcher: Any) -> None:
    """Set a deadline for the dispatcher's messages."""
    if dispatcher.producer is not None:
        dispatcher.producer.publish = partial(
            dispatcher.producer.publish, timeout=SEND_SECONDS, confirm_timeout=SEND_SECONDS
        )


def _later(consumer: Any) -> Callable[[], None]:
    """Return the function that this connection's dispatcher calls when it holds back an event."""
    dispatcher = consumer.event_dispatcher
    is_planned = False

    def flush() -> None:
        nonlocal is_planned
        is_planned = False
        # Skip the dispatcher of a lost connection: its events went to the next connection.
        if consumer.event_dispatcher is dispatcher:
            dispatcher.flush()

    def plan() -> None:
        nonlocal is_planned
        if not is_planned:
            is_planned = True
            consumer.hub.call_later(SECONDS, flush)

    return plan
