"""The calls that make a notebook a lesson: check its parameters, record, claim, write its receipt."""

import dataclasses
import linecache
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from greenai_nb.checks import UsageError, nearest
from greenai_nb.intervals import Estimate
from greenai_nb.lesson import claims, records
from greenai_nb.lesson.parameters import declared, is_parameters_cell, reductions, resolve
from greenai_nb.lesson.project import current_notebook, notebooks, profile, profile_values, stamp_in
from greenai_nb.machine import is_interactive, peak_ram_mb

INJECTED = "# Parameters"  # how papermill begins the cell that it adds
ASSIGNED = re.compile(r"^(\w+) = ", re.MULTILINE)

_reduced = ""  # how this run is smaller than its profile, as the last check found
_dataset = ""  # what it trains on, if that is a parameter


def check(namespace: Mapping[str, Any]) -> Any:
    """Validate a notebook's parameters and return them, cast, as a frozen object.

    Call it as ``P = check(globals())`` in the cell below the parameters. The types, ranges and
    names come from the parameters cell itself. A wrong value, or a name set between that cell
    and this call that is not a parameter, raises ``UsageError`` here, before anything is computed.
    """
    cells = _executed_cells(namespace)
    last = max((index for index, cell in enumerate(cells) if is_parameters_cell(cell)), default=None)
    if last is None:
        raise UsageError("no parameters cell has run above: run the notebook from the top")
    parameters = declared(cells[last])
    injected = "\n".join(cell for cell in cells[last + 1 :] if cell.startswith(INJECTED))
    names = [*parameters, *ASSIGNED.findall(injected)]
    values = resolve(parameters, {name: namespace.get(name) for name in names}, "this notebook")
    stamp = stamp_in(notebooks() / f"{current_notebook()}.ipynb")
    full = {name: parameter.default for name, parameter in parameters.items()}
    _print_values(values, full, stamp)
    if is_interactive():  # a reader may have edited the cell, and with it the defaults
        full |= stamp.get("parameters", {})
    global _reduced, _dataset
    _dataset = values.get("dataset", "")
    _reduced = reductions(values, full | profile_values(current_notebook() or "", _dataset))
    if _reduced:
        print(f"claims are recorded and not judged: {_reduced}")
    constants = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    return dataclasses.make_dataclass("Parameters", list(constants), frozen=True)(**constants)


def record(name: str, value: float, unit: str, provenance: str) -> None:
    """Carry a number out of the notebook, with its unit and how it was obtained."""
    text = f"record {name}: {value:.6g} {unit} ({provenance})"
    records.emit([records.new(name, value, unit, provenance)], text)


def claim(
    claim_id: str, values: float | Sequence[float] | Estimate, minus: Sequence[float] | None = None
) -> None:
    """Judge a claim of ``claims.yaml`` and show the verdict.

    It is judged by one number for each seed, by an estimate with its interval, or, if nothing varies,
    by a single number. With ``minus`` it is judged by the difference of two means, over seeds that need
    not be paired. A measurement needs an interval, and a clock an ``Estimate`` that knows the machine.
    """
    known = claims.load_claims()
    if claim_id not in known:
        raise UsageError(f"no claim {claim_id!r} in claims.yaml. {nearest(claim_id, known)}")
    asked = known[claim_id]
    others = None if minus is None else [*map(float, minus)]
    got = claims.judge(asked, values, profile(), others, _reduced, _dataset)
    judgement = {"claim": claim_id, "lo": got.low, "hi": got.high, "verdict": got.verdict}
    judged = records.new(
        asked.metric, got.value, asked.unit, asked.provenance, **judgement, reason=got.reason or None
    )
    obtained = f"{claims.plain(got.value)} {asked.unit}".strip()
    if got.count > 1:
        counts = f"{got.count}" if others is None else f"{np.size(np.asarray(values))} and {len(others)}"
        obtained += f" [{got.low:.4g}, {got.high:.4g}], n = {counts}"
    compared = f"expected {asked.expected}, obtained {obtained} ({asked.provenance})"
    verdict = f"{got.verdict}, because {got.reason}" if got.reason else got.verdict
    records.emit([judged], f"claim {claim_id}: {verdict}\n  {asked.sentence}\n  {compared}")


def receipt(reading: Any, fits: Iterable[Any] = (), **operations: float) -> None:
    """End a notebook: seconds, memory, operations and joules, each with how it was obtained.

    ``reading`` is what an energy meter read. ``fits`` are all trainings of the notebook, whose
    multiply-accumulates are added up; ``operations`` are other counts by name, for instance
    ``proposals=2e9``. A run adds the notebook's whole time and peak memory to the records by itself.
    """
    last_rows = [(fit.remembered, fit.trace.iloc[-1]) for fit in fits]
    if last_rows:
        total = sum(float(row["operations"]) for _, row in last_rows)
        operations = {"multiply_accumulates": total} | operations
    low, high = reading.low_j, reading.high_j
    energy = f"{low:.1f} to {high:.1f} J" if low < high else f"{reading.energy_j:.1f} J"
    lines = [
        f"time        {reading.time_s:.1f} s, CPU {reading.cpu_s:.1f} s (measured)",
        f"memory      {peak_ram_mb():.0f} MB at the peak (measured)",
        *(f"operations  {count:.3g} {name} (counted)" for name, count in operations.items()),
        f"energy      {energy} ({reading.provenance}: {reading.method})",
    ]
    if remembered := [float(row["seconds"]) for is_remembered, row in last_rows if is_remembered]:
        took = f"they took {sum(remembered):.0f} CPU s when they were trained"
        lines.append(f"trainings   {len(last_rows)}, of which {len(remembered)} were remembered; {took}")
    made = [
        records.new("cpu_s", reading.cpu_s, "s", "measured"),
        *(records.new(name, count, "", "counted") for name, count in operations.items()),
        records.new("energy_j", reading.energy_j, "J", reading.provenance, lo=low, hi=high),
    ]
    records.emit(made, "\n".join(lines))


def _executed_cells(namespace: Mapping[str, Any]) -> list[str]:
    """The code cells that have run, in order.

    nbval leaves IPython's history empty; then the sources that Python caches for its tracebacks are
    used, in which a file has a time of modification and a cell has none.
    """
    history = [cell for cell in namespace.get("In", ()) if cell]
    texts = (cached for cached in linecache.cache.values() if len(cached) > 1 and cached[1] is None)
    return history or ["".join(cached[2]) for cached in texts]


def _print_values(values: records.Json, defaults: records.Json, stamp: records.Json) -> None:
    """Show the values, and what the notebook needed when its outputs were recorded."""
    width = max(map(len, values))
    changed = {name for name, value in values.items() if value != defaults[name]}
    for name, value in values.items():
        default = f"  (default {defaults[name]!r})" if name in changed else ""
        print(f"{name:{width}} = {value!r}{default}")
    if "time_s" not in stamp:
        print("minutes and memory: not recorded yet for this notebook")
        return
    cost = f"{stamp['time_s'] / 60:.1f} minutes on one core, {stamp['peak_ram_mb']:.0f} MB"
    differ = f"with the defaults it took {cost}; these values differ"
    print(differ if changed else f"predicted: {cost}, as last recorded")
