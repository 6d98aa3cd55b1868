"""What a notebook says to the suite: its parameters, its numbers, its claims, its receipt."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from greenai_nb.checks import UsageError, nearest
from greenai_nb.lesson import claims, records
from greenai_nb.lesson.parameters import Parameter, assigned, declared, is_parameters_cell, resolve
from greenai_nb.lesson.project import STAMP, current_notebook, notebooks, profile
from greenai_nb.machine import peak_ram_mb

CELLS: list[str] = []


class EnergyReading(Protocol):
    """What a receipt needs to know of a meter's reading."""

    @property
    def energy_j(self) -> float: ...
    @property
    def low_j(self) -> float: ...
    @property
    def high_j(self) -> float: ...
    @property
    def provenance(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def time_s(self) -> float: ...
    @property
    def cpu_s(self) -> float: ...


def check(namespace: Mapping[str, Any]) -> Any:
    """Validate a notebook's parameters and return them, cast, as a frozen object.

    Call it as ``P = check(globals())`` in the cell below the parameters. The types, ranges and
    names come from the parameters cell itself. A wrong value, or a name that was set between that
    cell and this call and is no parameter, raises ``UsageError`` here, before anything is computed.
    """
    cells = [*namespace.get("In", ()), *CELLS]
    at = max((n for n, cell in enumerate(cells) if is_parameters_cell(cell)), default=None)
    if at is None:
        raise UsageError("no parameters cell has run above: run the notebook from the top")
    parameters = declared(cells[at])
    injected = [cell for cell in cells[at + 1 :] if cell.startswith("# Parameters")]
    for name in (name for cell in injected for name in assigned(cell)):
        if name not in parameters:
            raise UsageError(f"there is no parameter {name!r}. {nearest(name, parameters)}")
    values = resolve(parameters, {name: namespace[name] for name in parameters}, "this notebook")
    _print_values(parameters, values)
    fields = [(name, object, dataclasses.field(default=value)) for name, value in _frozen(values)]
    return dataclasses.make_dataclass("Parameters", fields, frozen=True)()


def record(name: str, value: float, unit: str, provenance: str) -> None:
    """Carry a number out of the notebook, with its unit and how it was obtained."""
    text = f"record {name}: {value:.6g} {unit} ({provenance})"
    records.emit([records.entry(name, value, unit, provenance)], text)


def claim(claim_id: str, values: float | Sequence[float]) -> None:
    """Hold a number, or one number a seed, against a claim of ``claims.yaml`` and say the verdict."""
    asked = claims.find(claims.load_claims(), claim_id)
    got = claims.judge(asked, np.atleast_1d(values).tolist(), profile())
    record = records.entry(
        asked.metric,
        got.value,
        asked.unit,
        asked.provenance,
        claim=claim_id,
        lo=got.low,
        hi=got.high,
        verdict=got.verdict,
    )
    obtained = f"{got.value:.5g} {asked.unit}".strip()
    if got.count > 1:
        obtained += f" [{got.low:.4g}, {got.high:.4g}], n = {got.count}"
    text = (
        f"claim {claim_id}: {got.verdict}\n  {asked.sentence}\n"
        f"  expected {asked.expected}, obtained {obtained} ({asked.provenance})"
    )
    records.emit([record], text)


def receipt(reading: EnergyReading, **operations: float) -> None:
    """End a notebook: seconds, memory, operations and joules, each with how it was obtained.

    ``operations`` are counts by name, for instance ``multiply_accumulates=2e9``. A run adds the
    notebook's whole time and peak memory to the records by itself.
    """
    entries = [
        records.entry("cpu_s", reading.cpu_s, "s", "measured"),
        *(records.entry(name, count, "", "counted") for name, count in operations.items()),
        records.entry(
            "energy_j",
            reading.energy_j,
            "J",
            reading.provenance,
            lo=reading.low_j,
            hi=reading.high_j,
        ),
    ]
    energy = f"{reading.energy_j:.1f} J"
    if reading.low_j < reading.high_j:
        energy = f"{reading.low_j:.1f} to {reading.high_j:.1f} J"
    lines = [
        f"time        {reading.time_s:.1f} s, CPU {reading.cpu_s:.1f} s (measured)",
        f"memory      {peak_ram_mb():.0f} MB at the peak (measured)",
        *(f"operations  {count:.3g} {name} (counted)" for name, count in operations.items()),
        f"energy      {energy} ({reading.provenance}: {reading.method})",
    ]
    records.emit(entries, "\n".join(lines))


def _remember_cells() -> None:
    """Keep the text of every cell from now on: IPython's own history is off under some runners."""
    from IPython import get_ipython

    if shell := get_ipython():
        shell.events.register("pre_run_cell", lambda info: CELLS.append(info.raw_cell))


def _frozen(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(name, tuple(v) if isinstance(v, list) else v) for name, v in values.items()]


def _print_values(parameters: Mapping[str, Parameter], values: Mapping[str, Any]) -> None:
    width = max(map(len, parameters))
    for name, parameter in parameters.items():
        changed = "" if values[name] == parameter.default else f"  (default {parameter.default!r})"
        print(f"{name:{width}} = {values[name]!r}{changed}")
    print(_prediction(parameters, values))


def _prediction(parameters: Mapping[str, Parameter], values: Mapping[str, Any]) -> str:
    name = current_notebook()
    path = notebooks() / f"{name}.ipynb"
    stamp = json.loads(path.read_text())["metadata"].get(STAMP, {}) if path.is_file() else {}
    if "time_s" not in stamp:
        return "minutes and memory: not recorded yet for this notebook"
    cost = f"{stamp['time_s'] / 60:.1f} minutes on one core, {stamp['peak_ram_mb']:.0f} MB"
    if all(values[name] == parameter.default for name, parameter in parameters.items()):
        return f"predicted: {cost}, as last recorded"
    return f"with the defaults it took {cost}; these values differ"


_remember_cells()
