"""The ledger of a run, and the pictures of its page."""

import json
import math

import pandas as pd

from greenai_nb.lesson import claims, records
from greenai_nb.suite.run import paper, report


def test_a_number_that_was_not_obtained_is_said_so():
    made = records.new("n", math.nan, "s", "measured", claim="c", lo=math.nan, hi=math.inf)
    claim = claims.Claim("c", "a", "b", "00", "n", "s", "measured", ("ci",), at_least=0)
    found = pd.DataFrame([made | {"verdict": "fails"}, made | {"claim": None, "value": 1.0}])
    for given_records in ([made | {"verdict": "fails"}], found.to_dict("records")[:1]):
        (row,) = report.ledger({"c": claim}, given_records)
        assert row.obtained == records.NOT_OBTAINED and row.verdict == "fails"


def paper_run(folder, dataset, **judged):
    """The records of a run at paper size with one claim, in a folder of its own."""
    made = records.new("n", 26.1, "%", "measured", claim="c", lo=25.0, hi=27.0, **judged)
    (each,) = records.complete([made], "33", {"dataset": dataset, "seeds": [0]}, "paper")
    folder.mkdir(parents=True)
    (folder / "records.jsonl").write_text(json.dumps(each) + "\n")


def test_what_paper_size_obtained_stands_beside_each_claim(tmp_path, monkeypatch):
    paper_run(tmp_path / "33" / "runs" / "a", "cifar10-jpeg", verdict="holds")
    paper_run(tmp_path / "33" / "runs" / "b", "digits", verdict="recorded")
    assert len([*paper.kept(tmp_path)]) == 2 and not [*paper.kept(tmp_path / "nowhere")]
    monkeypatch.setattr(report, "kept", lambda: paper.kept(tmp_path))
    claim = claims.Claim("c", "a", "b", "33", "n", "%", "measured", ("paper",), at_least=0)
    (row,) = report.ledger({"c": claim}, [])
    said = "26.1 % [25, 27] on cifar10-jpeg, a JPEG copy"
    assert row.paper == ((said, "holds"),) and row.verdict == "not run"
    page = report.ledger_html([row], "{}")
    assert said in page and "At paper size: 1 hold." in page
