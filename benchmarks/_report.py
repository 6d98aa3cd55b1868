"""Report a benchmark: print one table, and write one JSON of rows and a card of the machine."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from greenai_nb import machine
from greenai_nb.files import write_atomic

PIP = ("-m", "pip", "install", "--no-cache-dir", "--only-binary=:all:")


@dataclass(frozen=True)
class Row:
    """A number that was measured, its goal in words, and whether it is met."""

    metric: str
    value: float
    unit: str
    goal: str
    holds: bool


def leave_out(reason: str) -> NoReturn:
    """Say why there is nothing to measure, and end with code 0, because the benchmark is optional."""
    print(f"left out: {reason}")
    sys.exit()


def throwaway_python(folder: str, packages: Sequence[str]) -> Path:
    """The python of a new virtual environment in ``folder`` that holds the packages.

    If it cannot be made, for instance without a package index, the benchmark is left out.
    """
    python = Path(folder, *(("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")))
    _install([sys.executable, "-m", "venv", folder], packages)
    _install([str(python), *PIP, *packages], packages)
    return python


def throwaway_packages(folder: str, packages: Sequence[str]) -> None:
    """Install packages into ``folder`` and import them from there, behind those that are installed.

    For peers that have to share a process with torch. Without them the benchmark is left out.
    """
    _install([sys.executable, *PIP, "--target", folder, *packages], packages)
    sys.path.append(folder)


def _install(command: Sequence[str], packages: Sequence[str]) -> None:
    """Run a command without which packages cannot be had; leave the benchmark out if it fails."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        words = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        errors = [line for line in words if line.startswith("ERROR")] or words or ["no reason given"]
        leave_out(f"{' '.join(packages)} cannot be installed: {errors[-1]}")


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
