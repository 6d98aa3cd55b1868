import json
import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from notebook_files import PARAMETERS, RECORD, cell, write_notebook
from scipy import stats

from greenai_nb.checks import UsageError
from greenai_nb.lesson import claims, notebook, project, records
from greenai_nb.suite.run import plan, report
from greenai_nb.suite.run.fingerprint import fingerprint, imported

NO_PROFILE: dict = {}


def a_claim(**changes):
    known = {
        "id": "x", "sentence": "s", "source": "ours", "notebook": "n", "metric": "m", "unit": "%",
        "provenance": "measured", "judged_at": ("tutorial",), "at_least": 10, "at_most": 20,
    }  # fmt: skip
    return claims.Claim(**known | changes)


@pytest.mark.parametrize(
    ("values", "profile", "verdict"),
    [
        ([15], "tutorial", "holds"),
        ([10], "tutorial", "holds"),
        ([9], "tutorial", "fails"),
        ([math.nan], "tutorial", "fails"),
        ([14, 15, 16], "tutorial", "holds"),
        ([30, 31, 32], "tutorial", "fails"),
        ([11, 15, 19], "tutorial", "undecided"),
        ([15, 15], "tutorial", "undecided"),
        ([15, 15], "ci", "recorded"),
    ],
)
def test_verdicts(values, profile, verdict):
    assert claims.judge(a_claim(), values, profile).verdict == verdict


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=9))
def test_the_interval_is_students(values):
    got = claims.judge(a_claim(), values, "tutorial")
    low, high = stats.t.interval(0.95, len(values) - 1, got.value, max(stats.sem(values), 1e-300))
    assert (got.low, got.high) == pytest.approx((low, high), abs=1e-9)


def test_an_incomplete_claim_is_named(tmp_path):
    path = tmp_path / "claims.yaml"
    path.write_text("- id: half\n  sentence: only half\n")
    with pytest.raises(UsageError, match=r"claim half in claims\.yaml: missing"):
        claims.load_claims(path)


def test_every_claim_is_tested_by_its_notebook_and_no_other():
    tested = {
        (name, claim_id)
        for name, lesson in plan.lessons(project.notebooks()).items()
        for claim_id in _claims_called(lesson)
    }
    assert tested == {(claim.notebook, claim.id) for claim in claims.load_claims().values()}


def _claims_called(lesson):
    import ast

    from greenai_nb.suite.run.fingerprint import code_cells

    for text in code_cells(lesson.content):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "claim":
                yield node.args[0].value


def test_check_returns_frozen_cast_parameters(capsys, monkeypatch):
    source = "seed: int = 0  # seed, in [0, 9]\nrates: list[float] = [1.0]  # rates"
    monkeypatch.setattr(notebook, "CELLS", ["import os", source, "x = 1"])
    values = notebook.check({"seed": 3, "rates": [2]})
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
def test_check_stops_wrong_parameters(cells, values, said, monkeypatch):
    monkeypatch.setattr(notebook, "CELLS", cells)
    with pytest.raises(UsageError, match=said):
        notebook.check(values)


def test_askedand_claims_are_displayed_for_machines_and_people(displayed, monkeypatch):
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


def test_askedare_read_back_complete(tmp_path):
    output = {"data": {records.MIME: [records.entry("a", 1, "s", "measured")]}}
    content = {"cells": [{"outputs": [output]}, {}]}
    (found,) = records.extract(content, "nb", {"seeds": [1, 2]}, "ci")
    assert set(found) == set(records.FIELDS)
    assert (found["notebook"], found["seed"], found["profile"]) == ("nb", [1, 2], "ci")
    (tmp_path / "records.jsonl").write_text(json.dumps(found) + "\n")
    assert records.collect(tmp_path).value.tolist() == [1.0]
    with pytest.raises(UsageError, match="make run"):
        records.collect(tmp_path / "absent")


def test_the_fingerprint_sees_code_parameters_every_imported_module_and_its_tables(tmp_path):
    package = tmp_path / "greenai_nb"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text("from greenai_nb import b\n")
    (package / "b.py").write_text("x = 1\n")
    (package / "c.py").write_text("y = 1\n")
    content = {"cells": [cell("from greenai_nb.a import something"), cell("prose", "markdown")]}

    def mark(parameters=NO_PROFILE, others=()):
        return fingerprint(content, parameters, tmp_path, others)

    assert [path.name for path in imported(["import greenai_nb.a"], tmp_path)] == [
        "__init__.py",
        "a.py",
        "b.py",
    ]
    first = mark()
    (package / "c.py").write_text("y = 2\n")
    content["cells"][1]["source"] = "other prose"
    assert mark() == first
    assert mark({"n": 1}) != first and mark(others=["lock"]) != first
    (package / "b.py").write_text("x = 2\n")
    assert mark() != first
    second = mark()
    (package / "tables").mkdir()
    (package / "tables" / "t.csv").write_text("z\n1\n")
    third = mark()
    assert third != second
    (package / "tables" / "t.csv").write_text("z\n2\n")
    assert mark() != third
    content["cells"][0]["source"] += "\n1"
    assert mark() != third


def test_where_there_are_notebooks_alone_the_package_that_runs_counts(tmp_path):
    content = {"cells": [cell("from greenai_nb.suite import errors")]}
    here = fingerprint(content, NO_PROFILE, project.root())
    assert fingerprint(content, NO_PROFILE, tmp_path) == here
    (tmp_path / "greenai_nb").mkdir()
    assert fingerprint(content, NO_PROFILE, tmp_path) != here


def test_profiles_and_overrides_are_laid_over_the_defaults(small_project):
    walk = plan.lessons(small_project / "notebooks")
    settings = plan.read_profile(small_project / "notebooks", "ci", walk)
    jobs = plan.make(walk, settings, {"threads": "2"}, 5, small_project, small_project / "out")
    values = {job.name: dict(job.parameters) for job in jobs}
    assert values["01_works"] == {"threads": 2, "n": 3} and values["02_may_fail"]["n"] == 4
    assert [job.name for job in jobs][-1] == "90_reads"
    assert jobs[0].injected.keys() <= {"threads", "n"}


@pytest.mark.parametrize(
    ("overrides", "profile", "names", "said"),
    [
        ({"nn": "1"}, "ci", [], "Did you mean 'n'"),
        ({"n": "x"}, "ci", [], "expected an int"),
        ({"n": "10"}, "ci", [], r"in \[0, 9\]"),
        ({"threads": "0"}, "ci", [], r"in \[1, 64\]"),
        ({}, "tutoril", [], "Did you mean 'tutorial'"),
        ({}, "ci", ["01_work"], "Did you mean '01_works'"),
    ],
)
def test_what_cannot_be_planned_is_said_before_anything_runs(
    small_project, overrides, profile, names, said
):
    walk = plan.lessons(small_project / "notebooks")
    with pytest.raises(UsageError, match=said):
        settings = plan.read_profile(small_project / "notebooks", profile, walk)
        plan.make(plan.select(walk, names), settings, overrides, 1, small_project, small_project / "out")


def test_a_profile_that_names_no_notebook_is_refused(small_project):
    (small_project / "notebooks" / "profiles" / "ci.yaml").write_text("01_work: {n: 1}\n")
    walk = plan.lessons(small_project / "notebooks")
    with pytest.raises(UsageError, match="Did you mean '01_works'"):
        plan.read_profile(small_project / "notebooks", "ci", walk)


def test_notebooks_are_found_by_number(small_project):
    walk = plan.lessons(small_project / "notebooks")
    assert list(plan.select(walk, ["02"])) == ["02_may_fail"]


def test_a_notebook_without_one_parameters_cell_is_refused(tmp_path):
    path = write_notebook(tmp_path / "03_none.ipynb", RECORD)
    with pytest.raises(UsageError, match="0 cells tagged parameters"):
        plan.read_lesson(path)
    path = write_notebook(tmp_path / "04_two.ipynb", PARAMETERS, PARAMETERS)
    with pytest.raises(UsageError, match="2 cells tagged parameters"):
        plan.read_lesson(path)


def test_a_number_that_was_not_obtained_is_null_and_said_so():
    """A notebook's outputs are JSON, which has no NaN: Jupyter would turn it into a text."""
    made = records.entry("n", math.nan, "s", "measured", claim="c", lo=math.nan, hi=math.inf)
    assert (made["value"], made["lo"], made["hi"]) == (None, None, None)
    json.dumps(made, allow_nan=False)
    claim = claims.Claim("c", "a", "b", "00", "n", "s", "measured", ("ci",), at_least=0)
    found = pd.DataFrame([made | {"verdict": "fails"}, made | {"claim": None, "value": 1.0}])
    for given_records in ([made | {"verdict": "fails"}], found.to_dict("records")[:1]):
        (row,) = report.ledger({"c": claim}, given_records)
        assert row.obtained == report.NOT_OBTAINED and row.verdict == "fails"
