"""The schedules in the order in which they fall due."""

import heapq
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import count
from typing import NamedTuple

from jobs.beat.rows import Schedule


class DueItem(NamedTuple):
    """A schedule and when it falls due, with the fields of Celery's `event_t`.

    `priority` is a serial number. No serial number comes twice, so two items always compare and
    schedules never have to.
    """

    time: datetime
    priority: int
    entry: Schedule


class DueHeap:
    """A heap of schedules by the moment in `Schedule.due`.

    Items are not removed when a schedule is edited, deleted or planned anew. Such an item is stale:
    its schedule is gone or is due at another moment. Stale items are dropped when they reach the
    top; the owner of the heap rebuilds it before they become most of it.
    """

    def __init__(self) -> None:
        self.items: list[DueItem] = []
        self._serials = count()

    def __len__(self) -> int:
        return len(self.items)

    def push(self, schedule: Schedule) -> None:
        """Add a schedule, unless it is never due or gone."""
        for item in self._items([schedule]):
            heapq.heappush(self.items, item)

    def rebuild(self, schedules: Iterable[Schedule]) -> None:
        """Hold these schedules and no others."""
        self.items = [*self._items(schedules)]
        heapq.heapify(self.items)

    def pop_due(self, now: datetime, limit: int) -> list[Schedule]:
        """Take out the schedules that are due by `now`, each once, `limit` of them at most."""
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
