"""Whether a run agrees with the committed results, which another machine may have made.

The reference are the records in the notebooks of the repository, as last published. Records are compared
that have notebook, name and parameters in common; the number of threads may differ. Two agree where they
are equal to ``EXACT`` of their size, where both have intervals and these overlap, or, of claims without
intervals, where the verdicts are the same. Of others, such as seconds, the difference is told and not
judged.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from greenai_nb.lesson import records
from greenai_nb.suite.run.plan import THREADS, Lesson

if TYPE_CHECKING:
    from rich.table import Table

EXACT = 1e-9

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Agreement:
    """A record here and in the reference; ``agrees`` is None where that is not judged."""

    notebook: str
    name: str
    unit: str
    provenance: str
    here: float
    reference: float
    agrees: bool | None

    @property
    def difference(self) -> float:
        """Relative difference, (here - reference) / |reference|; infinite from a reference of zero."""
        if self.here == self.reference:
            return 0.0
        return (self.here - self.reference) / abs(self.reference) if self.reference else math.inf


def reference(walk: Mapping[str, Lesson]) -> list[dict[str, Any]]:
    """The records in the notebooks of the repository; none from one that was never published."""
    found = []
    for lesson in walk.values():
        if lesson.stamp:
            parameters = lesson.defaults | dict(lesson.stamp.get("parameters", {}))
            found += records.extract(lesson.content, lesson.name, parameters, lesson.stamp["profile"])
    return found


def agreements(here: Iterable[Record], committed: Iterable[Record]) -> list[Agreement]:
    """Every record here that the reference has too, judged by the rules above."""
    known = {_key(record): record for record in committed if record["value"] is not None}
    pairs = [(record, known[_key(record)]) for record in here if _key(record) in known]
    return [
        Agreement(
            one["notebook"],
            one["claim"] or one["name"],
            one["unit"],
            one["provenance"],
            one["value"],
            other["value"],
            _agrees(one, other),
        )
        for one, other in pairs
        if one["value"] is not None
    ]


def table(found: Iterable[Agreement]) -> "Table":
    """What does not agree, and what is told only, the largest difference first."""
    from rich.table import Table

    shown = Table(title="Here and in the committed results")
    for column in ("notebook", "record", "here", "committed", "difference", "agrees"):
        shown.add_column(column, overflow="fold")
    apart = [each for each in found if each.difference and not each.agrees]
    for each in sorted(apart, key=lambda one: (one.agrees is None, -abs(one.difference))):
        values = (f"{value:.5g} {each.unit}".strip() for value in (each.here, each.reference))
        agrees = "not judged" if each.agrees is None else "[red]no[/red]"
        shown.add_row(each.notebook, each.name, *values, f"{each.difference:+.1%}", agrees)
    return shown


def _agrees(one: Record, other: Record) -> bool | None:
    if math.isclose(one["value"], other["value"], rel_tol=EXACT):
        return True
    bounds = (one["lo"], one["hi"], other["lo"], other["hi"])
    if None not in bounds and one["lo"] < one["hi"]:
        return bool(one["lo"] <= other["hi"] and other["lo"] <= one["hi"])
    return bool(one["verdict"] == other["verdict"]) if one["claim"] else None


def _key(record: Record) -> tuple[str, str, str | None, str]:
    values = {name: value for name, value in record["parameters"].items() if name != THREADS}
    return record["notebook"], record["name"], record["claim"], json.dumps(values, sort_keys=True)
