"""Joules together with their provenance: the way in which they were obtained.

| provenance | where the number comes from                                    |
|------------|----------------------------------------------------------------|
| measured   | an energy counter was read at both ends                        |
| estimated  | a model: seconds, loads and constants                          |
| counted    | operations, bits, bytes                                        |
| derived    | counts x published energy of an operation                      |
| quoted     | a published paper                                              |
| replayed   | a recorded or made-up trace, whatever this machine was doing   |
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from greenai_nb.checks import PROVENANCES, one_of

ADDED = ("energy_j", "low_j", "high_j", "time_s", "cpu_s")


class ProvenanceError(TypeError):
    """Readings of different provenance cannot be added or ranked."""


@dataclass(frozen=True)
class Reading:
    """Joules between two moments, with the way they were obtained.

    ``energy_j`` lies in [``low_j``, ``high_j``] and counts each joule once; ``components`` (J) may
    overlap, as core is a part of package. ``cpu_s`` is that of this process and its ended children, NaN
    where nothing ran. ``carbon_g`` is in grams of CO2e, where the tool gives it. ``idle_share`` is the
    part of the machine's processor time that nobody used, and ``contaminated`` says whether neighbours
    took more than a tenth. ``cpu_limit`` (processors) and ``memory_limit_mb`` are the container's.
    None is unknown, or no limit.

    Readings of one provenance can be added, as consecutive intervals, and ranked by ``energy_j``; adding
    meters that ran at the same time counts that time twice. Raises ``ProvenanceError`` where provenances
    differ, and ``ValueError`` for an unknown one, joules outside their interval or not finite, and
    negative durations.
    """

    energy_j: float
    low_j: float
    high_j: float
    provenance: str
    method: str
    time_s: float
    cpu_s: float
    components: Mapping[str, float] = field(default_factory=dict, hash=False)
    carbon_g: float | None = None
    idle_share: float | None = None
    contaminated: bool | None = None
    cpu_limit: float | None = None
    memory_limit_mb: float | None = None

    @property
    def contamination(self) -> str:
        """Whether the machine was clean, contaminated or, if too little time passed, unknown."""
        return {False: "clean", True: "contaminated", None: "unknown"}[self.contaminated]

    @classmethod
    def exact(
        cls, energy_j: float, provenance: str, method: str, time_s: float, cpu_s: float, **known: Any
    ) -> "Reading":
        """A reading without an interval; ``known`` are further fields."""
        return cls(energy_j, energy_j, energy_j, provenance, method, time_s, cpu_s, **known)

    def __post_init__(self) -> None:
        one_of(PROVENANCES, provenance=self.provenance)
        low, energy, high = self.low_j, self.energy_j, self.high_j
        if not -math.inf < low <= energy <= high < math.inf:
            raise ValueError(f"energy_j must be finite in [low_j, high_j], got {(low, energy, high)}")
        for name in ("time_s", "cpu_s"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be zero or more, got {getattr(self, name)!r}")

    def __str__(self) -> str:
        energy = f"{self.energy_j:.4g}"
        if self.low_j < self.high_j:
            energy = f"{self.low_j:.4g} to {self.high_j:.4g}"
        return f"{energy} J {self.provenance} ({self.method})"

    def __add__(self, other: "Reading") -> "Reading":
        if not isinstance(other, Reading):
            return NotImplemented
        same_provenance("added", self, other)
        mine, theirs = self.components, other.components
        flags = {self.contaminated, other.contaminated}
        added = {name: getattr(self, name) + getattr(other, name) for name in ADDED}
        idle_s = _sum(self.idle_share, other.idle_share, self.time_s, other.time_s)
        return Reading(
            **added,
            provenance=self.provenance,
            method="; ".join(dict.fromkeys((self.method, other.method))),
            components={n: mine.get(n, 0.0) + theirs.get(n, 0.0) for n in {**mine, **theirs}},
            carbon_g=_sum(self.carbon_g, other.carbon_g),
            idle_share=idle_s / added["time_s"] if idle_s is not None and added["time_s"] else None,
            contaminated=True if True in flags else None if None in flags else False,
            cpu_limit=_same(self.cpu_limit, other.cpu_limit),
            memory_limit_mb=_same(self.memory_limit_mb, other.memory_limit_mb),
        )

    def __radd__(self, start: int) -> "Reading":
        return self if start == 0 else NotImplemented

    def __lt__(self, other: "Reading") -> bool:
        same_provenance("ranked", self, other)
        return self.energy_j < other.energy_j

    def __le__(self, other: "Reading") -> bool:
        same_provenance("ranked", self, other)
        return self.energy_j <= other.energy_j


def same_provenance(verb: str, *readings: Reading) -> None:
    """Raise ``ProvenanceError`` unless all readings were obtained in one way; ``verb`` says what for."""
    if len({reading.provenance for reading in readings}) > 1:
        raise ProvenanceError(
            f"readings of different provenance cannot be {verb}: {', and '.join(map(str, readings))}. "
            "Meter all of them in one way, for instance with Meter('vcpu'), or show them side by side, "
            "each with its provenance"
        )


def _sum(a: float | None, b: float | None, weight_a: float = 1, weight_b: float = 1) -> float | None:
    return None if a is None or b is None else weight_a * a + weight_b * b


def _same(a: float | None, b: float | None) -> float | None:
    return a if a == b else None
