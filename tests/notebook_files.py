"""Small notebook files for the tests of what runs them."""

import json
from pathlib import Path


def cell(source: str, kind: str = "code", tags: tuple[str, ...] = ()) -> dict:
    """A notebook cell."""
    made = {"cell_type": kind, "id": f"c{abs(hash(source)) % 10**8}", "source": source}
    made["metadata"] = {"tags": list(tags)} if tags else {}
    if kind == "code":
        made |= {"execution_count": None, "outputs": []}
    return made


def write_notebook(path: Path, *cells: dict, **metadata: object) -> Path:
    """A notebook file with a title and the given cells."""
    metadata |= {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    content = {"cells": [cell(f"# {path.stem}", "markdown"), *cells], "metadata": metadata}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content | {"nbformat": 4, "nbformat_minor": 5}))
    return path


PARAMETERS = cell(
    "threads: int = 1  # threads, in [1, 64]\nn: int = 3  # a number, in [0, 9]", tags=("parameters",)
)
RECORD = cell(
    "from greenai_nb.lesson.notebook import check, record\n"
    "P = check(globals())\nrecord('n', P.n, '', 'counted')"
)
