"""The heartbeat of workers and beats: a file that they touch while they work.

Set HEARTBEAT_FILE to enable it; `python -m config.health worker|beat` reads it. The alternative,
`celery inspect ping`, starts a whole Celery for each check, and reports all workers as ill during a
broker outage.
"""

import logging
from pathlib import Path
from typing import Any

from celery import bootsteps

from config import environment

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 5


def touch() -> None:
    """Touch the heartbeat file, if HEARTBEAT_FILE is set."""
    path = environment.optional("HEARTBEAT_FILE")
    if path is not None:
        Path(path).touch()


class ConsumerPulse(bootsteps.StartStopStep):
    """Touches the file from the worker's event loop, while the worker is connected to its broker."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self.timer_entry: Any = None

    def start(self, consumer: Any) -> None:
        """Start: the worker takes messages from now on."""
        touch()
        self.timer_entry = consumer.timer.call_repeatedly(HEARTBEAT_SECONDS, touch)

    def stop(self, consumer: Any) -> None:
        """Stop: the worker ends or has lost its broker."""
        if self.timer_entry is not None:
            consumer.timer.cancel(self.timer_entry)
            self.timer_entry = None


def start_beat_pulse(sender: Any, **_: Any) -> None:
    """Touch the file after every pass over the schedules; `sender` is the beat's service."""
    scheduler = sender.scheduler
    tick = scheduler.tick
    fault = ""

    def tick_and_touch(*arguments: Any, **options: Any) -> Any:
        nonlocal fault
        seconds = tick(*arguments, **options)
        try:
            touch()
            fault = ""
        except OSError as error:  # a full disk must not end the beat; the next touch may work
            if not fault:
                logger.error("beat: its heartbeat cannot be written: %s", error)
            fault = str(error)
        return seconds

    scheduler.tick = tick_and_touch
