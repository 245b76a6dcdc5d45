"""Commands that print rows: as a table for people, as JSON for programs."""

import json
from collections.abc import Sequence
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandParser
from django.core.serializers.json import DjangoJSONEncoder
from django.utils.translation import gettext as _
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

BAD_ARGUMENTS = 2


class RowsCommand(BaseCommand):
    """A command with the option `--json`."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Add `--json`."""
        parser.add_argument("--json", action="store_true", help=_("print JSON instead of a table"))

    def show(self, rows: Sequence[dict[str, Any]], *, as_json: bool, empty: str = "") -> None:
        """Print rows that have the same keys."""
        if as_json:
            self.stdout.write(json.dumps(list(rows), cls=DjangoJSONEncoder, indent=2))
            return
        if not rows:
            self.stdout.write(empty or _("None."))
            return
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for number, key in enumerate(rows[0]):
            # The first column does not wrap, so that a name can be copied into the next command.
            table.add_column(
                key.replace("_", " ").capitalize(), overflow="fold", no_wrap=number == 0
            )
        for row in rows:
            table.add_row(*(escape(_text(value)) for value in row.values()))
        # Write to the stream below Django's wrapper, which adds line ends. The stubs call `_out` a
        # function.
        Console(file=cast("IO[str]", self.stdout._out)).print(table)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.2f}"
    return f"{value:%Y-%m-%d %H:%M:%S}" if hasattr(value, "strftime") else str(value)
