"""Report a benchmark: print one table, and write one JSON of rows and a card of the machine."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from greenai_nb import machine
from greenai_nb.files import write_atomic


@dataclass(frozen=True)
class Row:
    """A number that was measured, its goal in words, and whether it is met."""

    metric: str
    value: float
    unit: str
    goal: str
    holds: bool


def throwaway_python(folder: str, packages: Sequence[str]) -> Path:
    """The python of a new virtual environment in ``folder`` that holds the packages.

    If it cannot be made, for instance without a package index, the program says why and exits with
    code 0: benchmarks that need it are optional.
    """
    python = Path(folder, *(("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")))
    pip = [str(python), "-m", "pip", "install", "--no-cache-dir", "--only-binary=:all:", *packages]
    for command in ([sys.executable, "-m", "venv", folder], pip):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            words = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
            errors = [line for line in words if line.startswith("ERROR")] or words or ["no reason given"]
            print(f"left out, because {' '.join(packages)} cannot be installed: {errors[-1]}")
            sys.exit()
    return python


def report(file: str, rows: Sequence[Row]) -> None:
    """Print the rows and write ``results/<name>.json`` and ``<name>.machine.json`` beside ``file``."""
    from rich.console import Console
    from rich.table import Table

    table = Table("metric", "value", "goal", "holds", title=Path(file).stem)
    for row in rows:
        value = f"{row.value:.4g} {row.unit}".strip()
        table.add_row(row.metric, value, row.goal, "yes" if row.holds else "NO")
    Console(width=110).print(table)
    target = Path(file).parent / "results"
    target.mkdir(exist_ok=True)
    for suffix, content in (("json", [asdict(row) for row in rows]), ("machine.json", machine.card())):
        text = json.dumps(content, indent=1) + "\n"
        write_atomic(target / f"{Path(file).stem}.{suffix}", text)
