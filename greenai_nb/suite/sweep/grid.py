"""Grids of parameter values for a sweep: texts that ask for many values, and their combinations.

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
from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import chain, product
from pathlib import Path
from typing import Any

from greenai_nb.checks import UsageError, nearest
from greenai_nb.lesson.parameters import Parameter

LARGEST = 100_000
NUMBERS = ("int", "float")
FUNCTIONS = ("lin", "log")
KEYS = ("parameters", "zip")
STRING = r'"(?:[^"\\]|\\.)*"'
LIST = rf'\[(?:{STRING}|[^\[\]"])*\]'
ARGUMENTS = r"\([^()]*\)"


def alternatives(parameter: Parameter, text: str) -> list[Any]:
    """All values that a text asks a parameter to take, each of the right type and in its range.

    Raises ``UsageError`` where the text cannot be read, or a value is wrong or comes twice.
    """
    values: list[Any] = []
    try:
        for part in _split(parameter, text):
            values += _read(parameter, part)
            _check_count(len(values))
    except UsageError as error:
        raise UsageError(f"parameter {parameter.name}: {error}") from None
    return _cast(parameter, values)


def points(
    parameters: Mapping[str, Parameter],
    asked: Mapping[str, Any],
    zipped: Sequence[Sequence[str]] = (),
) -> list[dict[str, Any]]:
    """The parameter sets of a sweep: all combinations, the last name asked for varying fastest.

    A value is a text for ``alternatives``, a list of them, or a single one. The names in one group
    of ``zipped`` move together, and ``seed`` means ``seeds`` where only a list of that name exists.
    Raises ``UsageError`` for names and groups that do not fit.
    """
    only_seeds = "seed" not in parameters and "seeds" in parameters and parameters["seeds"].items
    full = {"seed": "seeds"} if only_seeds else {}
    values: dict[str, list[Any]] = {}
    for given, value in asked.items():
        name = full.get(given, given)
        if name not in parameters:
            raise UsageError(f"there is no parameter {name!r}. {nearest(name, parameters)}")
        if name in values:
            raise UsageError(f"parameter {name} is asked for twice")
        if isinstance(value, str):
            values[name] = alternatives(parameters[name], value)
        else:
            values[name] = _cast(parameters[name], value if isinstance(value, list) else [value])
    groups = _groups([[full.get(name, name) for name in group] for group in zipped], values)
    axes = dict.fromkeys(groups.get(name, (name,)) for name in values)
    count = math.prod(len(values[group[0]]) for group in axes)
    if count > LARGEST:
        raise UsageError(f"the sweep has {count:,} points, at most {LARGEST:,} can be run")
    pairs = {name: [(name, value) for value in each] for name, each in values.items()}
    columns = [zip(*(pairs[name] for name in group), strict=True) for group in axes]
    return [dict(chain.from_iterable(rows)) for rows in product(*columns)]


def read_grid(path: Path) -> tuple[dict[str, Any], list[list[str]]]:
    """What to ask for and what to zip, from the keys ``parameters`` and ``zip`` of a YAML file.

    Raises ``UsageError`` for a file that cannot be read or says something else.
    """
    import yaml

    try:
        text = path.read_text()
        content = yaml.safe_load(text)
        twice = _keys_twice(yaml.compose(text, yaml.SafeLoader))
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} cannot be read as YAML ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict) or not isinstance(content.get("parameters"), dict):
        raise UsageError(f"{path} needs a key parameters, and under it names with their values")
    if twice:
        raise UsageError(f"{path} has the key {twice[0]} twice, and one would be lost")
    for key in content:
        if key not in KEYS:
            raise UsageError(f"{path} has an unknown key {key!r}. {nearest(str(key), KEYS)}")
    asked, zipped = content["parameters"], content.get("zip", [])
    for name, value in asked.items():
        if not isinstance(name, str) or not isinstance(value, str | int | float | list):
            raise UsageError(f"{path} needs a name with a text, a number or a list, not {name}: {value}")
    groups = zipped if isinstance(zipped, list) else [None]
    if not all(isinstance(group, list) and all(isinstance(n, str) for n in group) for group in groups):
        raise UsageError(f"{path} needs lists of names under zip, such as [[width, rate]]")
    return asked, zipped


def _keys_twice(node: Any) -> list[str]:
    """Keys that come twice in a mapping of a YAML tree, which a loader would drop in silence."""
    pairs = node.value if node is not None and node.id == "mapping" else []
    keys = [key.value for key, _ in pairs]
    below = [key for _, value in pairs for key in _keys_twice(value)]
    return [key for at, key in enumerate(keys) if key in keys[:at]] + below


def _split(parameter: Parameter, text: str) -> list[str]:
    """The parts between the commas that are in no JSON string and in no brackets."""
    wholes = {}
    if parameter.items or parameter.kind in NUMBERS:
        wholes["[]"] = LIST
    if parameter.kind in NUMBERS:
        wholes["()"] = ARGUMENTS
    alone = set("".join(wholes))
    parts = [""]
    for token in re.findall("|".join([STRING, *wholes.values(), "."]), text, re.DOTALL):
        if token in alone:
            raise UsageError(f"brackets are not balanced, or within brackets, in {text!r}")
        if token == ",":
            parts.append("")
        else:
            parts[-1] += token
    return [part.strip() for part in parts]


def _read(parameter: Parameter, part: str) -> Sequence[Any]:
    """The values that one part stands for, not yet cast."""
    if not part:
        raise UsageError("a value is empty, write values with commas between them")
    quoted = parameter.kind == "str" and '"' in part
    if quoted or (parameter.items and part.startswith("[")):
        try:
            return [json.loads(part)]
        except (ValueError, RecursionError):
            raise UsageError(f'{part} is not JSON, write [3, 4] for a list and "a" for a text') from None
    if parameter.kind in NUMBERS and "(" in part:
        return _spaced(part)
    if parameter.kind in NUMBERS and ".." in part:
        return _range(part)
    return [part]


def _range(part: str) -> range:
    """Whole numbers of ``first..last`` or ``first..last..step``."""
    numbers = _numbers(part.split(".."), part)
    if not all(number.is_integer() for number in numbers):
        raise UsageError(f"{part} has an end or a step that is not a whole number, use lin there")
    first, last, step, *more = (*map(int, numbers), 1)
    if more[1:] or step < 1:
        raise UsageError(f"{part} is not first..last..step with a step of at least 1")
    if last < first:
        raise UsageError(f"{part} runs backwards, write the smaller end first")
    _check_count((last - first) // step + 1)
    return range(first, last + 1, step)


def _spaced(part: str) -> list[float]:
    """Numbers of ``lin(first,last,count)`` or ``log(first,last,count)``.

    Decimals carry more digits than floats, so that ``log(1,1000,4)`` has 10 and 100 in it exactly.
    """
    name, _, inner = (piece.strip() for piece in part.partition("("))
    if name not in FUNCTIONS:
        raise UsageError(f"there is no function {name!r}. {nearest(name, FUNCTIONS)}")
    texts = inner.removesuffix(")").split(",")
    if len(texts) != 3:
        raise UsageError(f"{part} needs 3 arguments, {name}(first,last,count), and has {len(texts)}")
    first, last, wanted = _numbers(texts, part)
    count = int(wanted)
    if name == "log" and min(first, last) <= 0:
        raise UsageError(f"{part} has an end that is not positive, use lin there")
    if count != wanted or count < 1 or (count == 1 and first != last):
        raise UsageError(f"{part} needs a whole count of at least 1, or 2 where the ends differ")
    _check_count(count)
    low, high = Decimal(repr(first)), Decimal(repr(last))
    if name == "log":
        low, high = low.ln(), high.ln()
    inside = [(low * (count - 1 - i) + high * i) / (count - 1) for i in range(1, count - 1)]
    return [first, *(float(each.exp() if name == "log" else each) for each in inside), last][:count]


def _numbers(texts: Sequence[str], part: str) -> list[float]:
    try:
        numbers = [float(text) for text in texts]
    except ValueError:
        numbers = [math.nan]
    if not all(map(math.isfinite, numbers)):
        raise UsageError(f"{part} has something that is not a number where a number should be")
    return numbers


def _check_count(count: int) -> None:
    if count > LARGEST:
        raise UsageError(f"{count:,} values are asked for, at most {LARGEST:,} can be")


def _cast(parameter: Parameter, values: Sequence[Any]) -> list[Any]:
    """Values of the right type, none of them twice; for a list a value is an item alone."""
    if not values:
        raise UsageError(f"parameter {parameter.name} is asked for and given no value")
    found = {}
    for value in values:
        right = parameter.cast([value] if parameter.items and not isinstance(value, list) else value)
        key = tuple(right) if parameter.items else right
        if key in found:
            raise UsageError(f"parameter {parameter.name} has the value {right!r} twice")
        found[key] = right
    return list(found.values())


def _groups(
    zipped: Sequence[Sequence[str]], values: Mapping[str, Sequence[Any]]
) -> dict[str, tuple[str, ...]]:
    """For each name that is zipped, the names that move with it."""
    groups: dict[str, tuple[str, ...]] = {}
    for group in zipped:
        for name in group:
            if name in groups:
                raise UsageError(f"parameter {name} is zipped twice")
            if name not in values:
                raise UsageError(f"{name!r} is zipped but not asked for. {nearest(name, values)}")
            groups[name] = tuple(group)
        if len({len(values[name]) for name in group}) > 1:
            counts = ", ".join(f"{name} has {len(values[name])}" for name in group)
            raise UsageError(f"zipped parameters need equally many values: {counts}")
    return groups
