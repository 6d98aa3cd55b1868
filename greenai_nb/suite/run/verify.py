"""Compare a run with the committed results, which another machine may have made.

The reference is the set of records in the notebooks of the repository, as last published, and of the
runs at paper size that are kept with it. Records are
compared if notebook, name and parameters match, whatever the number of threads. Two agree if they
are equal up to a relative ``EXACT`` or an absolute ``ROUNDING``, if both have intervals that overlap,
or, for claims without intervals, if the verdicts are the same. For others, such as seconds and joules,
and for claims not judged, the difference is only shown. Verdicts are compared at any parameters.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from greenai_nb.lesson import records
from greenai_nb.lesson.claims import FAILS, RECORDED
from greenai_nb.suite.run.paper import kept
from greenai_nb.suite.run.plan import THREADS, Lesson
from greenai_nb.suite.run.report import folding

EXACT, ROUNDING = 1e-9, 1e-12

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Agreement:
    """A number here and in the reference; ``agrees`` is None where that is not judged."""

    notebook: str
    name: str
    unit: str
    here: float
    reference: float
    agrees: bool | None

    @property
    def difference(self) -> float:
        """Relative difference, (here - reference) / |reference|; infinite from a reference of zero."""
        if math.isclose(self.here, self.reference, rel_tol=0, abs_tol=ROUNDING):
            return 0.0
        return (self.here - self.reference) / abs(self.reference) if self.reference else math.inf


def reference(walk: Mapping[str, Lesson]) -> list[dict[str, Any]]:
    """The records in the notebooks of the repository; one that was never published has none."""
    published = list[dict[str, Any]]()
    for lesson in walk.values():
        if lesson.stamp:
            published += records.of_run(lesson.content, lesson.name, lesson.defaults)
    return published


def committed(walk: Mapping[str, Lesson]) -> list[dict[str, Any]]:
    """The records in the notebooks of the repository, and those kept at paper size."""
    return [*reference(walk), *kept()]


def agreements(here: Iterable[Record], committed: Iterable[Record]) -> list[Agreement]:
    """Every number here that the reference has too."""
    known = {_key(record): record for record in committed if record["value"] is not None}
    pairs = []
    for ours in here:
        theirs = known.get(_key(ours))
        if theirs and ours["value"] is not None:
            name, values = ours["claim"] or ours["name"], (ours["value"], theirs["value"])
            agrees = _agrees(ours, theirs)
            pairs.append(Agreement(ours["notebook"], name, ours["unit"], *values, agrees))
    return pairs


def _agrees(here: Record, reference: Record) -> bool | None:
    """Whether two records agree, by value, by interval or by verdict."""
    if math.isclose(here["value"], reference["value"], rel_tol=EXACT, abs_tol=ROUNDING):
        return True
    if not here["claim"] and (here["provenance"] == "estimated" or here["unit"] == "J"):
        return None
    if here["reason"] or reference["reason"]:
        return None
    bounds = (here["lo"], here["hi"], reference["lo"], reference["hi"])
    if None not in bounds and here["lo"] < here["hi"]:
        return bool(here["lo"] <= reference["hi"] and reference["lo"] <= here["hi"])
    return bool(here["verdict"] == reference["verdict"]) if here["claim"] else None


def departures(here: Iterable[Record], committed: Iterable[Record]) -> tuple[list[str], int]:
    """Sentences on verdicts that differ from those committed at that profile, and how many there were.

    A claim that could not be judged on either side is not compared. One without a committed verdict
    departs if it fails.
    """
    known, ours = (
        {
            (r["claim"], r["profile"]): r["verdict"]
            for r in side
            if r["verdict"] not in (None, RECORDED) and not r["reason"]
        }
        for side in (committed, here)
    )
    said = [
        f"{each[0]}: the verdict is {verdict} here, the committed one {known.get(each, 'is not there')}"
        for each, verdict in ours.items()
        if known.get(each, verdict) != verdict or (each not in known and verdict == FAILS)
    ]
    return said, len({*ours} & {*known})


def differences(pairs: Iterable[Agreement]) -> Table:
    """What does not agree, then what is not judged, each with the largest difference first."""
    title = "Here and in the committed results"
    table = folding(title, "notebook", "record", "here", "committed", "difference", "agrees")
    apart = [pair for pair in pairs if pair.difference and not pair.agrees]
    for pair in sorted(apart, key=lambda pair: (pair.agrees is None, -abs(pair.difference))):
        values = (f"{value:.5g} {pair.unit}" for value in (pair.here, pair.reference))
        agrees = "not judged" if pair.agrees is None else "[red]no[/red]"
        table.add_row(pair.notebook, pair.name, *values, f"{pair.difference:+.1%}", agrees)
    return table


def _key(record: Record) -> tuple[str, str, str | None, str]:
    values = {name: value for name, value in record["parameters"].items() if name != THREADS}
    return record["notebook"], record["name"], record["claim"], json.dumps(values, sort_keys=True)
