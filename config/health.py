"""Checks the health of a Lurker process: `python -m config.health web|worker|beat|flower`.

Run it where the process runs, with the same environment. Exit status 0 means healthy; otherwise a
line on standard error names the problem. It imports neither Django's apps nor Celery, because it
runs often.
"""

import argparse
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from config import environment

HTTP_SECONDS = 8
# A worker's event loop touches its file every 5 seconds. A beat touches its file after each pass,
# and a pass over many schedules may take some time.
OLDEST_HEARTBEAT_SECONDS = 60


class UnwellError(Exception):
    """The reason why a process is not well."""


def check_http(url: str) -> None:
    """Raise `UnwellError` unless the address answers with a success."""
    try:
        with urllib.request.urlopen(url, timeout=HTTP_SECONDS) as response:  # noqa: S310 - http://
            response.read()
    except urllib.error.HTTPError as error:
        body = error.read(500).decode(errors="replace")
        raise UnwellError(f"{url} answers {error.code}: {body}") from None
    except (OSError, ValueError) as error:
        raise UnwellError(f"{url} does not answer: {error}") from None


def check_heartbeat() -> None:
    """Raise `UnwellError` unless HEARTBEAT_FILE was touched within the last minute."""
    path = Path(environment.text("HEARTBEAT_FILE"))
    try:
        age = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        raise UnwellError(f"{path} does not exist: the process has not begun to work") from None
    if age > OLDEST_HEARTBEAT_SECONDS:
        raise UnwellError(
            f"{path} was touched {age:.0f} s ago: the process hangs or lost its broker"
        )


def main() -> int:
    """Check one process and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m config.health", description=__doc__)
    parser.add_argument("process", choices=("web", "worker", "beat", "flower"))
    process = parser.parse_args().process
    try:
        if process == "web":
            port = environment.integer("PORT", 8000, minimum=1, maximum=65535)
            check_http(f"http://127.0.0.1:{port}/healthz")
        elif process == "flower":
            port = environment.integer("FLOWER_PORT", 5555, minimum=1, maximum=65535)
            check_http(f"http://127.0.0.1:{port}/healthcheck")
        else:
            check_heartbeat()
    except (UnwellError, environment.InvalidEnvironment) as problem:
        sys.stderr.write(f"{process}: {problem}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
