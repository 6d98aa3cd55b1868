"""Runs of a sweep as one table: a row a record, with the setting and the machine it came from."""

import json
import os
import warnings
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from greenai_nb.checks import UsageError
from greenai_nb.lesson import records
from greenai_nb.suite.run.kernel import FAILED
from greenai_nb.suite.run.plan import THREADS
from greenai_nb.suite.sweep.store import RECEIPT, RUNS, as_folder

if TYPE_CHECKING:
    import pandas as pd

Stores = Path | str | Sequence[Path | str]
PARAMETER = "p."
ALWAYS = {"notebook", "fingerprint", "profile", "parameters", "origin", "started", "machine"}
ALWAYS |= {"revision", "lock"}
COSTS = {"time_s", "peak_ram_mb"}
HARDWARE = {"processor", "cores", "memory_mb", "system", "compiler"}
TEXTS = {name: name for name in ("unit", "provenance", "claim", "verdict")} | {"metric": "name"}
OPTIONAL = (int, float, type(None))
NUMBERS = {"value": OPTIONAL, "lo": OPTIONAL, "hi": OPTIONAL}
OF_RUN = ("profile", "versions", "processor", "threads", "revision", "lock", "time_s", "peak_ram_mb")
OF_RECORD = ("metric", "value", "unit", "provenance", "claim", "lo", "hi", "verdict", "seed")


def collect(store: Stores) -> "pd.DataFrame":
    """The records of all finished runs of one or more stores, each run once.

    Parameters have columns of their own, ``p.<name>``; a list of one is its element, a longer one its
    JSON. Warns of each run that cannot be read and leaves it out. Raises ``UsageError`` for a store
    without runs.
    """
    import pandas as pd

    runs: dict[str, dict[str, Any]] = {}
    columns: dict[str, list[Any]] = {field: [] for field in (*NUMBERS, *TEXTS.values(), "seed")}
    counts = []
    for folder in _folders(store, RUNS):
        if folder.name in runs:
            continue
        try:
            run = _receipt(folder, ALWAYS | COSTS)
            found = _records(folder)
        except (OSError, ValueError) as error:
            warnings.warn(f"left out {folder}: {error}", stacklevel=2)
            continue
        runs[folder.name] = run
        counts.append(len(found))
        for field, values in columns.items():
            values += [record[field] for record in found]
    per_run = _of_runs(list(runs.values()))
    table = per_run.iloc[np.repeat(np.arange(len(runs)), counts)].reset_index(drop=True)
    own = {field: pd.Series(columns[field], dtype=float) for field in NUMBERS}
    own |= {name: pd.Series(columns[field], dtype="str") for name, field in TEXTS.items()}
    own["seed"] = pd.Series([_plain(seed) for seed in columns["seed"]])
    table = pd.concat([table, pd.DataFrame(own)], axis=1)
    parameters = [name for name in per_run if str(name).startswith(PARAMETER)]
    return table[["run", "notebook", *parameters, *OF_RECORD, *OF_RUN, "started"]]


def failures(store: Stores) -> list[dict[str, Any]]:
    """What is known of the runs that failed, by fingerprint; warns of each that cannot be read."""
    found: dict[str, dict[str, Any]] = {}
    for folder in _folders(store, FAILED):
        try:
            found.setdefault(folder.name, _receipt(folder, ALWAYS | {"error", "cell"}))
        except (OSError, ValueError) as error:
            warnings.warn(f"left out {folder}: {error}", stacklevel=2)
    return [found[fingerprint] for fingerprint in sorted(found)]


def write(frame: "pd.DataFrame", path: Path) -> None:
    """Write a table as ``.parquet`` or ``.csv``, beside its place first.

    A Parquet column has one type, so one of numbers and texts is written as texts. Raises ``UsageError``
    for another suffix, and where the place is refused.
    """
    import fastparquet
    import pandas as pd

    if path.suffix not in (".parquet", ".csv"):
        raise UsageError(f"cannot write {path.name}: expected a name that ends in .parquet or .csv")
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.suffix == ".csv":
            frame.to_csv(partial, index=False)
        else:
            kinds = {str(name): pd.api.types.infer_dtype(frame[name]) for name in frame}
            mixed = [name for name, kind in kinds.items() if kind.startswith("mixed")]
            texts = {name: frame[name].astype("str") for name in mixed}
            fastparquet.write(str(partial), frame.assign(**texts))
        partial.replace(path)
    except OSError as error:
        raise UsageError(f"cannot write {path} ({error.strerror or error})") from error
    finally:
        partial.unlink(missing_ok=True)


def _folders(store: Stores, kind: str) -> Iterator[Path]:
    """The folders of a kind that have their receipt, store by store."""
    for each in [store] if isinstance(store, str | Path) else store:
        with as_folder(each) as place:
            folders = sorted(path.parent for path in place.glob(f"{kind}/*/{RECEIPT}"))
            if kind == RUNS and not folders:
                raise UsageError(f"no runs in {each}; greenai sweep makes them")
            yield from folders


def _receipt(folder: Path, keys: Collection[str]) -> dict[str, Any]:
    """A run's receipt. Raises ``ValueError`` where it is not whole."""
    (receipt,) = _objects((folder / RECEIPT).read_text(), RECEIPT, keys)
    if receipt["fingerprint"] != folder.name:
        raise ValueError(f"{RECEIPT} is of another run, {receipt['fingerprint']}")
    for key in ("parameters", "machine"):
        if not isinstance(receipt[key], dict):
            raise ValueError(f"{key} in {RECEIPT} is no object")
    for key in COSTS & set(keys):
        if not isinstance(receipt[key], int | float):
            raise ValueError(f"{key} is {receipt[key]!r}, no number")
    return receipt


def _records(folder: Path) -> list[dict[str, Any]]:
    """A run's records. Raises ``ValueError`` where they are not whole."""
    name = "records.jsonl"
    found = _objects(",".join((folder / name).read_text().splitlines()), name, records.FIELDS)
    for key, kinds in NUMBERS.items():
        if wrong := [record[key] for record in found if not isinstance(record[key], kinds)]:
            raise ValueError(f"{key} is {wrong[0]!r}, no number")
    return found


def _objects(text: str, name: str, keys: Collection[str]) -> list[dict[str, Any]]:
    """JSON objects that stand in a text with commas between; at once, which is faster than each."""
    try:
        found: list[Any] = json.loads(f"[{text}]")
    except ValueError as error:
        raise ValueError(f"{name} is no JSON ({error})") from error
    if not found:
        raise ValueError(f"{name} is empty")
    needed = set(keys)
    for each in found:
        if not isinstance(each, dict):
            raise ValueError(f"{name} holds something else than objects")
        if missing := needed - each.keys():
            raise ValueError(f"{name} lacks {', '.join(sorted(missing))}")
    return found


def _of_runs(runs: Sequence[dict[str, Any]]) -> "pd.DataFrame":
    """A row a run: what is the same for all its records."""
    import pandas as pd

    columns: dict[str, Any] = {"run": [run["fingerprint"] for run in runs]}
    columns |= {name: [run[name] for run in runs] for name in ("notebook", "profile", "started")}
    columns |= {
        name: pd.Series([run[name] for run in runs], dtype="str") for name in ("revision", "lock")
    }
    columns |= {name: [float(run[name]) for run in runs] for name in COSTS}
    cards = [run["machine"] for run in runs]
    columns["processor"] = pd.Series([card.get("processor") for card in cards], dtype="str")
    columns["versions"] = [json.dumps({k: v for k, v in c.items() if k not in HARDWARE}) for c in cards]
    columns["threads"] = [run["parameters"].get(THREADS) for run in runs]
    for name in dict.fromkeys(name for run in runs for name in run["parameters"]):
        columns[PARAMETER + name] = [_plain(run["parameters"].get(name)) for run in runs]
    return pd.DataFrame(columns)


def _plain(value: Any) -> Any:
    """A value for one cell of a table."""
    if isinstance(value, list) and len(value) == 1:
        (value,) = value
    return json.dumps(value) if isinstance(value, list | dict) else value
