"""Find the source files of the package that a piece of code imports, directly or not, and hash them.

Three things must notice that code has changed: compiled functions, remembered trainings, and the
committed outputs of a notebook. All three ask here.
"""

import ast
import functools
import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
CELL_MAGIC = re.compile(r"\A\s*%%.*\n?")


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
    for node in ast.walk(_parsed(code)):
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


def _parsed(code: str | bytes) -> ast.AST:
    """Code as a syntax tree, also of a cell with magics; an empty tree if it is not Python."""
    try:
        return ast.parse(code)
    except (SyntaxError, ValueError):
        from IPython.core.inputtransformer2 import TransformerManager

        text = code if isinstance(code, str) else code.decode(errors="replace")
        try:
            return ast.parse(TransformerManager().transform_cell(CELL_MAGIC.sub("", text)))
        except (SyntaxError, ValueError):
            return ast.Module([], [])


def contents(path: Path) -> str:
    """A hash of a file, or of all in a folder, read again only when a size or a time changes."""
    files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
    seen = ((each, each.stat()) for each in files if each.is_file())
    return _digest(path, tuple((each, stat.st_size, stat.st_mtime_ns) for each, stat in seen))


@functools.lru_cache(maxsize=64)
def _digest(path: Path, files: tuple[tuple[Path, int, int], ...]) -> str:
    total = hashlib.sha256()
    for file, size, _ in files:
        total.update(f"{file.relative_to(path).as_posix()} {size} ".encode() + file.read_bytes())
    return total.hexdigest()[:16]
