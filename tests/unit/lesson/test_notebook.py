"""What a notebook says to the suite: parameters, numbers, claims, receipts."""

import json
import linecache
import math
from types import SimpleNamespace

import msgspec.yaml
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from notebook_files import write_notebook
from scipy import stats

from greenai_nb.checks import UsageError
from greenai_nb.intervals import Estimate
from greenai_nb.lesson import claims, notebook, project, records
from greenai_nb.machine import INTERACTIVE_VARIABLE


def a_claim(**changes):
    known = {
        "id": "x", "sentence": "s", "source": "ours", "notebook": "n", "metric": "m", "unit": "%",
        "provenance": "measured", "judged_at": ("tutorial",), "at_least": 10, "at_most": 20,
    }  # fmt: skip
    return claims.Claim(**known | changes)


@pytest.mark.parametrize(
    ("values", "profile", "verdict"),
    [
        ([15], "tutorial", "undecided"),
        ([10, 10, 10], "tutorial", "holds"),
        ([9, 9, 9], "tutorial", "fails"),
        ([math.nan] * 3, "tutorial", "fails"),
        (Estimate(15, 11, 19, 5), "tutorial", "holds"),
        (Estimate(15, 11, 19, 5, "the machine was busy"), "tutorial", "undecided"),
        (Estimate(25, 21, 29, 5, "the machine was busy"), "tutorial", "undecided"),
        (Estimate(25, 21, 29, 5), "tutorial", "fails"),
        (Estimate(25, 21, 29, 5, "the machine was busy"), "ci", "recorded"),
        ([14, 15, 16], "tutorial", "holds"),
        ([30, 31, 32], "tutorial", "fails"),
        ([11, 15, 19], "tutorial", "undecided"),
        ([15, 15], "tutorial", "undecided"),
        ([15, 15], "ci", "recorded"),
    ],
)
def test_verdicts(values, profile, verdict):
    assert claims.judge(a_claim(), values, profile).verdict == verdict


@pytest.mark.parametrize(
    ("changes", "values", "said"),
    [
        ({}, 15, "one value per repetition"),
        ({"clock": True}, [14, 15, 16], "about a clock"),
        ({"clock": True}, 15, "about a clock"),
    ],
)
def test_a_measured_claim_needs_an_interval_and_a_clock_a_word_on_the_machine(changes, values, said):
    with pytest.raises(UsageError, match=said):
        claims.judge(a_claim(**changes), values, "ci")
    assert claims.judge(a_claim(provenance="counted"), 15, "tutorial").verdict == "holds"


def test_a_smaller_run_than_the_profile_is_recorded_with_the_reason():
    got = claims.judge(a_claim(), [14, 15, 16], "tutorial", reduced="epochs is 1")
    assert (got.verdict, got.reason) == ("recorded", "epochs is 1")


@pytest.mark.parametrize(("dataset", "verdict"), [("a", "holds"), ("b", "holds"), ("c", "recorded")])
def test_a_claim_about_some_data_sets_is_judged_on_these_alone(dataset, verdict):
    about = a_claim(datasets=["a", "b"])
    got = claims.judge(about, [14, 15, 16], "tutorial", dataset=dataset)
    assert got.verdict == verdict
    assert got.reason == ("it is about a or b, and this is c" if verdict == "recorded" else "")


FAULTY = {
    "judged_at: tutorial": "judged_at: expected array, got str",
    "judged_at: [tutorail]": "'tutorail', which is no profile. Did you mean 'tutorial'",
    "at_least: 1e5": None,
    "at_least: .nan": "at_least: expected float, got str",
    "at_least: 30": "at least 30 and at most 20",
    "unit: m\nunit: s": "'unit' appears twice",
    "provenance: mesured": "no known provenance. Did you mean 'measured'?",
    "equivalence: yes\nat_most: 1": "'at_most' appears twice",
    "judge_at: [ci]": "unknown field judge_at",
    "sentence: [a": "line",
    "sentence:\ta: b": "line",
}


@pytest.mark.parametrize(("line", "said"), FAULTY.items())
def test_a_fault_in_the_claims_is_a_sentence_with_its_line(tmp_path, line, said):
    known = {k: v for k, v in msgspec.to_builtins(a_claim()).items() if v is not None}
    (tmp_path / "notebooks" / "profiles").mkdir(parents=True)
    (tmp_path / "notebooks" / "profiles" / "tutorial.yaml").write_text("{}")
    lines = line.split("\n")
    known = {k: v for k, v in known.items() if k not in (lines[0].partition(":")[0], "at_least")}
    known |= {} if line.startswith("at_least") else {"at_least": 10}
    known["at_most"] = 1e6 if "1e5" in line else 20
    text = msgspec.yaml.encode([known]).decode() + "".join(f"  {each}\n" for each in lines)
    (tmp_path / "claims.yaml").write_text(text)
    if said is None:
        assert claims.load_claims(tmp_path / "claims.yaml")["x"].at_least == 1e5
        return
    with pytest.raises(UsageError) as error:
        claims.load_claims(tmp_path / "claims.yaml")
    assert said in str(error.value)


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=9))
def test_the_interval_is_students(values):
    got = claims.judge(a_claim(), values, "tutorial")
    low, high = stats.t.interval(0.95, len(values) - 1, got.value, max(stats.sem(values), 1e-300))
    assert (got.low, got.high) == pytest.approx((low, high), abs=1e-9)


def test_means_of_unequal_samples_are_compared():
    got = claims.judge(a_claim(), [30, 31, 32], "tutorial", minus=[15, 16, 15, 16])
    assert (got.value, got.count, got.verdict) == (15.5, 3, "holds")


def test_a_claim_says_how_it_was_amended(tmp_path):
    path, known = tmp_path / "claims.yaml", {**msgspec.to_builtins(a_claim())}
    known["amended"] = [{"date": "2026-11-28", "expected": "at least 30 %", "verdict": "fails"}]
    path.write_bytes(msgspec.yaml.encode([known]))
    with pytest.raises(UsageError, match=r"line \d+, 0\.amended\.0: .*missing required field reason"):
        claims.load_claims(path)
    known["amended"][0]["reason"] = "The control differed in two things."
    path.write_bytes(msgspec.yaml.encode([known]))
    assert claims.load_claims(path)["x"].amended[0].verdict == "fails"


def test_an_incomplete_claim_is_named(tmp_path):
    path = tmp_path / "claims.yaml"
    path.write_text("- id: half\n  sentence: only half\n")
    with pytest.raises(UsageError, match=r"claims\.yaml, line 1, 0: .*missing"):
        claims.load_claims(path)


def test_check_returns_frozen_cast_parameters(capsys):
    source = "seed: int = 0  # seed, in [0, 9]\nrates: list[float] = [1.0]  # rates"
    values = notebook.check({"In": ["", "import os", source, "x = 1"], "seed": 3, "rates": [2]})
    assert values.seed == 3 and values.rates == (2.0,)
    with pytest.raises(AttributeError):
        values.seed = 4
    printed = capsys.readouterr().out
    assert "seed  = 3  (default 0)" in printed and "minutes" in printed


@pytest.mark.parametrize(
    ("cells", "values", "said"),
    [
        ([], {}, "no parameters cell"),
        (["seed: int = 0  # seed, in [0, 9]"], {"seed": "x"}, "expected an int"),
        (["seed: int = 0  # seed, in [0, 9]"], {"seed": 10}, r"in \[0, 9\]"),
        (
            ["seed: int = 0  # seed", "# Parameters\nsede = 1"],
            {"seed": 0, "sede": 1},
            "Did you mean 'seed'",
        ),
    ],
)
def test_check_stops_wrong_parameters(cells, values, said):
    with pytest.raises(UsageError, match=said):
        notebook.check({"In": ["", *cells], **values})


def test_of_a_parameters_cell_that_was_edited_and_run_again_the_last_version_counts():
    cells = [f"seed: int = 0  # seed, in [0, {most}]" for most in (9, 99, 9)]
    assert notebook.check({"In": cells[:2], "seed": 10}).seed == 10
    with pytest.raises(UsageError, match=r"in \[0, 9\]"):
        notebook.check({"In": cells, "seed": 10})


def test_without_a_history_the_cells_come_from_the_texts_of_tracebacks(monkeypatch):
    texts = ["import os", "seed: int = 0  # seed, in [0, 9]", "# Parameters\nsede = 1"]
    cells = {f"ipykernel/{n}.py": (len(text), None, [text], "") for n, text in enumerate(texts[:2])}
    monkeypatch.setattr("linecache.cache", {"a.py": (9, 1.0, ["x: int = 0"], "a.py")} | cells)
    assert notebook.check({"In": [""], "seed": 3}).seed == 3
    monkeypatch.setitem(linecache.cache, "ipykernel/2.py", (0, None, [texts[2]], ""))
    with pytest.raises(UsageError, match="Did you mean 'seed'"):
        notebook.check({"In": [""], "seed": 3})


def test_records_and_claims_are_displayed_for_machines_and_people(displayed, monkeypatch):
    monkeypatch.setattr(claims, "load_claims", lambda: {"x": a_claim()})
    monkeypatch.setenv(project.PROFILE_VARIABLE, "tutorial")
    notebook.record("speed", 3.0, "1/s", "measured")
    notebook.claim("x", [14, 15, 16])
    (first, _), (second, _) = displayed
    assert first["text/plain"] == "record speed: 3 1/s (measured)"
    assert first[records.MIME][0]["value"] == 3.0
    assert second["text/plain"].startswith("claim x: holds") and "n = 3" in second["text/plain"]
    assert second[records.MIME][0]["verdict"] == "holds"


def test_unknown_claims_and_provenances_are_refused(displayed, monkeypatch):
    monkeypatch.setattr(claims, "load_claims", lambda: {"right-name": a_claim()})
    with pytest.raises(UsageError, match="Did you mean 'right-name'"):
        notebook.claim("rightname", 1)
    with pytest.raises(UsageError, match="guessed"):
        notebook.record("x", 1, "", "guessed")


def test_a_receipt_never_shows_energy_without_its_provenance(displayed):
    from greenai_nb.energy.meter import Reading

    notebook.receipt(Reading(5.0, 4.0, 6.0, "estimated", "by a model", 2.0, 1.5), proposals=10)
    text = displayed[0][0]["text/plain"]
    assert "4.0 to 6.0 J (estimated: by a model)" in text and "10 proposals (counted)" in text
    energy = [r for r in displayed[0][0][records.MIME] if r["name"] == "energy_j"]
    assert energy[0]["provenance"] == "estimated" and (energy[0]["lo"], energy[0]["hi"]) == (4.0, 6.0)


def test_a_receipt_adds_up_trainings_and_says_what_was_remembered(displayed):
    from greenai_nb.energy.meter import Reading

    def fit(operations, seconds, remembered):
        trace = pd.DataFrame({"operations": [0, operations], "seconds": [0.0, seconds]})
        return SimpleNamespace(trace=trace, remembered=remembered)

    reading = Reading(5.0, 4.0, 6.0, "estimated", "by a model", 2.0, 1.5)
    notebook.receipt(reading, [fit(10, 1.0, False), fit(30, 200.0, True), fit(2, 33.0, True)], moves=7)
    notebook.receipt(reading, [fit(10, 1.0, False)])
    (first, _), (second, _) = displayed
    values = {made["name"]: (made["value"], made["provenance"]) for made in first[records.MIME]}
    assert values["multiply_accumulates"] == (42, "counted") and values["moves"] == (7, "counted")
    assert values["cpu_s"] == (1.5, "measured")
    assert "3, of which 2 were remembered; they took 233 CPU s" in first["text/plain"]
    assert "trainings" not in second["text/plain"]


def test_records_are_read_back_complete(tmp_path):
    output = {"data": {records.MIME: [records.new("a", 1, "s", "measured")]}}
    content = {"cells": [{"outputs": [output]}, {}]}
    (found,) = records.extract(content, "nb", {"seeds": [1, 2]}, "ci")
    assert set(found) == set(records.FIELDS)
    assert (found["notebook"], found["seed"], found["profile"]) == ("nb", [1, 2], "ci")
    (tmp_path / "records.jsonl").write_text(json.dumps(found) + "\n")
    assert records.read(tmp_path) == [found]
    with pytest.raises(UsageError, match="make run"):
        records.read(tmp_path / "absent")


def test_a_number_that_was_not_obtained_is_null_and_said_so():
    """A notebook's outputs are JSON, which has no NaN: Jupyter would turn it into a text."""
    made = records.new("n", math.nan, "s", "measured", claim="c", lo=math.nan, hi=math.inf)
    assert (made["value"], made["lo"], made["hi"]) == (None, None, None)
    json.dumps(made, allow_nan=False)


def test_a_default_that_was_lowered_makes_no_smaller_run_but_a_cell_that_was_edited_does(
    tmp_path, monkeypatch, capsys
):
    write_notebook(tmp_path / "01_x.ipynb", greenai={"parameters": {"epochs": 9}})
    monkeypatch.setattr(notebook, "notebooks", lambda: tmp_path)
    monkeypatch.setenv(project.NOTEBOOK_VARIABLE, "01_x")
    cell = "epochs: int = 3  # passes, in [1, 99]"

    def said(interactive, *more, epochs=3):
        monkeypatch.setenv(INTERACTIVE_VARIABLE, interactive)
        notebook.check({"In": ["", cell, *more], "epochs": epochs})
        return capsys.readouterr().out

    assert "recorded and not judged" not in said("0")
    assert "epochs is 3 where the profile has 9" in said("1")
    assert "epochs is 1 where the profile has 3" in said("0", "# Parameters\nepochs = 1", epochs=1)


def test_what_a_profile_has_for_a_data_set_is_its_full_size(small_project, monkeypatch):
    monkeypatch.setattr(project, "root", lambda: small_project)
    text = "all: {n: 9}\n01_works: {n: 8}\ndatasets: {digits: {01_works: {n: 3}}}\n"
    (small_project / "notebooks/profiles/tutorial.yaml").write_text(text)
    assert project.profile_values("01_works", "digits") == {"n": 3}
    assert project.profile_values("01_works", "mnist") == {"n": 8}
    assert project.profile_values("02_may_fail", "digits") == {"n": 9}
