"""Which source files of the package a piece of code runs, directly or through another, and their hash.

Three things must notice that code has changed: compiled functions, remembered trainings, and the
committed outputs of a notebook. All three ask here.
"""

import ast
import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def imported(codes: Iterable[str], package: Path = PACKAGE) -> list[Path]:
    """Files of the package that some code imports, directly or not, in order of name."""
    files: set[Path] = set()
    waiting = [path for code in codes for path in _imports(code, package)]
    while waiting:
        path = waiting.pop()
        if path not in files:
            files.add(path)
            waiting.extend(_imports(path.read_bytes(), package))
    return sorted(files)


def digest(*modules: str, package: Path = PACKAGE) -> str:
    """A hash of the source of some modules and of all that they import from the package."""
    total = hashlib.sha256()
    for path in imported((f"import {module}" for module in modules), package):
        total.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    return total.hexdigest()[:16]


@functools.cache
def _imports(code: str | bytes, package: Path) -> list[Path]:
    names = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    paths = []
    for name in names:
        first, *rest = name.split(".")
        if first == package.name and rest:
            stem = package.joinpath(*rest)
            paths += [path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()]
    return paths
