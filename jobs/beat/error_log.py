"""Logs the errors of endlessly repeated work: each error once, then its end."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from traceback import walk_tb

# The type of an error, and the file and line that raised it. Its text is left out, because the text
# may contain a time or an id.
Kind = tuple[str, str, int]


@dataclass
class Failing:
    """Failing work: how often it has failed, and with which kinds of error."""

    count: int = 0
    kinds: set[Kind] = field(default_factory=set)


class ErrorLog:
    """Logs the first error of each kind with its traceback, and counts the others.

    The name of the failed work keeps errors apart. Only one thread may use an `ErrorLog`.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._failing: dict[str, Failing] = {}

    def failed(self, work: str, error: BaseException, *, outcome: str = "trying again") -> None:
        """Record a failure of the work; `outcome` says what happens next."""
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
        """Record a success of the work; log it if the work had failed."""
        if self._failing and (failing := self._failing.pop(work, None)) is not None:
            self._logger.warning("%s works again after %d failures", work, failing.count)

    @contextmanager
    def watching(self, work: str, *, unless: tuple[type[Exception], ...] = ()) -> Iterator[None]:
        """Log an error of the block instead of raising it; raise errors of the types in `unless`."""
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
