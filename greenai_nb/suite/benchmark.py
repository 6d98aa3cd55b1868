"""What a benchmark leaves: one table, one JSON of rows, and the card of the machine beside it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from greenai_nb.suite import machine
from greenai_nb.suite.runner import write_aside


@dataclass(frozen=True)
class Row:
    """A number that was measured, its goal in words, and whether it is met."""

    metric: str
    value: float
    unit: str
    goal: str
    holds: bool


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
        write_aside(target / f"{Path(file).stem}.{suffix}", text)
