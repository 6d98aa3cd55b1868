"""Fingerprints: whether a result still belongs to the code that is there now.

A notebook's fingerprint covers its code cells, its effective parameters, the claims that it tests,
the source of every module of the package that it imports, directly or through another, and the tables
that lie beside these. Prose does not count.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from greenai_nb import sources


def code_cells(notebook: Mapping[str, Any]) -> list[str]:
    """Source of the code cells, without what papermill injects."""
    return [
        cell["source"]
        for cell in notebook["cells"]
        if cell["cell_type"] == "code" and "injected-parameters" not in cell["metadata"].get("tags", ())
    ]


def fingerprint(
    notebook: Mapping[str, Any], parameters: Mapping[str, Any], root: Path, others: Iterable[str] = ()
) -> str:
    """A hash of all that a notebook's result depends on; ``others`` are further texts to count in.

    The package is the one in ``root``, or the one that runs where ``root`` holds notebooks alone.
    """
    cells, package = code_cells(notebook), root / sources.PACKAGE.name
    package = package if package.is_dir() else sources.PACKAGE
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode())
    for text in (*cells, *others):
        digest.update(text.encode() + b"\0")
    modules = sources.imported(cells, package)
    tables = {table for path in modules for table in (path.parent / "tables").glob("*.csv")}
    for path in (*modules, *sorted(tables)):
        digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]
