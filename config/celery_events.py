"""Events for Flower in groups: a worker sends those of its tasks a few times a second.

Celery collects them, too, but sends what it has at each turn of its loop, which for short tasks is
more than one message a task and a quarter of what the main process does
(celery/worker/consumer/consumer.py, on_send_event_buffered). The events keep their own times.
"""

from collections.abc import Callable
from typing import Any

from celery import bootsteps

SECONDS = 0.25


class EventsInGroups(bootsteps.StartStopStep):
    """Has a worker wait a moment for more events before it sends them."""

    requires = ("celery.worker.consumer.events:Events",)

    def start(self, consumer: Any) -> None:
        """Begin, with each connection to the broker anew."""
        if consumer.hub is not None and consumer.event_dispatcher is not None:
            consumer.event_dispatcher.on_send_buffered = _later(consumer)


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
