"""Grids for a sweep: texts that stand for many values of a parameter, and their combinations.

    1e3,1e4,1e5         several values
    0..9  0..10..2      whole numbers, both ends included, and the same with a step
    lin(0,1,5)          evenly spaced numbers, both ends included
    log(1e-5,1e-2,4)    geometrically spaced numbers, both ends included
    [0,1,2],[3,4,5]     two values of a list; other values give lists of one item
    a,"b,c"             two texts; a text with a comma or a quote is written as a JSON string

A text is split at commas, and each part is read as one of these. Nothing is evaluated as code.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain, product
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from greenai_nb.checks import UsageError, nearest
from greenai_nb.files import read_as
from greenai_nb.lesson.parameters import Parameter

Groups = Sequence[Sequence[str]]

MAX_POINTS = 100_000
FORMS = (
    "Write values separated by commas, first..last or first..last..step for whole numbers that go up, "
    "lin(first,last,count), log(first,last,count) with positive ends, [3, 4] for a list, or "
    f'"a, b" for a text; at most {MAX_POINTS:,} values.'
)
SPACINGS: dict[str, Any] = {"lin": np.linspace, "log": np.geomspace}
STRING = r'"(?:[^"\\]|\\.)*"'
CALL = re.compile(r"(\w+)\s*\(([^()]*)\)")
PART = re.compile(rf'((?:{STRING}|\[(?:{STRING}|[^\[\]"])*\]|\([^()]*\)|[^,])*),', re.DOTALL)


class GridFile(msgspec.Struct, forbid_unknown_fields=True):
    """A YAML file of values by name, and of names that vary together."""

    parameters: dict[str, str | int | float | list[Any]]
    zip: list[list[str]] = []


def read_grid(path: Path) -> tuple[dict[str, str], list[list[str]]]:
    """The values in a grid file, as texts, and its zipped groups. Raises ``UsageError`` if malformed."""
    grid = read_as(path, GridFile)
    lists = {name: v if isinstance(v, list) else [v] for name, v in grid.parameters.items()}
    written = {  # as on the command line, where a text stays as it is
        name: ",".join(each if isinstance(each, str) else json.dumps(each) for each in values)
        for name, values in lists.items()
    }
    return written, grid.zip


def points(
    parameters: Mapping[str, Parameter], requested: Mapping[str, str], zipped: Groups = ()
) -> list[dict[str, Any]]:
    """The parameter sets of a sweep: all combinations, the last name requested varying fastest.

    Each text stands for its ``alternatives``. Names in a group of ``zipped`` vary together, and ``seed``
    means ``seeds`` if only a list of that name exists. Raises ``UsageError`` for names and groups
    that do not fit.
    """
    only_seeds = "seed" not in parameters and "seeds" in parameters and parameters["seeds"].items
    full = {"seed": "seeds"} if only_seeds else {}
    values: dict[str, list[Any]] = {}
    for given, text in requested.items():
        name = full.get(given, given)
        if name not in parameters:
            raise UsageError(f"there is no parameter {name!r}. {nearest(name, parameters)}")
        if name in values:
            raise UsageError(f"parameter {name} is asked for twice")
        values[name] = alternatives(parameters[name], text)
    groups = [tuple(full.get(name, name) for name in group) for group in zipped]
    _check_groups(groups, values)
    group_of = {name: group for group in groups for name in group}
    axes = dict.fromkeys(group_of.get(name, (name,)) for name in values)
    count = math.prod(len(values[group[0]]) for group in axes)
    if count > MAX_POINTS:
        raise UsageError(f"the sweep has {count:,} points, at most {MAX_POINTS:,} can be run")
    names = list(chain(*axes))
    rows = product(*(zip(*(values[name] for name in group), strict=True) for group in axes))
    return [dict(zip(names, chain(*row), strict=True)) for row in rows]


def alternatives(parameter: Parameter, text: str) -> list[Any]:
    """All values that a text stands for, each of the parameter's type and in its range.

    Raises ``UsageError`` if the text cannot be read, or a value is wrong or comes twice.
    """
    parts = [part.strip() for part in PART.findall(text + ",")]
    values = [value for part in parts for value in _read(parameter, part)]
    if len(values) > MAX_POINTS:
        raise UsageError(f"parameter {parameter.name} is given {len(values):,} values. {FORMS}")
    if parameter.items:
        values = [value if isinstance(value, list) else [value] for value in values]
    cast = [parameter.cast(value) for value in values]
    ((most, count),) = Counter(map(repr, cast)).most_common(1)
    if count > 1:
        raise UsageError(f"parameter {parameter.name} has the value {most} twice")
    return cast


def _read(parameter: Parameter, part: str) -> Sequence[Any]:
    """The values that one part of a text stands for, not yet cast."""
    call, is_number = CALL.fullmatch(part), parameter.kind in ("int", "float")
    try:
        is_list = parameter.items and part[:1] == "["
        is_text = parameter.kind == "str" and part[:1] == '"'
        if is_list or is_text or not part:  # an empty part is no JSON
            return [json.loads(part)]
        if is_number and call:
            return _spaced(call[1], *map(float, call[2].split(",")))
        if is_number and ".." in part:
            return _range(*map(float, part.split("..")))
    except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError):
        raise UsageError(f"parameter {parameter.name}: cannot read {part!r}. {FORMS}") from None
    return [part]


def _range(first: float, last: float, step: float = 1) -> range:
    """Whole numbers, both ends included."""
    values = range(int(first), int(last) + 1, int(step))
    is_whole = (values.start, values.stop - 1, values.step) == (first, last, step)
    if not is_whole or step < 1 or not 0 <= (last - first) // step < MAX_POINTS:
        raise ValueError("no such range")
    return values


def _spaced(name: str, first: float, last: float, count: float) -> list[float]:
    """Evenly or geometrically spaced numbers, both ends included.

    They are rounded to 12 digits, so that ``log(1,1000,4)`` has 10 and 100 in it exactly.
    """
    with np.errstate(all="ignore"):
        values = SPACINGS[name](first, last, int(min(count, MAX_POINTS)))
    if len(values) != count or values[-1] != last or not np.isfinite(values).all():
        raise ValueError("no such numbers")
    noise = 4 * np.spacing(abs(last - first)) if name == "lin" else 0.0
    inside = [float(f"{value:.12g}") if abs(value) > noise else 0.0 for value in values[1:-1]]
    return [first, *inside, last][: len(values)]


def _check_groups(groups: Groups, values: Mapping[str, Sequence[Any]]) -> None:
    """Raise ``UsageError`` unless each zipped name has values, is in one group, and counts match."""
    count = Counter(chain(*groups))
    for name in count:
        if name not in values:
            raise UsageError(f"{name!r} is zipped but not asked for. {nearest(name, values)}")
        if count[name] > 1:
            raise UsageError(f"parameter {name} is zipped twice")
    for group in groups:
        if len({len(values[name]) for name in group}) > 1:
            counts = ", ".join(f"{name} has {len(values[name])}" for name in group)
            raise UsageError(f"zipped parameters need equally many values: {counts}")
