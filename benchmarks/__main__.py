"""``python -m benchmarks [NAME...]``: runs benchmarks and keeps their numbers.

A benchmark is a module of this package. Its docstring says what it measures, and its function
``run() -> dict[str, float]`` measures it. The numbers go into ``benchmarks/results/latest.json``.
"""

import importlib
import json
import pkgutil
import sys
import time
import traceback
from pathlib import Path

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
LATEST = HERE / "results" / "latest.json"


def names(package: Path = HERE) -> list[str]:
    """Return the names of all benchmarks, in alphabetical order."""
    found = (module.name for module in pkgutil.iter_modules([str(package)]))
    return sorted(name for name in found if not name.startswith("_"))


def merge(numbers: dict[str, float], path: Path = LATEST) -> None:
    """Merge new numbers into the file of results. A damaged file starts anew."""
    try:
        known = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        known = {}
    merged = (known if isinstance(known, dict) else {}) | numbers
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(dict(sorted(merged.items())), indent=2) + "\n")
    fresh.replace(path)


def main(arguments: list[str], *, console: Console | None = None, results: Path = LATEST) -> int:
    """Run the named benchmarks, or all. Return 1 if one failed, 2 if a name is unknown."""
    console = console or Console()
    known = names()
    unknown = [name for name in arguments if name not in known]
    if unknown:
        sys.stderr.write(
            f"No benchmark is called {', '.join(unknown)}. There are: {', '.join(known)}\n"
        )
        return 2
    table = Table("benchmark", "number", "value")
    failed: list[str] = []
    for name in dict.fromkeys(arguments or known):
        console.print(f"[bold]{name}[/bold] ...")
        began = time.perf_counter()
        try:
            measured = importlib.import_module(f"{__package__}.{name}").run()
            numbers = {key: float(value) for key, value in measured.items()}
        except Exception:  # noqa: BLE001 - a failed benchmark must not stop the others
            traceback.print_exc()
            failed.append(name)
            table.add_row(name, "[red]failed[/red]", f"after {time.perf_counter() - began:.1f} s")
            continue
        merge(numbers, results)
        for key, value in numbers.items():
            table.add_row(name, key, f"{value:,.3f}")
    console.print(table)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
