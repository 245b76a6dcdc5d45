"""The schedules in the order in which they fall due."""

import heapq
from collections.abc import Iterable
from datetime import datetime
from itertools import count

from celery.beat import event_t

from jobs.schedule_rows import Schedule


class DueHeap:
    """A heap of schedules by the moment in `Schedule.due`.

    An item is celery's `event_t`: moment, serial number, schedule. No serial number comes twice, so
    two items always compare and schedules never have to.

    Items are not removed when a schedule is edited, deleted or planned anew. Such an item is stale:
    its schedule is gone or is due at another moment. Stale items are dropped when they reach the
    top; the owner of the heap rebuilds it before they become most of it.
    """

    def __init__(self) -> None:
        self.items: list[event_t] = []
        self._serials = count()

    def __len__(self) -> int:
        return len(self.items)

    def push(self, schedule: Schedule) -> None:
        """Add a schedule, unless it is never due or gone."""
        if schedule.due is not None and not schedule.gone:
            heapq.heappush(self.items, self._item(schedule))

    def rebuild(self, schedules: Iterable[Schedule]) -> None:
        """Hold these schedules and no others."""
        self.items = [
            self._item(schedule)
            for schedule in schedules
            if schedule.due is not None and not schedule.gone
        ]
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

    def _item(self, schedule: Schedule) -> event_t:
        return event_t(schedule.due, next(self._serials), schedule)
