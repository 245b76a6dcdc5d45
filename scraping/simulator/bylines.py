"""An index of items by author, kept current while the world grows."""

from .model import Item
from .world import World


class Bylines:
    """Finds a user's posts and comments by name, in any case."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._read: dict[tuple[int, str], int] = {}
        self._version = -1
        self._items: dict[int, list[Item]] = {}
        self._numbers: dict[str, int] = {}

    def number(self, name: str, now: float) -> int | None:
        """Return the author number for a name; None if nobody of that name has written."""
        self._update(now)
        return self._numbers.get(name.lower())

    def items(self, number: int, kind: str | None, now: float) -> list[Item]:
        """Return this author's items that listings show, the newest first."""
        self._update(now)
        found = [
            item
            for item in self._items.get(number, ())
            if (kind is None or item.kind == kind) and item.created <= now and item.listed(now)
        ]
        found.sort(key=lambda item: item.key)
        return found

    def _update(self, now: float) -> None:
        world = self._world
        world.sync_all(now)
        if self._version != world.version:
            # A control request has changed the world, perhaps amid items that were read already.
            self._version = world.version
            self._read.clear()
            self._items.clear()
        for sub in world.subreddits.values():
            for kind, source in (("t3", sub.posts), ("t1", sub.comments)):
                done = self._read.get((sub.index, kind), 0)
                for item in source[done:]:
                    if item.author < 0:
                        continue
                    if item.author not in self._items:
                        self._items[item.author] = []
                        self._numbers[world.author(item.author).name.lower()] = item.author
                    self._items[item.author].append(item)
                self._read[sub.index, kind] = len(source)
