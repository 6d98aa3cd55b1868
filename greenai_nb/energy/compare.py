"""Which of two callables costs less, with the courage to say that one cannot tell.

Both run in each repetition, in an order drawn anew, so that what drifts in the machine meets both. With
x_i and y_i the costs of a and b in repetition i,

    ratio = median of y_i / x_i ,       interval = the middle 95 % of it over resampled repetitions.

There is no verdict where the interval holds 1. CPU seconds stand neighbours best, joules of a counter
and wall seconds need a quiet machine.

Source: Efron and Tibshirani, *An Introduction to the Bootstrap* (1993), chapter 13.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray as Array

from greenai_nb.checks import one_of, whole
from greenai_nb.energy.meter import Meter
from greenai_nb.energy.reading import Reading, same_provenance
from greenai_nb.intervals import bootstrap_interval

Work = Callable[[], object]
Pairs = Sequence[tuple[Reading, Reading]]

QUANTITIES = ("cpu_s", "time_s", "energy_j")
MIN_REPETITIONS = 6  # of fewer repetitions even a clear order is chance more often than 1 in 20: 2 / 2^n
RESAMPLES = 4000


@dataclass(frozen=True)
class Comparison:
    """Cost of b over that of a, its 95 % interval, the verdict, and the number of unquiet readings."""

    quantity: str
    provenance: str
    ratio: float
    low: float
    high: float
    verdict: str
    repetitions: int
    contaminated: int
    readings: Pairs

    def __str__(self) -> str:
        return (
            f"{self.verdict}: {self.quantity} of b is {self.ratio:.3g} times that of a, "
            f"[{self.low:.3g}, {self.high:.3g}] ({self.provenance}, {self.repetitions} repetitions, "
            f"{self.contaminated} of {2 * self.repetitions} readings contaminated)"
        )


def compare(
    a: Work, b: Work, quantity: str = "cpu_s", repetitions: int = 20, seed: int = 0, **metering: Any
) -> Comparison:
    """Cost of b against a in CPU seconds, wall seconds or joules, from interleaved repetitions.

    Each is called once before, unmetered. A call should last 10 ms for seconds, 100 ms for the joules of
    a counter. ``seed`` draws orders and resamples; ``metering`` goes to ``Meter``.

    Raises ``ValueError`` for an unknown quantity, fewer than six repetitions and a cost of zero,
    ``ProvenanceError`` where joules were obtained in several ways, and what a, b and the meter raise.
    """
    one_of(QUANTITIES, quantity=quantity)
    whole(repetitions=repetitions)
    if repetitions < MIN_REPETITIONS:
        raise ValueError(f"repetitions must be {MIN_REPETITIONS} or more, got {repetitions!r}")
    generator = np.random.default_rng(seed)
    a(), b()
    readings = []
    for _ in range(repetitions):
        pair: dict[int, Reading] = {}
        for index in generator.permutation(2).tolist():
            with Meter(**metering) as meter:
                (a, b)[index]()
            pair[index] = meter.reading
        readings.append((pair[0], pair[1]))
    return judge(readings, quantity, generator)


def judge(readings: Pairs, quantity: str, generator: np.random.Generator) -> Comparison:
    """The comparison of paired readings of a and b; raises as ``compare`` does."""
    everything = [reading for pair in readings for reading in pair]
    if quantity == "energy_j":
        same_provenance("compared", *everything)
    costs = np.array([[getattr(reading, quantity) for reading in pair] for pair in readings])
    if not (costs > 0).all():
        raise ValueError(f"{quantity} of a call is zero: do the work more often in one call")
    ratios: Array = costs[:, 1] / costs[:, 0]
    count, ratio = len(ratios), float(np.median(ratios))
    low, high = bootstrap_interval(
        lambda drawn: np.median(ratios[drawn], axis=1), count, RESAMPLES, generator
    )
    provenance = everything[0].provenance
    if quantity != "energy_j" and provenance != "replayed":
        provenance = "measured"
    verdict = "b costs less" if high < 1 else "b costs more" if low > 1 else "no verdict"
    contaminated = sum(reading.contaminated is True for reading in everything)
    return Comparison(
        quantity, provenance, ratio, low, high, verdict, count, contaminated, tuple(readings)
    )
