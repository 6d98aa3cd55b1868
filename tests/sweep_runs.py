"""Synthetic runs of a sweep, as a store has them."""

import json

CARD = {
    "processor": "Fast 1", "cores": 2, "memory_mb": 1000.0, "system": "Linux", "python": "3.11.9",
    "compiler": "cc", "torch": "2.0", "numpy": "1.0",
}  # fmt: skip
NB = "41_prune"


def a_record(name="speed", value=1.0, **changes):
    known = {
        "notebook": NB, "name": name, "value": value, "unit": "1/s", "provenance": "measured",
        "claim": None, "lo": None, "hi": None, "verdict": None, "parameters": {}, "seed": 0,
        "profile": "tutorial",
    }  # fmt: skip
    return known | changes


def add(store, number, parameters, records, kind="runs", **changes):
    """A synthetic run; gives its folder."""
    folder = store / kind / f"{number:016x}"
    folder.mkdir(parents=True)
    receipt = {
        "notebook": NB, "fingerprint": folder.name, "profile": "tutorial", "parameters": parameters,
        "time_s": 10.0, "peak_ram_mb": 100.0,
        "started": "2026-11-24T18:00:00+00:00", "machine": CARD, "revision": "abc", "lock": "0" * 16,
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(receipt | changes))
    if kind == "runs":
        (folder / "records.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
        (folder / f"{receipt['notebook']}.ipynb").write_text("{}")
    return folder


def fail(store, number, error, **parameters):
    return add(store, number, parameters, [], "failed", error=error, cell=3)
