"""The budget of each client id, and the headers that report it."""

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
    """A client's budget after a request: whether the request is allowed, and the headers' values."""

    allowed: bool
    used: int
    remaining: float
    reset: int

    def headers(self) -> dict[str, str | None]:
        """Return headers by the last part of their names. ``remaining`` is a float, the others are whole."""
        return {
            "remaining": f"{self.remaining:.1f}",
            "used": str(self.used),
            "reset": str(self.reset),
        }


class Budget:
    """A limit of ``requests`` per ``window`` real seconds for each client id, whatever its tokens.

    Reddit allows 100 requests a minute, averaged over ten minutes: 1,000 per 600 s. It counts them in
    windows that begin anew and do not slide. None means unlimited, with headers in which the remaining
    requests never fall.
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
        """Count one request of the client; a refused request is not counted."""
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
        """Return the requests counted in the current window, by client id."""
        now = self._source()
        return {
            client: window.used
            for client, window in self._windows.items()
            if now < window.start + self.window
        }

    def reset(self) -> None:
        """Begin every window anew."""
        self._windows.clear()
