#!/usr/bin/env python3
"""Django's command line for Lurker: `./manage.py help` lists the commands."""

import os
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent
# The environment that `make install` creates.
VENV = CHECKOUT / ".venv"
# Set to the id of a process that has already replaced its interpreter; `execv` keeps the id.
REPLACED = "LURKER_MANAGE_REPLACED"


def use_own_environment() -> None:
    """Restart under the Python of the checkout's `.venv`, if Django is installed there.

    The arguments stay the same, and so do the interpreter's options.
    """
    python = VENV / "bin" / "python"
    was_replaced = os.environ.pop(REPLACED, "") == str(os.getpid())
    if (
        was_replaced
        or not os.access(python, os.X_OK)
        or Path(sys.prefix).resolve() == VENV.resolve()
    ):
        return
    if not any(VENV.glob("lib/python*/site-packages/django/__init__.py")):
        return
    arguments = getattr(sys, "orig_argv", [sys.executable, *sys.argv])[1:]
    os.environ[REPLACED] = str(os.getpid())
    try:
        os.execv(python, [str(python), *arguments])  # noqa: S606 - no shell is wanted
    except OSError:  # the environment was made for another machine
        del os.environ[REPLACED]


def main() -> None:
    """Run one management command with the local settings unless told otherwise."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")
    try:
        from django.core.management import execute_from_command_line
    except ModuleNotFoundError as error:
        if error.name != "django":
            raise
        sys.exit(
            f"Django is not installed for {sys.executable}, nor in {VENV}."
            f" Run `make install` in {CHECKOUT} and try again."
        )
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    use_own_environment()
    main()
