"""Recorded power, replayed: as a meter's back end, and as a powercap tree for RAPL.

Readings of a trace are called replayed: they say nothing about the machine that replays it. Between two
samples power is taken to be the mean of both, so that up to sample n

    E_n = sum over i < n of (t_{i+1} - t_i) (P_i + P_{i+1}) / 2 .

The file of a trace is CSV with the columns ``time_s,power_w``, as from a wall meter, or
``time_s,energy_uj`` and, where the counter wraps around, ``max_energy_range_uj``. A counter takes
precedence over power, and since it keeps counting in a gap, only one that wraps around can lose joules.
"""

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray as Array
from numpy.typing import ArrayLike

from greenai_nb.checks import non_negative, whole
from greenai_nb.energy.backends.backend import BackEnd
from greenai_nb.energy.backends.rapl import REPLAYED
from greenai_nb.energy.reading import Reading

GAP = 3.0  # a step is a gap where it is longer than this many median steps
RANGE_UJ = 65_532_610_987  # 2^32 counts of some 15.26 uJ, as on many processors
PARTS = ("core", "uncore", "dram")


@dataclass(frozen=True, eq=False)
class Trace:
    """Joules used since the first sample, at the times of all samples; both begin at zero."""

    time_s: Float[Array, " samples"]
    energy_j: Float[Array, " samples"]
    source: str

    def used(self, time_s: float) -> float:
        """Joules from the start to ``time_s``. Raises ``ValueError`` for a time outside the trace."""
        if not 0 <= time_s <= self.time_s[-1]:
            lasts = f"{self.source} lasts {self.time_s[-1]:.4g} s, {time_s:.4g} s were asked for"
            raise ValueError(f"{lasts}: take a longer trace or less time")
        return float(np.interp(time_s, self.time_s, self.energy_j))


def from_power(
    time_s: ArrayLike, power_w: ArrayLike, source: str = "the trace", longest_step_s: float | None = None
) -> Trace:
    """Trace of power (W) sampled at increasing times (s).

    Raises ``ValueError`` for fewer than two samples, negative power, values that are not finite, times
    that do not increase, and a gap: a step beyond ``longest_step_s``, three median steps by default.
    """
    times, power = _samples(source, time_s, power_w, longest_step_s)
    joules = np.diff(times) * (power[1:] + power[:-1]) / 2
    return Trace(times, np.concatenate([[0.0], joules.cumsum()]), source)


def read_trace(path: Path | str, longest_step_s: float | None = None) -> Trace:
    """Trace in a CSV file; a counter wraps around once at most between two samples.

    Raises ``ValueError`` as ``from_power`` does, except for gaps in a counter without a range; for other
    columns; and for a count beyond the range or one that goes back without a range.
    """
    table, source = pd.read_csv(path), Path(path).name
    if {"time_s", "power_w"} <= set(table) and "energy_uj" not in table:
        return from_power(table["time_s"], table["power_w"], source, longest_step_s)
    if not {"time_s", "energy_uj"} <= set(table):
        got = ",".join(map(str, table))
        raise ValueError(f"{source} must have columns time_s,power_w or time_s,energy_uj, got {got}")
    range_uj = float(table.get("max_energy_range_uj", pd.Series([math.inf])).max())
    if longest_step_s is None and math.isinf(range_uj):
        longest_step_s = math.inf
    times, counts = _samples(source, table["time_s"], table["energy_uj"], longest_step_s)
    if not counts.max() <= range_uj:
        raise ValueError(f"{source} must hold counts in [0, {range_uj:.0f}] uJ, got {counts.max():.0f}")
    steps = np.diff(counts)
    if math.isinf(range_uj) and (steps < 0).any():
        back = f"{source} counts backwards at {times[1:][steps < 0][0]:.4g} s"
        raise ValueError(f"{back}: say where it wraps around, in a column max_energy_range_uj")
    steps[steps < 0] += range_uj
    return Trace(times, np.concatenate([[0.0], steps.cumsum() / 1e6]), source)


Power = float | Trace  # watts, steady or recorded


class Replay(BackEnd):
    """Joules of a trace, or of one in a CSV file, from its start for as long as the meter runs."""

    name = "replay"
    provenance = "replayed"

    def __init__(self, trace: Trace | Path | str) -> None:
        self._trace = trace if isinstance(trace, Trace) else read_trace(trace)

    def read(self, time_s: float, cpu_s: float) -> Reading:
        """Joules of the first ``time_s`` seconds. Raises ``ValueError`` beyond the end of the trace."""
        joules = self._trace.used(time_s)
        method, parts = f"{self._trace.source}, {len(self._trace.time_s)} samples", {"trace": joules}
        return Reading.exact(joules, self.provenance, method, time_s, cpu_s, components=parts)


class PowercapTree:
    """A powercap tree for ``Meter("rapl", powercap=tree.folder)`` where there is no RAPL.

    ``watts`` is what each package draws, steady or as a trace, or maps zones to that: package, core,
    uncore and dram of each socket, and psys of the board. Counters start at ``start_share`` of their
    range, those of further sockets elsewhere, and wrap around at ``range_uj``. They and the tree's clock
    ``time_s`` move only by ``advance``, and readings are replayed. Raises ``ValueError`` for no socket,
    an unknown zone, negative power and an empty range.
    """

    def __init__(
        self,
        folder: Path | str,
        watts: Power | Mapping[str, Power],
        sockets: int = 1,
        range_uj: int = RANGE_UJ,
        start_share: float = 0.9,
    ) -> None:
        zones = watts if isinstance(watts, Mapping) else {"package": watts}
        if unknown := set(zones) - {"package", *PARTS, "psys"}:
            raise ValueError(f"zones must be package, {', '.join(PARTS)} or psys, got {sorted(unknown)}")
        non_negative(**{f"watts of {n}": w for n, w in zones.items() if not isinstance(w, Trace)})
        whole(sockets=sockets, range_uj=range_uj)
        self.folder, self.time_s, self._range_uj = Path(folder), 0.0, range_uj
        self._counters: list[tuple[Path, int, Power]] = []
        if (self.folder / REPLAYED).is_file():
            for stale in self.folder.glob("intel-rapl:*"):
                shutil.rmtree(stale)
        for socket in range(sockets):
            share, zone = start_share + socket / (sockets + 1), f"intel-rapl:{socket}"
            if "package" in zones:
                self._add(zone, f"package-{socket}", zones["package"], share)
            for index, part in enumerate(part for part in PARTS if part in zones):
                self._add(f"{zone}:{index}", part, zones[part], share)
        if "psys" in zones:
            self._add(f"intel-rapl:{sockets}", "psys", zones["psys"], start_share)
        self.advance(0.0)

    def advance(self, seconds: float) -> None:
        """Let time pass. Raises ``ValueError`` for negative seconds, and beyond the end of a trace."""
        non_negative(seconds=seconds)
        time_s, counts = float(self.time_s + seconds), {}
        for folder, start_uj, watts in self._counters:
            joules = watts.used(time_s) if isinstance(watts, Trace) else watts * time_s
            counts[folder / "energy_uj"] = (start_uj + round(1e6 * joules)) % self._range_uj
        for path, count in counts.items():
            path.write_text(f"{count}\n")
        (self.folder / REPLAYED).write_text(f"{time_s!r}\n")
        self.time_s = time_s

    def _add(self, zone: str, name: str, watts: Power, start_share: float) -> None:
        folder = self.folder / zone
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "name").write_text(f"{name}\n")
        (folder / "max_energy_range_uj").write_text(f"{self._range_uj}\n")
        self._counters.append((folder, int(start_share % 1 * self._range_uj), watts))


def _samples(
    source: str, time_s: ArrayLike, values: ArrayLike, longest_step_s: float | None
) -> tuple[Float[Array, " samples"], Float[Array, " samples"]]:
    """Times from zero on, and values, once checked to be a trace."""
    columns = (pd.to_numeric(pd.Series(column), errors="coerce") for column in (time_s, values))
    times, numbers = (column.to_numpy(float) for column in columns)
    if len(times) != len(numbers) or len(times) < 2:
        got = f"got {len(numbers)} values and {len(times)} times"
        raise ValueError(f"{source} must have two samples or more, each with its time, {got}")
    if (bad := np.flatnonzero(~np.isfinite(times + numbers) | (numbers < 0))).size:
        where = f"sample {bad[0] + 1} does not: cut the trace there"
        raise ValueError(f"{source} must hold numbers in [0, inf), {where}")
    steps = np.diff(times)
    if (late := np.flatnonzero(steps <= 0)).size:
        back = f"sample {late[0] + 2} comes {-steps[late[0]]:.4g} s before the one above it"
        raise ValueError(f"the times of {source} must increase, {back}")
    longest_s = GAP * float(np.median(steps)) if longest_step_s is None else longest_step_s
    gap = int(steps.argmax())
    if steps[gap] > longest_s:
        raise ValueError(
            f"{source} has a gap of {steps[gap]:.4g} s after {times[gap] - times[0]:.4g} s, steps of up "
            f"to {longest_s:.4g} s are expected: cut it there, or allow it with longest_step_s"
        )
    return times - times[0], numbers
