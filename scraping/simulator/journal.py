"""A journal of requests to the simulator, so that tests and benchmarks can count requests."""

from collections import Counter, deque
from dataclasses import asdict, dataclass
from typing import Any

_KEPT = 5000


@dataclass(frozen=True, slots=True)
class Entry:
    """One request. ``status`` is 0 if no answer was sent."""

    at: float
    client: str | None
    method: str
    path: str
    query: str
    kind: str
    status: int


class Journal:
    """The latest requests, and counts of all of them."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=_KEPT)
        self._counts: Counter[tuple[str, str, int]] = Counter()

    def note(self, entry: Entry) -> None:
        """Record a request."""
        self._entries.append(entry)
        self._counts[entry.client or "", entry.kind, entry.status] += 1

    def reset(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._counts.clear()

    def describe(self, limit: int) -> dict[str, Any]:
        """Return counts by client, kind and status, and the latest ``limit`` requests, oldest first."""
        clients: dict[str, dict[str, dict[str, int]]] = {}
        for (client, kind, status), number in sorted(self._counts.items()):
            clients.setdefault(client, {}).setdefault(kind, {})[str(status)] = number
        latest = list(self._entries)[-limit:] if limit else []
        return {
            "total": sum(self._counts.values()),
            "clients": clients,
            "latest": [asdict(entry) for entry in latest],
        }
