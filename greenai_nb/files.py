"""Read a file as a given type, or say what is wrong in it; write a file whole or not at all."""

import json
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import msgspec
import yaml

from greenai_nb.checks import UsageError

Content = TypeVar("Content")

JSON = {".json", ".jsonl", ".ipynb"}  # all others are YAML
INT, FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
STEP = re.compile(r"\.(\w+)|\[(\d+)\]")  # of the path in one of msgspec's errors
MAX_DEPTH = 50  # of nested lists and dicts; the C parser of YAML has no limit but its stack


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML that refuses repeated names, with the numbers of version 1.2: 1e5 is one, 1:30 is not."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        names = [key.value for key, _ in node.value]
        for place, (key, _) in enumerate(node.value):
            if key.value in names[:place]:
                twice = f"the name {key.value!r} appears twice"
                raise yaml.constructor.ConstructorError(None, None, twice, key.start_mark)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in forms if tag not in (INT, FLOAT)]
    for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(INT, re.compile(r"[-+]?(0|[1-9][0-9_]*)$"), [*"-+0123456789"])
DECIMAL = r"[-+]?(?=.*[.eE])(\.[0-9]+|[0-9][0-9_]*(\.[0-9]*)?)([eE][-+]?[0-9]+)?$"
_Loader.add_implicit_resolver(FLOAT, re.compile(DECIMAL), [*"-+.0123456789"])


def read_as(path: Path, kind: type[Content], content: bytes | None = None) -> Content:
    """A JSON or YAML file as ``kind``: one of msgspec's types, or a list or a dict of one.

    ``content`` is what the file holds, if that is known. Raises ``UsageError`` with the file, the line
    if it is known, and what is wrong there: the encoding, the syntax, a repeated or unknown name, or a
    type.
    """
    try:
        text = (path.read_bytes() if content is None else content).decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not text in UTF-8: save it as such, or restore it.") from error
    try:
        if path.suffix in JSON:
            parsed = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
        else:
            _refuse_tangles(text)
            parsed = yaml.load(text, Loader=_Loader)
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}, line {error.lineno}, is not JSON: {error.msg}.") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise UsageError(f"{path}, line {line}, is not YAML as expected: {error.problem}.") from None
    except (ValueError, TypeError, AttributeError, yaml.YAMLError, RecursionError) as error:
        raise UsageError(f"{path} cannot be read: {' '.join(str(error).split())}.") from None
    return _checked(parsed, kind, path, text, [])


def _checked(value: Any, kind: Any, path: Path, text: str, above: list[str]) -> Any:
    """Convert the value to its kind, item by item, so that an error can name the item."""
    items = get_args(kind)
    if get_origin(kind) is dict and isinstance(value, dict):
        return {k: _checked(each, items[1], path, text, [*above, str(k)]) for k, each in value.items()}
    if get_origin(kind) is list and isinstance(value, list):
        return [_checked(each, items[0], path, text, [*above, str(i)]) for i, each in enumerate(value)]
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        wrong, _, inside = str(error).partition(" - at ")
        steps = [*above, *(name or index for name, index in STEP.findall(inside))]
        where = [f"line {line}" for line in _lines(text, steps)][-1:] + [".".join(steps)] * bool(steps)
        what = wrong[:1].lower() + wrong[1:].replace("`", "")
        raise UsageError(f"{', '.join([str(path), *where])}: {what}.") from None


def _lines(text: str, steps: Sequence[str]) -> list[int]:
    """The lines of the names and items that lead to a value, as far as they can be followed."""
    lines = list[int]()
    with suppress(yaml.YAMLError, ValueError, IndexError, StopIteration):
        _refuse_tangles(text)
        node: Any = yaml.compose(text, Loader=_Loader)
        for step in steps:
            if isinstance(node, yaml.MappingNode):
                at, node = next(pair for pair in node.value if pair[0].value == step)
            else:
                at = node = node.value[int(step)]
            lines.append(at.start_mark.line + 1)
    return lines


def _refuse_tangles(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise ValueError(f"it is nested deeper than {MAX_DEPTH} lists and names")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "tag", None):
            raise ValueError("it has an alias (*) or a tag (!): write the value out")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"the name {min(twice)!r} appears twice")
    return dict(pairs)


def _no_number(constant: str) -> None:
    raise ValueError(f"{constant} is not a number in JSON")


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a temporary file beside ``path`` and rename it, which replaces the old file at once.

    Folders are made as needed, and the content is on disk before the rename. Raises ``OSError`` if that
    is refused, and leaves nothing behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
