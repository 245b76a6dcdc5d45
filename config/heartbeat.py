"""The heartbeat of workers and beats: a file that is touched while they do their work.

Set HEARTBEAT_FILE to have it; `python -m config.health worker|beat` reads it. Asking a worker over
the broker (`celery inspect ping`) would start a whole Celery for each question, and would call all
workers ill when the broker is away.
"""

import logging
from pathlib import Path
from typing import Any

from celery import bootsteps

from config import environment

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 5


def touch() -> None:
    """Say that this process is alive, if it was told where."""
    path = environment.optional("HEARTBEAT_FILE")
    if path is not None:
        Path(path).touch()


class ConsumerPulse(bootsteps.StartStopStep):
    """Touches the file from the worker's event loop, as long as it is connected to its broker."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self.timer_entry: Any = None

    def start(self, consumer: Any) -> None:
        """Begin: the worker takes messages from now on."""
        touch()
        self.timer_entry = consumer.timer.call_repeatedly(HEARTBEAT_SECONDS, touch)

    def stop(self, consumer: Any) -> None:
        """End, when the worker stops or has lost its broker."""
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
                logger.error("beat: its sign of life cannot be written: %s", error)
            fault = str(error)
        return seconds

    scheduler.tick = tick_and_touch
