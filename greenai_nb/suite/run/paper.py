"""Results at paper size, which take hours and are kept with the project: a sweep of each notebook."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from greenai_nb.lesson import records
from greenai_nb.lesson.claims import RECORDED, load_claims
from greenai_nb.lesson.project import root

RUNS, JPEG = "runs", "cifar10-jpeg"


def kept(folder: Path | None = None) -> Iterator[dict[str, Any]]:
    """The records of the sweeps in a folder, by default ``results/paper``; none where it is missing."""
    for path in sorted((folder or root() / "results" / "paper").glob(f"*/{RUNS}/*/{records.RECORDS}")):
        yield from records.read(path.parent)


def obtained(record: Mapping[str, Any]) -> str:
    """What a kept record shows for its claim, with the data set that it was obtained on."""
    dataset = record["parameters"].get("dataset", "")
    data = f" on {dataset}" + ", a JPEG copy" * (dataset == JPEG) if dataset else ""
    return records.amount(record) + data


def table(notebook: str) -> pd.DataFrame:
    """The claims of a notebook as they came out at paper size: expected, obtained and verdict."""
    rows, columns = [], ["claim", "expected", "obtained", "verdict"]
    for record in kept():
        claim = load_claims().get(record["claim"] or "")
        if claim and claim.notebook == notebook and record["verdict"] != RECORDED:
            rows.append((claim.sentence, claim.expected, obtained(record), record["verdict"]))
    return pd.DataFrame(rows, columns=columns)
