"""Typed notebook parameters, read from the notebook's own ``parameters`` cell.

The cell holds annotated literals only, one a line, each with a comment that says what it is and,
after *in* or *one of*, what it may be:

    proposals: int = 100_000  # steps of the chain, in [10, 10_000_000]
    rule: str = "by_layer"  # which weights go first, one of {"by_layer", "by_network"}

Types are ``int``, ``float``, ``bool``, ``str`` and lists of them; a range holds for each item.
"""

import ast
import json
import math
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from greenai_nb.checks import UsageError, nearest

SCALARS = {"int": int, "float": float, "bool": bool, "str": str}
WORDS_OF_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
RANGE = re.compile(r"\bin \[([^,\]]+),([^,\]]+)\]")
CHOICES = re.compile(r"\bone of (\{.+\})")


@dataclass(frozen=True)
class Parameter:
    """One knob: ``kind`` is the name of its type, ``items`` says whether it is a list."""

    name: str
    kind: str
    items: bool
    default: Any
    help: str
    low: float = -math.inf
    high: float = math.inf
    choices: frozenset[Any] | None = None

    @property
    def type_name(self) -> str:
        """The type as it is written in the cell."""
        return f"list[{self.kind}]" if self.items else self.kind

    def cast(self, value: Any) -> Any:
        """Turn a value, or a text from the command line, into this type, and check its range.

        Raises ``UsageError`` with what was given and what was expected.
        """
        if not self.items:
            return self._checked(self._scalar(value))
        if isinstance(value, str):
            value = _split_list(value)
        if not isinstance(value, list | tuple):
            raise self._refusal(value)
        return [self._checked(self._scalar(item)) for item in value]

    def _scalar(self, value: Any) -> Any:
        value = value.item() if hasattr(value, "item") else value
        if self.kind == "str":
            if isinstance(value, str):
                return value
        elif self.kind == "bool":
            if isinstance(value, bool):
                return value
            if str(value).lower() in WORDS_OF_TRUTH:
                return WORDS_OF_TRUTH[str(value).lower()]
        elif not isinstance(value, bool) and isinstance(value, int | float | str):
            with suppress(ValueError, OverflowError):
                return float(value) if self.kind == "float" else _whole(value)
        raise self._refusal(value)

    def _checked(self, value: Any) -> Any:
        if self.choices is not None and value not in self.choices:
            raise self._refusal(value)
        if self.kind in ("int", "float") and not self.low <= value <= self.high:
            raise self._refusal(value)
        return value

    def _refusal(self, value: Any) -> UsageError:
        expected = f"a {self.type_name}" if self.kind != "int" or self.items else "an int"
        if self.choices is not None:
            expected += f", one of {', '.join(map(repr, sorted(self.choices)))}"
        elif math.isfinite(self.low) or math.isfinite(self.high):
            expected += f" in [{self.low:g}, {self.high:g}]"
        return UsageError(
            f"parameter {self.name} is {value!r}, expected {expected} ({self.help}). "
            f"The default is {self.default!r}."
        )


def declared(source: str) -> dict[str, Parameter]:
    """Read the parameters of a cell. Raises ``UsageError`` where a line is not an annotated literal."""
    lines = source.splitlines()
    found = {}
    for node in ast.parse(source).body:
        line = lines[node.lineno - 1]
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            raise UsageError(f"the parameters cell holds annotated literals only, not: {line}")
        text = line.partition("#")[2].strip()
        if not text:
            raise UsageError(f"a parameter needs a comment that says what it is: {line}")
        found[node.target.id] = _parameter(node, text)
    return found


def _whole(value: float | str) -> int:
    """A whole number, of any size where it is written as one. Raises ``ValueError`` for others."""
    if isinstance(value, str):
        with suppress(ValueError):
            return int(value)
    number = float(value)
    if not number.is_integer():
        raise ValueError(value)
    return int(value) if isinstance(value, int) else int(number)


def is_parameters_cell(source: str) -> bool:
    """Whether a cell's code is annotated assignments and nothing else."""
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return False
    return bool(body) and all(isinstance(node, ast.AnnAssign) for node in body)


def assigned(source: str) -> list[str]:
    """Names that a cell assigns at top level, as the cell that papermill injects does."""
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return []
    return [
        target.id
        for node in body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]


def resolve(
    parameters: Mapping[str, Parameter], values: Mapping[str, Any], where: str
) -> dict[str, Any]:
    """Effective parameters: the defaults, and over them the given values, cast and checked.

    Raises ``UsageError`` for an unknown name, with the nearest right one.
    """
    for name in values:
        if name not in parameters:
            raise UsageError(f"{where} has no parameter {name!r}. {nearest(name, parameters)}")
    return {
        name: parameter.cast(values.get(name, parameter.default))
        for name, parameter in parameters.items()
    }


def parse_assignments(texts: Iterable[str]) -> dict[str, str]:
    """Split ``name=value`` texts. Raises ``UsageError`` for a text without ``=``."""
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"a parameter is given as name=value, got {text!r}")
        pairs[name.strip()] = value.strip()
    return pairs


def _parameter(node: ast.AnnAssign, text: str) -> Parameter:
    name = ast.unparse(node.target)
    kind, items = ast.unparse(node.annotation), False
    if kind.startswith("list[") and kind.endswith("]"):
        kind, items = kind[5:-1], True
    if kind not in SCALARS or node.value is None:
        known = ", ".join(SCALARS)
        raise UsageError(f"parameter {name} needs a value and a type of {known} or a list of one")
    try:
        default = ast.literal_eval(node.value)
    except ValueError:
        raise UsageError(f"parameter {name} is not a literal: {ast.unparse(node.value)}") from None
    limits, options = RANGE.search(text), CHOICES.search(text)
    parameter = Parameter(
        name=name,
        kind=kind,
        items=items,
        default=default,
        help=text,
        low=float(limits[1]) if limits else -math.inf,
        high=float(limits[2]) if limits else math.inf,
        choices=frozenset(ast.literal_eval(options[1])) if options else None,
    )
    parameter.cast(default)
    return parameter


def _split_list(text: str) -> list[Any]:
    """A list from ``[3, 4]``, ``3,4`` or ``["a", "b"]``."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return [part.strip() for part in text.strip("[]").split(",") if part.strip()]
    return value if isinstance(value, list) else [value]
