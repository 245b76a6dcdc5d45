"""Logs errors of work that is repeated for ever: each error once, then its end."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from traceback import walk_tb

# The type of an error, and the file and line that raised it. Its text may hold a time or an id.
Kind = tuple[str, str, int]


@dataclass
class Failing:
    """Work that fails: how often so far, and by which kinds of error."""

    count: int = 0
    kinds: set[Kind] = field(default_factory=set)


class ErrorLog:
    """Logs the first error of each kind with its traceback and counts the others.

    Errors are kept apart by the name of the work that failed. One thread uses an `ErrorLog`.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._failing: dict[str, Failing] = {}

    def failed(self, work: str, error: BaseException, *, outcome: str = "trying again") -> None:
        """Note that the work failed; `outcome` says what happens now."""
        failing = self._failing.setdefault(work, Failing())
        failing.count += 1
        kind = _kind(error)
        if kind not in failing.kinds:
            failing.kinds.add(kind)
            self._logger.error(
                "%s failed; %s. The same error is not logged again until this works.",
                work,
                outcome,
                exc_info=error,
            )

    def worked(self, work: str) -> None:
        """Note that the work succeeded."""
        if self._failing and (failing := self._failing.pop(work, None)) is not None:
            self._logger.warning("%s works again after %d failures", work, failing.count)

    @contextmanager
    def watching(self, work: str, *, unless: tuple[type[Exception], ...] = ()) -> Iterator[None]:
        """Log an error of the block instead of raising it; errors of the types `unless` are raised."""
        try:
            yield
        except unless:
            raise
        except Exception as error:  # noqa: BLE001 - logged
            self.failed(work, error)
        else:
            self.worked(work)


def _kind(error: BaseException) -> Kind:
    file, line = "", 0
    for frame, number in walk_tb(error.__traceback__):
        file, line = frame.f_code.co_filename, number
    return type(error).__qualname__, file, line
