"""Records: the numbers of a notebook, carried out of it in its own outputs.

A record is a display output of the private type below, with a line of text for people; it
survives papermill, nbval and every export. A run gathers them into ``records.jsonl``.
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from greenai_nb.checks import PROVENANCES, UsageError
from greenai_nb.files import read_as
from greenai_nb.lesson.project import STAMP

Json = Mapping[str, Any]

RECORDS, NOT_OBTAINED = "records.jsonl", "not obtained"
MIME = "application/vnd.greenai.record+json"
COSTS = ("time_s", "s"), ("peak_ram_mb", "MB")
JUDGEMENT = ("claim", "lo", "hi", "verdict", "reason")


class Record(msgspec.Struct):
    """A number of a run, with what it is, how it was obtained, and the verdict where it was judged."""

    notebook: str
    name: str
    value: float | None
    unit: str | None
    provenance: str
    claim: str | None = None
    lo: float | None = None
    hi: float | None = None
    verdict: str | None = None
    parameters: dict[str, Any] = {}
    seed: Any = None
    profile: str = ""
    reason: str | None = None


FIELDS = Record.__struct_fields__


def emit(records: Iterable[Json], text: str) -> None:
    """Display records with the line of text that a reader sees."""
    from IPython.display import display

    display({MIME: list(records), "text/plain": text}, raw=True)


def new(name: str, value: float, unit: str, provenance: str, **judgement: Any) -> dict[str, Any]:
    """One record as a notebook knows it, with the fields of ``JUDGEMENT`` where it was judged.

    A number that is not finite counts as not obtained and is None: JSON has no NaN and no infinity.
    Raises ``UsageError`` for an unknown provenance.
    """
    if provenance not in PROVENANCES:
        raise UsageError(f"provenance {provenance!r} is not one of {', '.join(PROVENANCES)}")
    made = {"name": name, "value": float(value), "unit": unit, "provenance": provenance}
    made |= dict.fromkeys(JUDGEMENT) | judgement
    return {key: None if isinstance(x, float) and not math.isfinite(x) else x for key, x in made.items()}


def extract(notebook: Json, name: str, parameters: Json, profile: str) -> list[dict[str, Any]]:
    """The complete records of an executed notebook, in the order of its cells."""
    emitted = (
        record
        for cell in notebook["cells"]
        for output in cell.get("outputs", ())
        for record in output.get("data", {}).get(MIME, ())
    )
    return complete(emitted, name, parameters, profile)


def of_run(notebook: Json, name: str, defaults: Json | None = None) -> list[dict[str, Any]]:
    """The records of a stamped notebook, with those of its total time and peak memory.

    ``defaults`` are the values of parameters that were added to the notebook since.
    """
    stamp = notebook["metadata"][STAMP]
    costs = [new(cost, stamp[cost], unit, "measured") for cost, unit in COSTS]
    run = (name, {**(defaults or {}), **stamp["parameters"]}, stamp["profile"])
    return extract(notebook, *run) + complete(costs, *run)


def complete(records: Iterable[Json], name: str, parameters: Json, profile: str) -> list[dict[str, Any]]:
    """Records of a notebook with all their fields: which notebook it was, run with which parameters."""
    seed = parameters.get("seed", parameters.get("seeds"))
    context = {"notebook": name, "parameters": parameters, "seed": seed, "profile": profile}
    return [{field: ({**record, **context}).get(field) for field in FIELDS} for record in records]


def amount(record: Json) -> str:
    """The number of a record with its unit and interval; a table has NaN where a record has None."""
    numbers = (record[key] for key in ("value", "lo", "hi"))
    value, low, high = (math.nan if number is None else number for number in numbers)
    shown = f"{value:.0f}" if float(value).is_integer() else f"{value:.4g}"
    text = NOT_OBTAINED if math.isnan(value) else f"{shown} {record['unit']}".strip()
    return f"{text} [{low:.4g}, {high:.4g}]" if low < high else text


def read(folder: Path) -> list[dict[str, Any]]:
    """The records of a run. Raises ``UsageError`` if there are none, or a line is not a record."""
    path = folder / RECORDS
    content = path.read_bytes() if path.is_file() else b""
    if not content.strip():
        raise UsageError(f"no records in {folder}. Run the walk first: make run")
    lines = enumerate(content.split(b"\n"))  # each after as many empty ones, to number it in errors
    found = (read_as(path, Record, b"\n" * above + line) for above, line in lines if line.strip())
    return [msgspec.structs.asdict(record) for record in found]
