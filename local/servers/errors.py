"""The error of an embedded server."""

from collections import deque
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured


class EmbeddedServerError(ImproperlyConfigured):
    """An embedded server cannot start; the message says why and what to do."""

    def __init__(self, problem: str, *, remedy: str, log: Path | None = None) -> None:
        message = f"{problem}. {remedy}"
        if log is not None:
            message += f"\nLast lines of {log}:\n{tail(log)}"
        super().__init__(message)


def tail(log: Path, lines: int = 20) -> str:
    """Return the last lines of a server's log; empty if there is no log."""
    try:
        with log.open(errors="replace") as stream:
            return "".join(f"  {line}" for line in deque(stream, maxlen=lines))
    except FileNotFoundError:
        return ""
