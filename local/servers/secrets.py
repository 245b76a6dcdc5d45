"""Secrets of one checkout, for development, the demo and the tests."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def generated_secret(path: Path, generate: Callable[[], str]) -> str:
    """Return the secret in a file that only its owner can read; the first call generates it.

    Many processes may call this at once: one writes the file, and all return its content.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, new = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)  # mode 0600
        with os.fdopen(descriptor, "w") as stream:
            stream.write(generate() + "\n")
        try:
            os.link(new, path)  # unlike a rename, a link never replaces another process's file
        except FileExistsError:
            pass
        finally:
            Path(new).unlink()
    return path.read_text().strip()
