"""Which of several pieces of work costs less, with no verdict where the readings cannot tell.

All of them run in each repetition, in a new random order, so that a drift of the machine affects all.
With x_i and y_i the costs of a and b in repetition i,

    ratio = median of y_i / x_i ,       interval = the middle 95 % of it over resampled repetitions.

There is no verdict where the interval holds 1. Nor is there one where neighbours took more than a tenth
of the machine while the clock ran, or where it ran for too short a time to tell: they slow both sides,
but not equally. CPU seconds suffer least; a counter's joules and wall seconds need a quiet machine.

Source: Efron and Tibshirani, *An Introduction to the Bootstrap* (1993), chapter 13.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray as Array

from greenai_nb.checks import non_negative, one_of, whole
from greenai_nb.energy.meter import Meter
from greenai_nb.energy.reading import Reading, same_provenance
from greenai_nb.intervals import Estimate, bootstrap_interval, student_interval

Work = Callable[[], object]
Pairs = Sequence[tuple[Reading, Reading]]

QUANTITIES = ("cpu_s", "time_s", "energy_j")
MIN_REPETITIONS = 6  # with fewer, even a clear order is chance more often than 1 in 20: 2 / 2^n
RESAMPLES = 4000
DOUBTS = {
    "clean": "",
    "contaminated": "the machine was busy: others took more than a tenth of its processors",
    "unknown": "the clock ran for too short a time to tell whether the machine was busy",
}


@dataclass(frozen=True, eq=False)
class Passes:
    """Readings of several pieces of work by name, one per repetition, and any reason to doubt them.

    ``calls`` says how often the work ran in each of its readings.
    """

    readings: Mapping[str, Sequence[Reading]]
    calls: Mapping[str, int]
    doubt: str

    def costs(self, name: str, quantity: str = "cpu_s") -> Float[Array, " repetitions"]:
        """Cost of one call in each repetition, in CPU seconds, wall seconds or joules.

        Raises ``ValueError`` for a cost of zero, and ``ProvenanceError`` where joules were obtained in
        several ways.
        """
        if quantity == "energy_j":
            same_provenance("compared", *(each for some in self.readings.values() for each in some))
        costs = np.array([getattr(reading, quantity) for reading in self.readings[name]])
        if not (costs > 0).all():
            raise ValueError(f"{quantity} of a call is zero: do the work more often in one call")
        return costs / self.calls[name]

    def ratio(
        self, name: str, over: str, quantity: str = "cpu_s", generator: np.random.Generator | None = None
    ) -> Estimate:
        """Median cost of one piece of work over that of another; raises as ``costs`` does."""
        ratios = self.costs(name, quantity) / self.costs(over, quantity)
        low, high = bootstrap_interval(
            lambda drawn: np.median(ratios[drawn], axis=1),
            len(ratios),
            RESAMPLES,
            generator or np.random.default_rng(0),
        )
        return Estimate(float(np.median(ratios)), low, high, len(ratios), self.doubt)


def passes(
    works: Mapping[str, Work],
    repetitions: int = 20,
    seed: int = 0,
    window_s: float = 0.0,
    **metering: Any,
) -> Passes:
    """Meter several pieces of work in interleaved repetitions.

    Each is first called once, unmetered. A reading covers as many calls as fill ``window_s``, at least
    one; it should last 10 ms for seconds, 100 ms for the joules of a counter. ``seed`` draws the
    orders; ``metering`` goes to ``Meter``. Raises ``ValueError`` for fewer than six repetitions and a
    negative window, and what the works and the meter raise.
    """
    whole(repetitions=repetitions)
    non_negative(window_s=window_s)
    if repetitions < MIN_REPETITIONS:
        raise ValueError(f"repetitions must be {MIN_REPETITIONS} or more, got {repetitions!r}")
    calls = {name: _calls(work, window_s) for name, work in works.items()}
    generator, names = np.random.default_rng(seed), list(works)
    readings: dict[str, list[Reading]] = {name: [] for name in works}
    with Meter("vcpu") as around:
        for _ in range(repetitions):
            for name in (names[index] for index in generator.permutation(len(names)).tolist()):
                with Meter(**metering) as meter:
                    for _ in range(calls[name]):
                        works[name]()
                readings[name].append(meter.reading)
    return Passes(readings, calls, doubt(around.reading))


def _calls(work: Work, window_s: float) -> int:
    work()
    if not window_s:
        return 1
    start = time.perf_counter()
    work()
    return math.ceil(window_s / (time.perf_counter() - start))


@dataclass(frozen=True)
class Comparison:
    """Cost of b over that of a, its 95 % interval, the verdict, and any reason to doubt it."""

    quantity: str
    provenance: str
    ratio: float
    low: float
    high: float
    verdict: str
    repetitions: int
    readings: Pairs
    doubt: str

    @property
    def estimate(self) -> Estimate:
        """The ratio in the form that a claim takes."""
        return Estimate(self.ratio, self.low, self.high, self.repetitions, self.doubt)

    def __str__(self) -> str:
        return (
            f"{self.verdict}: {self.quantity} of b is {self.ratio:.3g} times that of a, "
            f"[{self.low:.3g}, {self.high:.3g}] ({self.provenance}, {self.repetitions} repetitions, "
            f"{self.doubt or 'the machine was quiet'})"
        )


def compare(
    a: Work, b: Work, quantity: str = "cpu_s", repetitions: int = 20, seed: int = 0, **metering: Any
) -> Comparison:
    """Cost of b against a in CPU seconds, wall seconds or joules, from interleaved repetitions.

    Arguments are those of ``passes``; ``seed`` draws the resamples, too. Raises ``ValueError`` for an
    unknown quantity, and what ``passes`` and ``judge`` raise.
    """
    one_of(QUANTITIES, quantity=quantity)
    found = passes({"a": a, "b": b}, repetitions, seed, **metering)
    pairs = [*zip(found.readings["a"], found.readings["b"], strict=True)]
    return judge(pairs, quantity, np.random.default_rng(seed), found.doubt)


def judge(readings: Pairs, quantity: str, generator: np.random.Generator, doubt: str = "") -> Comparison:
    """The comparison of paired readings of a and b; raises as ``Passes.costs`` does."""
    a, b = zip(*readings, strict=True)
    got = Passes({"a": a, "b": b}, {"a": 1, "b": 1}, doubt).ratio("b", "a", quantity, generator)
    provenance = a[0].provenance
    if quantity != "energy_j" and provenance != "replayed":
        provenance = "measured"
    clear = "" if doubt else "b costs less" if got.high < 1 else "b costs more" if got.low > 1 else ""
    ends = (got.value, got.low, got.high)
    return Comparison(quantity, provenance, *ends, clear or "no verdict", got.count, readings, doubt)


def doubt(around: Reading) -> str:
    """Why a clock that ran during this reading cannot be trusted, in words; empty where it can."""
    return DOUBTS[around.contamination]


def clocked(values: Sequence[float], doubt: str) -> Estimate:
    """Mean of timings, one per pass or seed, with its Student interval."""
    mean, low, high = map(float, student_interval(np.asarray(values, float)))
    return Estimate(mean, low, high, len(values), doubt)
