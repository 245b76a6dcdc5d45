"""The heap of schedules, ordered by the moment when they fall due."""

import heapq
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import count
from typing import NamedTuple

from jobs.beat.rows import Schedule


class DueItem(NamedTuple):
    """A schedule and the moment when it falls due, with the fields of Celery's `event_t`.

    `priority` is a unique serial number. So two items always compare by time or serial number, and
    never by schedule.
    """

    time: datetime
    priority: int
    entry: Schedule


class DueHeap:
    """A heap of schedules, ordered by `Schedule.due`.

    The heap keeps the item of a schedule that is edited, deleted or rescheduled. The item is then
    stale: its schedule is gone, or is due at another moment. The heap drops a stale item when it
    reaches the top. The owner of the heap rebuilds it before stale items are the majority.
    """

    def __init__(self) -> None:
        self.items: list[DueItem] = []
        self._serials = count()

    def __len__(self) -> int:
        return len(self.items)

    def push(self, schedule: Schedule) -> None:
        """Add a schedule, unless it is gone or never due."""
        for item in self._items([schedule]):
            heapq.heappush(self.items, item)

    def rebuild(self, schedules: Iterable[Schedule]) -> None:
        """Replace the content of the heap with these schedules."""
        self.items = [*self._items(schedules)]
        heapq.heapify(self.items)

    def pop_due(self, now: datetime, limit: int) -> list[Schedule]:
        """Remove and return the schedules that are due by `now`, at most `limit`, each once."""
        batch: dict[int, Schedule] = {}
        while len(batch) < limit and (first := self.first()) is not None and first <= now:
            schedule = heapq.heappop(self.items).entry
            batch[schedule.id] = schedule
        return list(batch.values())

    def first(self) -> datetime | None:
        """Return when the next schedule is due; None if there is none."""
        while self.items:
            moment, _, schedule = self.items[0]
            if not schedule.gone and schedule.due == moment:
                return moment
            heapq.heappop(self.items)
        return None

    def _items(self, schedules: Iterable[Schedule]) -> Iterator[DueItem]:
        for schedule in schedules:
            if schedule.due is not None and not schedule.gone:
                yield DueItem(schedule.due, next(self._serials), schedule)
