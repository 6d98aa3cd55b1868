"""Runs of a sweep as one table: a row for each record, with its setting and its machine."""

import json
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd

from greenai_nb.checks import UsageError
from greenai_nb.files import write_atomic
from greenai_nb.lesson.records import RECORDS, Record
from greenai_nb.suite.run.plan import THREADS
from greenai_nb.suite.sweep.store import FAILED, RECEIPT, RUNS, Receipt, Store

Stores = Path | str | Sequence[Path | str]
PARAMETER = "p."
HARDWARE = {"processor", "cores", "memory_mb", "system", "compiler"}
OF_RECORD = ("value", "unit", "provenance", "claim", "lo", "hi", "verdict", "seed", "reason")
OF_RUN = ("profile", "versions", "processor", "threads", "revision", "lock", "time_s", "peak_ram_mb")
NUMBERS = ("value", "lo", "hi", "time_s", "peak_ram_mb")
TEXTS = ("metric", "unit", "provenance", "claim", "verdict", "reason", "processor", "revision", "lock")


def collect(stores: Stores) -> pd.DataFrame:
    """The records of all finished runs of one or more stores, each run once.

    Parameters have columns of their own, ``p.<name>``; a list of one item becomes that item, a
    longer one JSON. Warns of runs that cannot be read and skips them. Raises ``UsageError`` for a store
    without runs.
    """
    rows = [row for run in _read(stores, RUNS) for row in _rows(*run)]
    parameters = dict.fromkeys(name for row in rows for name in row if name.startswith(PARAMETER))
    columns = ["run", "notebook", *parameters, "metric", *OF_RECORD, *OF_RUN, "started"]
    types: dict[Any, Any] = dict.fromkeys(NUMBERS, float) | dict.fromkeys(TEXTS, "str")
    return pd.DataFrame(rows, columns=columns).astype(types)


def failures(stores: Stores) -> list[Receipt]:
    """The receipts of the runs that failed, by fingerprint; warns of each that cannot be read."""
    receipts = (receipt for receipt, _ in _read(stores, FAILED))
    return sorted(receipts, key=lambda receipt: receipt.fingerprint)


def write(stores: Stores, path: Path) -> None:
    """Collect the runs of stores into a ``.csv`` file.

    Raises ``UsageError`` for another suffix, before any work, and if the file cannot be written.
    """
    if path.suffix != ".csv":
        raise UsageError(f"cannot write {path.name}: expected a name that ends in .csv")
    try:
        write_atomic(path, collect(stores).to_csv(index=False))
    except OSError as error:
        raise UsageError(f"cannot write {path} ({error.strerror or error})") from error


def _read(stores: Stores, kind: str) -> Iterator[tuple[Receipt, list[Record]]]:
    """The receipt and the records of each run, once; a run that failed has no records."""
    decode, seen = msgspec.json.Decoder(Record).decode_lines, set[str]()
    for store in [stores] if isinstance(stores, str | Path) else stores:
        with Store(str(store)).as_folder() as root:
            folders = sorted(path.parent for path in root.glob(f"{kind}/*/{RECEIPT}"))
            if kind == RUNS and not folders:
                raise UsageError(f"no runs in {store}; greenai sweep makes them")
            for folder in folders:
                if folder.name in seen:
                    continue
                try:
                    receipt = msgspec.json.decode((folder / RECEIPT).read_bytes(), type=Receipt)
                    records = decode((folder / RECORDS).read_bytes()) if kind == RUNS else []
                    if kind == RUNS and not records:
                        raise ValueError(f"{RECORDS} is empty")
                except (OSError, ValueError, msgspec.MsgspecError) as error:
                    warnings.warn(f"left out {folder}: {error}", stacklevel=3)
                else:
                    seen.add(folder.name)
                    yield receipt, records


def _rows(receipt: Receipt, records: Sequence[Record]) -> list[dict[str, Any]]:
    """A row for each record of a run, with what is the same for all of them."""
    versions = {name: value for name, value in receipt.machine.items() if name not in HARDWARE}
    run = msgspec.structs.asdict(receipt) | {
        **{PARAMETER + name: _cell(value) for name, value in receipt.parameters.items()},
        "run": receipt.fingerprint,
        "processor": receipt.machine.get("processor"),
        "versions": json.dumps(versions),
        "threads": receipt.parameters.get(THREADS),
    }
    return [
        {**run, "metric": record.name, **{field: _cell(getattr(record, field)) for field in OF_RECORD}}
        for record in records
    ]


def _cell(value: Any) -> Any:
    """A value for one cell of a table."""
    if isinstance(value, list) and len(value) == 1:
        (value,) = value
    return json.dumps(value) if isinstance(value, list | dict) else value
