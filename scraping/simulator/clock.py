"""The simulator's own time, which can run fast, stand still and jump."""

import time
from collections.abc import Callable


class VirtualClock:
    """Seconds since the Unix epoch in the simulated world.

    ``speed`` is virtual seconds per real second; 0 stops the clock. ``source`` is the real, monotonic
    clock; a caller may pass a clock that it drives by hand.
    """

    def __init__(
        self,
        start: float | None = None,
        *,
        speed: float = 1.0,
        source: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._real = source()
        self._virtual = time.time() if start is None else start
        self._speed = speed

    @property
    def speed(self) -> float:
        """Virtual seconds per real second."""
        return self._speed

    def now(self) -> float:
        """Return the present moment of the world."""
        return self._virtual + (self._source() - self._real) * self._speed

    def set(self, moment: float) -> None:
        """Jump to a moment, forwards or backwards."""
        self._real, self._virtual = self._source(), moment

    def advance(self, seconds: float) -> None:
        """Let this many virtual seconds pass at once."""
        self.set(self.now() + seconds)

    def set_speed(self, speed: float) -> None:
        """Continue from now at another speed."""
        self.set(self.now())
        self._speed = speed
