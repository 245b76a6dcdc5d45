"""Events for Flower in groups: a worker sends those of its tasks a few times a second.

Celery collects them, too, but sends what it has at each turn of its loop, which for short tasks is
more than one message a task and a quarter of what the main process does
(celery/worker/consumer/consumer.py, on_send_event_buffered). The events keep their own times.

And none is waited for without end. A worker sends them from its loop, and Celery gives them no
deadline: RabbitMQ that confirms nothing, on a connection that is half-open, would stop the loop
for good, and with it the heartbeat that ends such a connection.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from celery import bootsteps

SECONDS = 0.25
# How long one message with events may take.
SEND_SECONDS = 5


class EventsInGroups(bootsteps.StartStopStep):
    """Has a worker wait a moment for more events before it sends them."""

    requires = ("celery.worker.consumer.events:Events",)

    def start(self, consumer: Any) -> None:
        """Begin, with each connection to the broker anew."""
        if consumer.hub is not None and consumer.event_dispatcher is not None:
            dispatcher = consumer.event_dispatcher
            dispatcher.on_send_buffered = _later(consumer)
            limit = partial(_limit, dispatcher)
            dispatcher.on_enabled.add(limit)  # by remote control, later: with a new producer
            limit()


def _limit(dispatcher: Any) -> None:
    """Give what the dispatcher sends a deadline."""
    if dispatcher.producer is not None:
        dispatcher.producer.publish = partial(
            dispatcher.producer.publish, timeout=SEND_SECONDS, confirm_timeout=SEND_SECONDS
        )


def _later(consumer: Any) -> Callable[[], None]:
    """What the dispatcher of this connection calls when it has kept an event back."""
    dispatcher = consumer.event_dispatcher
    is_planned = False

    def flush() -> None:
        nonlocal is_planned
        is_planned = False
        # Not that of a connection that was lost meanwhile: its events went to the next.
        if consumer.event_dispatcher is dispatcher:
            dispatcher.flush()

    def plan() -> None:
        nonlocal is_planned
        if not is_planned:
            is_planned = True
            consumer.hub.call_later(SECONDS, flush)

    return plan
