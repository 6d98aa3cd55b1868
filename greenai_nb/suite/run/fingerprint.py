"""Fingerprints, which tell whether a result still belongs to the current code.

A notebook's fingerprint covers its code cells, its effective parameters, the claims that it tests,
the source of every module of the package that it imports, directly or through another, the data in
folders beside these modules, and the modules that it imports from the folder in which it runs. Its
prose does not count.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from greenai_nb import sources

IMPORTED = re.compile(r"^\s*(?:import|from)\s+(\w+)", re.MULTILINE)


def code_cells(notebook: Mapping[str, Any]) -> list[str]:
    """Source of the code cells, without what papermill injects."""
    return [
        cell["source"]
        for cell in notebook["cells"]
        if cell["cell_type"] == "code" and "injected-parameters" not in cell["metadata"].get("tags", ())
    ]


def unused(notebook: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Which parameters no code cell reads, so that changing them changes nothing."""
    code = "\n".join(code_cells(notebook))
    return [name for name in names if len(re.findall(rf"\b{name}\b", code)) == 1]


def fingerprint(
    notebook: Mapping[str, Any], parameters: Mapping[str, Any], root: Path, others: Iterable[str] = ()
) -> str:
    """A hash of all that a notebook's result depends on; ``others`` are further texts to include.

    The package is the one in ``root``, or the one that is running if ``root`` holds only notebooks.
    """
    cells, package = code_cells(notebook), root / sources.PACKAGE.name
    package = package if package.is_dir() else sources.PACKAGE
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode())
    for text in (*cells, *others):
        digest.update(text.encode() + b"\0")
    modules = sources.imported(cells, package)
    for path in modules:
        digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    beside = {folder for path in modules for folder in path.parent.glob("[a-z]*/")}
    for folder in sorted(folder for folder in beside if folder.is_dir() and not [*folder.glob("*.py")]):
        digest.update(sources.contents(folder).encode())
    for name in sorted({name for cell in cells for name in IMPORTED.findall(cell)}):
        for local in (Path(f"{name}.py"), Path(name)):
            if name != package.name and local.exists():
                digest.update(sources.contents(local.resolve()).encode())
    return digest.hexdigest()[:16]
