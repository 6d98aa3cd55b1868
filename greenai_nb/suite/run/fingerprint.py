"""Fingerprints: whether a result still belongs to the code that is there now.

A notebook's fingerprint covers its code cells, its effective parameters, the claims that it tests,
the source of every module of the package that it imports, directly or through another, and the tables
that lie beside these. Prose does not count.
"""

import ast
import functools
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import greenai_nb

PACKAGE = greenai_nb.__name__


def code_cells(notebook: Mapping[str, Any]) -> list[str]:
    """Source of the code cells, without what papermill injects."""
    return [
        source(cell)
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
        and "injected-parameters" not in cell.get("metadata", {}).get("tags", ())
    ]


def source(cell: Mapping[str, Any]) -> str:
    """A cell's text; the file format allows a list of lines."""
    text = cell["source"]
    return text if isinstance(text, str) else "".join(text)


def fingerprint(
    notebook: Mapping[str, Any],
    parameters: Mapping[str, Any],
    root: Path,
    others: Iterable[str] = (),
) -> str:
    """A hash of all that a notebook's result depends on; ``others`` are further texts to count in.

    The package is the one in ``root``, or the one that runs where ``root`` holds notebooks alone.
    """
    cells, root = code_cells(notebook), _home_of_package(root)
    digest = hashlib.sha256()
    for text in cells:
        digest.update(text.encode() + b"\0")
    digest.update(json.dumps(parameters, sort_keys=True).encode())
    modules = imported(cells, root)
    tables = {table for path in modules for table in (path.parent / "tables").glob("*.csv")}
    for path in (*modules, *sorted(tables)):
        digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    for text in others:
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()[:16]


def imported(cells: Iterable[str], root: Path) -> list[Path]:
    """Files of the package that some code imports, directly or not, in order of name."""
    found: set[Path] = set()
    waiting = [path for cell in cells for path in _imports(cell, root)]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting.extend(_imports(path.read_text(), root))
    return sorted(found)


def of_text(text: str) -> str:
    """A short hash of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _home_of_package(root: Path) -> Path:
    return root if (root / PACKAGE).is_dir() else Path(greenai_nb.__file__).resolve().parents[1]


@functools.cache
def _imports(text: str, root: Path) -> list[Path]:
    names = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    paths = []
    for name in names:
        if name.split(".")[0] == PACKAGE:
            stem = root.joinpath(*name.split("."))
            paths += [path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()]
    return paths
