"""Claims: what a rerun must show, and the verdict on what it showed.

``claims.yaml`` holds, for each claim, an id, a sentence, its source, the notebook that tests it,
the metric, the interval in which the metric must lie, and the profiles at which it is judged.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from greenai_nb.checks import PROVENANCES, UsageError, nearest
from greenai_nb.files import read_as
from greenai_nb.intervals import Estimate, student_interval, welch_interval
from greenai_nb.lesson.project import root

MIN_SEEDS = 3
COUNTED = ("points", "nats", "months")  # units with a singular
HOLDS, FAILS, UNDECIDED, RECORDED = "holds", "fails", "undecided", "recorded"
FEW = f"a verdict needs {MIN_SEEDS} repetitions or more"


class Amendment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a claim expected before it was rewritten, the verdict it then had, and why it changed."""

    date: date
    expected: str
    verdict: Literal["holds", "fails", "undecided", "by construction"]
    reason: str


class Claim(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sentence that numbers can confirm or contradict.

    A claim about a ``clock`` is judged only if the machine was quiet. ``equivalence`` says that two
    things cost the same; it holds if the whole interval of their ratio lies within the bounds. An
    identity follows from a definition or a theorem, and a run checks the code; an experiment could
    have come out otherwise. ``bound`` says how the bounds were chosen. A claim about some ``datasets``
    is judged on these alone.
    """

    id: str
    sentence: str
    source: str
    notebook: str
    metric: str
    unit: str
    provenance: str
    judged_at: list[str]
    kind: Literal["identity", "experiment"] = "experiment"
    bound: str = ""
    datasets: list[str] = []
    at_least: float = -math.inf
    at_most: float = math.inf
    clock: bool = False
    equivalence: bool = False
    amended: list[Amendment] = []

    @property
    def expected(self) -> str:
        """The interval in words."""
        if math.isinf(self.at_least):
            return f"at most {self._amount(self.at_most)}"
        if math.isinf(self.at_most):
            return f"at least {self._amount(self.at_least)}"
        ends = f"{plain(self.at_least)} to {self._amount(self.at_most)}"
        return f"the same, within {ends}" if self.equivalence else ends

    def _amount(self, bound: float) -> str:
        unit = self.unit.removesuffix("s") if bound == 1 and self.unit in COUNTED else self.unit
        return f"{plain(bound)} {unit}".strip()

    def fault(self, profiles: Sequence[str]) -> str:
        """What is wrong with the claim, in words; empty where nothing is."""
        low, high = self.at_least, self.at_most
        if self.provenance not in PROVENANCES:
            return f"has no known provenance. {nearest(self.provenance, PROVENANCES)}"
        if math.isinf(low) and math.isinf(high):
            return "needs at_least or at_most."
        if low > high:
            return f"expects at least {low:g} and at most {high:g}, which no number can be."
        if self.equivalence and math.isinf(high - low):
            return "says that two things are the same and needs both at_least and at_most."
        if unknown := [name for name in self.judged_at if profiles and name not in profiles]:
            return f"is judged at {unknown[0]!r}, which is no profile. {nearest(unknown[0], profiles)}"
        return ""


@dataclass(frozen=True)
class Obtained:
    """A metric's mean with its interval, the verdict, and the reason if it was not judged."""

    value: float
    low: float
    high: float
    count: int
    verdict: str
    reason: str = ""


def load_claims(path: Path | None = None) -> dict[str, Claim]:
    """Read the claims by id. Raises ``UsageError`` if one is incomplete or makes no sense."""
    path = path or root() / "claims.yaml"
    content = path.read_bytes() if path.is_file() else None
    profiles = sorted(file.stem for file in path.parent.glob("notebooks/profiles/*.yaml"))
    return dict(_claims(path, content, tuple(profiles)))


@functools.lru_cache(maxsize=4)
def _claims(path: Path, content: bytes | None, profiles: tuple[str, ...]) -> dict[str, Claim]:
    claims: dict[str, Claim] = {}
    for claim in read_as(path, list[Claim], content):
        if fault := claim.fault(profiles):
            raise UsageError(f"claim {claim.id} in {path.name} {fault}")
        if claim.id in claims:
            raise UsageError(f"claim {claim.id} appears twice in {path.name}.")
        claims[claim.id] = claim
    return claims


def judge(
    claim: Claim,
    values: float | Sequence[float] | Estimate,
    profile: str,
    minus: Sequence[float] | None = None,
    reduced: str = "",
    dataset: str = "",
) -> Obtained:
    """Judge a claim by an estimate, by one value for each repetition, or by an exact number.

    It *holds* if the whole interval lies where the claim says, *fails* if none of it does, and is
    *undecided* in between, with fewer than three repetitions, or if the estimate is in doubt. At
    profiles that are too small to judge by, in a smaller run (``reduced`` says how) and on a data set
    that it is not about, it is only *recorded*. With ``minus``, the mean of those values is subtracted.
    Raises ``UsageError`` if a measured claim gets a bare number, or one about a clock anything but an
    ``Estimate``.
    """
    if claim.clock and not isinstance(values, Estimate):
        raise UsageError(f"claim {claim.id} is about a clock: judge it by an Estimate of compare")
    is_exact = not isinstance(values, Estimate) and np.ndim(values) == 0
    if claim.provenance == "measured" and is_exact:
        raise UsageError(f"claim {claim.id} is measured: judge it by a list, one value per repetition")
    got, reason = _estimate(values, minus), ""
    if profile not in claim.judged_at:
        verdict = RECORDED
    elif claim.datasets and dataset not in claim.datasets:
        verdict, reason = RECORDED, f"it is about {' or '.join(claim.datasets)}, and this is {dataset}"
    elif reduced:
        verdict, reason = RECORDED, reduced
    elif got.doubt or (got.count < MIN_SEEDS and not is_exact):
        verdict, reason = UNDECIDED, got.doubt or FEW
    elif not math.isfinite(got.value) or got.high < claim.at_least or got.low > claim.at_most:
        verdict = FAILS
    elif claim.at_least <= got.low and got.high <= claim.at_most:
        verdict = HOLDS
    else:
        verdict = UNDECIDED
    return Obtained(got.value, got.low, got.high, got.count, verdict, reason)


def _estimate(values: float | Sequence[float] | Estimate, minus: Sequence[float] | None) -> Estimate:
    if isinstance(values, Estimate):
        return values
    ours = np.asarray(values, float)
    if minus is None:
        value, low, high = map(float, student_interval(np.atleast_1d(ours)))
        return Estimate(value, low, high, ours.size)
    return Estimate(*welch_interval(ours, np.asarray(minus, float)), min(len(ours), len(minus)))


def plain(number: float) -> str:
    """A number as a person writes it: whole numbers in full, others with five digits."""
    return f"{number:.0f}" if math.isfinite(number) and number == round(number) else f"{number:.5g}"
