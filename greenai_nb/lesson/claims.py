"""Claims: what a rerun must show, and the verdict on what it showed.

``claims.yaml`` holds, for each claim, an id, a sentence, its source, the notebook that tests it,
the metric, the interval in which the metric must lie, and the profiles at which it is judged.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

import msgspec.yaml
import numpy as np

from greenai_nb.checks import UsageError
from greenai_nb.intervals import student_interval, welch_interval
from greenai_nb.lesson.project import root

MIN_SEEDS = 3
HOLDS, FAILS, UNDECIDED, RECORDED = "holds", "fails", "undecided", "recorded"


class Amendment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a claim expected before it was rewritten, the verdict it then had, and why it changed."""

    date: date
    expected: str
    verdict: Literal["holds", "fails", "undecided", "by construction"]
    reason: str


class Claim(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sentence that numbers can confirm or contradict."""

    id: str
    sentence: str
    source: str
    notebook: str
    metric: str
    unit: str
    provenance: str
    judged_at: tuple[str, ...]
    at_least: float = -math.inf
    at_most: float = math.inf
    amended: Amendment | None = None

    @property
    def expected(self) -> str:
        """The interval in words."""
        if math.isinf(self.at_least):
            return f"at most {self.at_most:g} {self.unit}".strip()
        if math.isinf(self.at_most):
            return f"at least {self.at_least:g} {self.unit}".strip()
        return f"{self.at_least:g} to {self.at_most:g} {self.unit}".strip()


@dataclass(frozen=True)
class Obtained:
    """A metric's mean over repetitions, with its confidence interval, and the verdict."""

    value: float
    low: float
    high: float
    count: int
    verdict: str


def load_claims(path: Path | None = None) -> dict[str, Claim]:
    """Read the claims by id. Raises ``UsageError`` where one is not complete."""
    path = path or root() / "claims.yaml"
    claims: dict[str, Claim] = {}
    for declared in msgspec.yaml.decode(path.read_bytes()):
        try:
            claim = msgspec.convert(declared, Claim)
        except msgspec.ValidationError as error:
            raise UsageError(f"claim {declared.get('id')} in {path.name}: {error}") from None
        if math.isinf(claim.at_least) and math.isinf(claim.at_most):
            raise UsageError(f"claim {claim.id} in {path.name} needs at_least or at_most")
        if claim.id in claims:
            raise UsageError(f"claim {claim.id} stands twice in {path.name}")
        claims[claim.id] = claim
    return claims


def judge(
    claim: Claim, values: Sequence[float], profile: str, minus: Sequence[float] | None = None
) -> Obtained:
    """Compare the values, or by how much their mean exceeds that of others, with what the claim expects.

    It *holds* if the whole interval lies where the claim says, *fails* if none of it does, and is
    *undecided* between, or with two values only. At profiles that are too small to judge by, the
    values are *recorded*.
    """
    count = min(map(len, (values, values if minus is None else minus)))
    if minus is None:
        value, low, high = map(float, student_interval(np.asarray(values)))
    else:
        value, low, high = welch_interval(np.asarray(values), np.asarray(minus))
    if profile not in claim.judged_at:
        verdict = RECORDED
    elif not math.isfinite(value) or high < claim.at_least or low > claim.at_most:
        verdict = FAILS
    elif 1 < count < MIN_SEEDS or low < claim.at_least or high > claim.at_most:
        verdict = UNDECIDED
    else:
        verdict = HOLDS
    return Obtained(value, low, high, count, verdict)
