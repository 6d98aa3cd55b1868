"""A power trace: what a meter, or an energy counter, showed over time.

Between two samples power is taken to be steady, the mean of both, so that up to sample n

    E_n = sum over i < n of (t_{i+1} - t_i) (P_i + P_{i+1}) / 2 .

Its file is CSV with the columns ``time_s,power_w``, as of a wall meter, or ``time_s,energy_uj`` and,
where the counter starts again, ``max_energy_range_uj``.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray as Array
from numpy.typing import ArrayLike

GAP = 3.0  # a step is a gap where it is longer than this many median steps


@dataclass(frozen=True, eq=False)
class Trace:
    """Joules used since the first sample, at the times of all samples; both begin at zero."""

    time_s: Float[Array, " samples"]
    energy_j: Float[Array, " samples"]
    source: str

    @property
    def duration_s(self) -> float:
        """Seconds from the first sample to the last."""
        return float(self.time_s[-1])

    def used(self, time_s: float) -> float:
        """Joules from the start to ``time_s``. Raises ``ValueError`` for a time outside the trace."""
        if not 0 <= time_s <= self.duration_s:
            raise ValueError(
                f"{self.source} lasts {self.duration_s:.4g} s, the first {time_s:.4g} s were asked for: "
                "take a longer trace or less time"
            )
        return float(np.interp(time_s, self.time_s, self.energy_j))


def from_power(
    time_s: ArrayLike,
    power_w: ArrayLike,
    source: str = "the trace",
    longest_step_s: float | None = None,
) -> Trace:
    """Trace of power (W) sampled at increasing times (s).

    Raises ``ValueError`` for fewer than two samples, negative power, what is no finite number, times
    that do not increase, and a gap: a step beyond ``longest_step_s``, three median steps by default.
    """
    times, power = _samples(source, time_s, power_w, longest_step_s)
    joules = np.diff(times) * (power[1:] + power[:-1]) / 2
    return Trace(times, np.concatenate([[0.0], joules.cumsum()]), source)


def from_counter(
    time_s: ArrayLike,
    energy_uj: ArrayLike,
    range_uj: float = math.inf,
    source: str = "the trace",
    longest_step_s: float | None = None,
) -> Trace:
    """Trace of an energy counter (uJ) that starts again at ``range_uj``, once at most between samples.

    Raises ``ValueError`` as ``from_power`` does, for a count beyond the range, and for one that goes
    back without a range.
    """
    times, counts = _samples(source, time_s, energy_uj, longest_step_s)
    if not counts.max() <= range_uj:
        raise ValueError(f"{source} must hold counts in [0, {range_uj:.0f}] uJ, got {counts.max():.0f}")
    steps = np.diff(counts)
    if math.isinf(range_uj) and (steps < 0).any():
        raise ValueError(
            f"{source} counts backwards at {times[1:][steps < 0][0]:.4g} s: say where its counter "
            "starts again, in a column max_energy_range_uj"
        )
    steps[steps < 0] += range_uj
    return Trace(times, np.concatenate([[0.0], steps.cumsum() / 1e6]), source)


def read_trace(path: Path | str, longest_step_s: float | None = None) -> Trace:
    """Trace in a CSV file; raises ``ValueError`` for other columns, and as the functions above do."""
    table, source = pd.read_csv(path), Path(path).name
    if {"time_s", "power_w"} <= set(table):
        return from_power(table["time_s"], table["power_w"], source, longest_step_s)
    if {"time_s", "energy_uj"} <= set(table):
        ranges = table.get("max_energy_range_uj", pd.Series([math.inf]))
        counts = table["energy_uj"]
        return from_counter(table["time_s"], counts, float(ranges.max()), source, longest_step_s)
    raise ValueError(
        f"{source} must have the columns time_s,power_w or time_s,energy_uj, "
        f"got {','.join(map(str, table))}"
    )


def _samples(
    source: str, time_s: ArrayLike, values: ArrayLike, longest_step_s: float | None
) -> tuple[Float[Array, " samples"], Float[Array, " samples"]]:
    """Times from zero on, and values, once both are a trace."""
    columns = [pd.to_numeric(pd.Series(column), errors="coerce") for column in (time_s, values)]
    times, numbers = (column.to_numpy(float) for column in columns)
    if len(times) != len(numbers) or len(times) < 2:
        raise ValueError(
            f"{source} must have two samples or more, each with its time, got {len(numbers)} values and "
            f"{len(times)} times"
        )
    bad = np.flatnonzero(~np.isfinite(times + numbers) | (numbers < 0))
    if bad.size:
        raise ValueError(
            f"{source} must hold numbers in [0, inf), sample {bad[0] + 1} does not: cut the trace there"
        )
    steps = np.diff(times)
    late = np.flatnonzero(steps <= 0)
    if late.size:
        raise ValueError(
            f"the times of {source} must increase, sample {late[0] + 2} comes {-steps[late[0]]:.4g} s "
            "before the one above it"
        )
    longest_s = GAP * float(np.median(steps)) if longest_step_s is None else longest_step_s
    gap = int(steps.argmax())
    if steps[gap] > longest_s:
        raise ValueError(
            f"{source} has a gap of {steps[gap]:.4g} s after {times[gap] - times[0]:.4g} s, steps of up "
            f"to {longest_s:.4g} s are expected: cut it there, or allow it with longest_step_s"
        )
    return times - times[0], numbers
