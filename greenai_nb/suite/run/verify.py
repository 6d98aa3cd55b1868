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

    here: Record
    reference: Record

    @property
    def difference(self) -> float:
        """Relative difference, (here - reference) / |reference|; infinite from a reference of zero."""
        here, reference = self.here["value"], self.reference["value"]
        if here == reference:
            return 0.0
        return float((here - reference) / abs(reference)) if reference else math.inf

    @property
    def agrees(self) -> bool | None:
        """By value, by interval or by verdict."""
        here, reference = self.here, self.reference
        if math.isclose(here["value"], reference["value"], rel_tol=EXACT):
            return True
        bounds = (here["lo"], here["hi"], reference["lo"], reference["hi"])
        if None not in bounds and here["lo"] < here["hi"]:
            return bool(here["lo"] <= reference["hi"] and reference["lo"] <= here["hi"])
        return bool(here["verdict"] == reference["verdict"]) if here["claim"] else None


def reference(walk: Mapping[str, Lesson]) -> list[dict[str, Any]]:
    """The records in the notebooks of the repository; none from one that was never published."""
    published = []
    for lesson in walk.values():
        if lesson.stamp:
            parameters = lesson.defaults | dict(lesson.stamp.get("parameters", {}))
            published += records.extract(
                lesson.content, lesson.name, parameters, lesson.stamp["profile"]
            )
    return published


def agreements(here: Iterable[Record], committed: Iterable[Record]) -> list[Agreement]:
    """Every number here that the reference has too."""
    known = {_key(record): record for record in committed if record["value"] is not None}
    return [
        Agreement(record, known[_key(record)])
        for record in here
        if record["value"] is not None and _key(record) in known
    ]


def table(pairs: Iterable[Agreement]) -> "Table":
    """What does not agree, and what is told only, the largest difference first."""
    from rich.table import Table

    shown = Table(title="Here and in the committed results")
    for column in ("notebook", "record", "here", "committed", "difference", "agrees"):
        shown.add_column(column, overflow="fold")
    apart = [pair for pair in pairs if pair.difference and not pair.agrees]
    for pair in sorted(apart, key=lambda pair: (pair.agrees is None, -abs(pair.difference))):
        values = (f"{record['value']:.5g} {record['unit']}" for record in (pair.here, pair.reference))
        agrees = "not judged" if pair.agrees is None else "[red]no[/red]"
        name = pair.here["claim"] or pair.here["name"]
        shown.add_row(pair.here["notebook"], name, *values, f"{pair.difference:+.1%}", agrees)
    return shown


def _key(record: Record) -> tuple[str, str, str | None, str]:
    values = {name: value for name, value in record["parameters"].items() if name != THREADS}
    return record["notebook"], record["name"], record["claim"], json.dumps(values, sort_keys=True)
