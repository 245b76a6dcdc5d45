"""How many requests a client id may make, and the headers that tell it."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class _Window:
    start: float
    used: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a client stands after a request: allowed or not, and what the headers say."""

    allowed: bool
    used: int
    remaining: float
    reset: int

    def headers(self) -> dict[str, str | None]:
        """By the last part of the name. ``remaining`` is a float as text, the others whole."""
        return {
            "remaining": f"{self.remaining:.1f}",
            "used": str(self.used),
            "reset": str(self.reset),
        }


class Budget:
    """``requests`` per ``window`` real seconds and client id, however many tokens it uses.

    Reddit allows 100 a minute averaged over ten minutes: 1,000 per 600 s, counted in windows that
    begin anew rather than slide. None: unlimited, with headers that say that nothing is used up.
    """

    def __init__(
        self,
        requests: int | None = 1000,
        *,
        window: float = 600.0,
        source: Callable[[], float] = time.monotonic,
    ) -> None:
        self.requests = requests
        self.window = window
        self._source = source
        self._windows: dict[str, _Window] = {}

    def spend(self, client_id: str) -> Standing:
        """Count one request of the client; a refused one is not counted."""
        now = self._source()
        current = self._windows.get(client_id)
        if current is None or now >= current.start + self.window:
            current = self._windows[client_id] = _Window(start=now)
        reset = max(1, math.ceil(current.start + self.window - now))
        if self.requests is None:
            current.used += 1
            return Standing(True, current.used, 1_000_000.0, reset)
        if current.used >= self.requests:
            return Standing(False, current.used, 0.0, reset)
        current.used += 1
        return Standing(True, current.used, float(self.requests - current.used), reset)

    def used(self) -> dict[str, int]:
        """Requests counted in the current window, by client id."""
        now = self._source()
        return {
            client: window.used
            for client, window in self._windows.items()
            if now < window.start + self.window
        }

    def reset(self) -> None:
        """Begin every window anew."""
        self._windows.clear()
