"""``python -m scraping.simulator``: see ``--help``."""

import sys

from .config import parse
from .server import SimulatorError, serve


def main() -> int:
    """Serve until told to stop; return 2 if the simulator cannot start."""
    try:
        serve(parse())
    except SimulatorError as problem:
        sys.stderr.write(f"{problem}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
