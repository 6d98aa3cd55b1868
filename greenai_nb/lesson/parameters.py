"""Typed notebook parameters, read from the notebook's own ``parameters`` cell.

The cell holds annotated literals only, one per line, each with a comment that says what it is and,
after *in* or *one of*, what it may be:

    proposals: int = 100_000  # steps of the chain, in [10, 10_000_000]
    rule: str = "by_layer"  # which weights go first, one of {"by_layer", "by_network"}

Types are ``int``, ``float``, ``bool``, ``str`` and lists of them; a range applies to each item. A list
has at least one item, unless its comment says that it *may be empty*, and seeds must all differ. A
text whose comment mentions a *folder* or a *file* is the path of one.
"""

import ast
import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec

from greenai_nb.checks import UsageError, nearest

SCALARS = {"int": int, "float": float, "bool": bool, "str": str}
YES_NO = {"yes": True, "no": False}
RANGE = re.compile(r"\bin \[([^,\]]+),([^,\]]+)\]")
HALF_OPEN = re.compile(r"\bin (?:\([^,)\]]+,[^,)\]]+[\])]|\[[^,)\]]+,[^,)\]]+\))")
CHOICES = re.compile(r"\bone of (\{.+\})")
PATH = re.compile(r"\b(folder|file)\b")
NO_SIZES = {"seed", "threads", "workers"}  # a smaller value makes no smaller run


@dataclass(frozen=True)
class Parameter:
    """A parameter: ``kind`` names its type, or that of its ``items`` if it is a list.

    ``annotation`` is the type with its limits, for msgspec, and ``expected`` the same in words.
    """

    name: str
    kind: str
    items: bool
    default: Any
    help: str
    annotation: Any
    expected: str

    @property
    def is_path(self) -> bool:
        """Whether its text names a file or a folder, on whose content a result depends."""
        return self.kind == "str" and bool(PATH.search(self.help))

    def cast(self, value: Any) -> Any:
        """Turn a value, or a text from a command line, into this type. ``UsageError`` if that fails."""
        if self.items and isinstance(value, str):
            value = _split_list(value)
        expected = f"expected {self.expected} ({self.help}). The default is {self.default!r}."
        try:
            found = msgspec.convert(_in_python(value, self.kind), self.annotation, strict=False)
        except msgspec.ValidationError:
            raise UsageError(f"parameter {self.name} is {value!r}, {expected}") from None
        if self.items and not found and "may be empty" not in self.help:
            raise UsageError(f"parameter {self.name} is empty, {expected}")
        if self.items and self.name.endswith("seeds") and len(found) > len({*found}):
            raise UsageError(f"parameter {self.name} is {value!r}, {expected} Each seed counts once.")
        return found


def declared(source: str) -> dict[str, Parameter]:
    """Read the parameters of a cell. Raises ``UsageError`` where a line is not an annotated literal."""
    lines, parameters = source.splitlines(), {}
    for node in ast.parse(source).body:
        line = lines[node.lineno - 1]
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            raise UsageError(f"the parameters cell holds annotated literals only, not: {line}")
        text = line.partition("#")[2].strip()
        if not text:
            raise UsageError(f"a parameter needs a comment that says what it is: {line}")
        if node.target.id in parameters:
            raise UsageError(f"parameter {node.target.id} stands twice: {line}")
        parameters[node.target.id] = _parameter(node, text)
    return parameters


def is_parameters_cell(source: str) -> bool:
    """Whether a cell's code is annotated assignments and nothing else."""
    with suppress(SyntaxError):
        body = ast.parse(source).body
        return bool(body) and all(isinstance(node, ast.AnnAssign) for node in body)
    return False


def resolve(parameters: Mapping[str, Parameter], given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Effective parameters: the defaults, and over them the given values, cast and checked.

    Raises ``UsageError`` for an unknown name, with the nearest right one.
    """
    for name in given:
        if name not in parameters:
            raise UsageError(f"{where} has no parameter {name!r}. {nearest(name, parameters)}")
    return {name: known.cast(given.get(name, known.default)) for name, known in parameters.items()}


def parse_assignments(texts: Iterable[str]) -> dict[str, str]:
    """Split ``name=value`` texts. Raises ``UsageError`` for a text without ``=``."""
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"a parameter is given as name=value, got {text!r}")
        if name.strip() in pairs:
            raise UsageError(f"parameter {name.strip()} is given twice: once, or use greenai sweep")
        pairs[name.strip()] = value.strip()
    return pairs


def reductions(values: Mapping[str, Any], full: Mapping[str, Any]) -> str:
    """How values make a smaller run than those of the profile: smaller counts, or shorter lists."""
    said = []
    for name, value in values.items():
        size, whole = value, full.get(name)
        if isinstance(value, list) and isinstance(whole, list):
            size, whole = len(value), len(whole)
        if type(size) is type(whole) is int and size < whole and name not in NO_SIZES:
            said.append(f"{name} has {size}" if isinstance(value, list) else f"{name} is {size}")
            said[-1] += f" where the profile has {whole}"
    return ", ".join(said)


def _parameter(node: ast.AnnAssign, text: str) -> Parameter:
    name, type_name = ast.unparse(node.target), ast.unparse(node.annotation)
    kind = type_name.removeprefix("list[").removesuffix("]")
    if kind not in SCALARS:
        raise UsageError(f"parameter {name} needs a type of {', '.join(SCALARS)} or a list of one")
    annotation: Any = SCALARS[kind]
    expected = "an int" if type_name == "int" else f"a {type_name}"
    if half := HALF_OPEN.search(text):
        raise UsageError(f"parameter {name} has the range {half[0][3:]}: write [lowest, highest]")
    try:
        default = ast.literal_eval(node.value or "no value")
        if options := CHOICES.search(text):
            choices = sorted(ast.literal_eval(options[1]))
            annotation, expected = Literal[*choices], f"{expected}, one of {str(choices)[1:-1]}"
        elif limits := RANGE.search(text):
            low, high = (SCALARS[kind](limit) for limit in limits.groups())
            if low > high:
                raise ValueError("no number lies there")
            annotation = Annotated[annotation, msgspec.Meta(ge=low, le=high)]
            expected += f" in [{low:g}, {high:g}]"
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        raise UsageError(f"parameter {name} needs a literal value and a range: {text}") from None
    items = kind != type_name
    annotation = list[annotation] if items else annotation
    parameter = Parameter(name, kind, items, default, text, annotation, expected)
    parameter.cast(default)
    return parameter


def _in_python(value: Any, kind: str) -> Any:
    """The value with numpy's types made Python's, and texts converted where Python can read them."""
    if isinstance(value, list | tuple):
        return [_in_python(item, kind) for item in value]
    if isinstance(value, str):
        with suppress(ValueError):
            return YES_NO.get(value.lower(), value) if kind == "bool" else SCALARS[kind](value)
    return value.tolist() if hasattr(value, "tolist") else value


def _split_list(text: str) -> list[Any]:
    """A list from ``[3, 4]``, ``3,4`` or ``["a", "b"]``."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return [part.strip() for part in text.strip("[]").split(",") if part.strip()]
    return value if isinstance(value, list) else [value]
