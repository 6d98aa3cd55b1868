"""Agreement with the committed results, and the exit code of ``greenai verify``."""

import json
import math
import sys

import pytest
from notebook_files import PARAMETERS, RECORD, write_notebook

from greenai_nb.lesson import project, records
from greenai_nb.suite import cli
from greenai_nb.suite.run import plan, verify


def record(value=1.0, lo=None, hi=None, claim=None, verdict=None, **changes):
    made = records.new("n", value, "s", "measured", claim=claim, lo=lo, hi=hi, verdict=verdict)
    context = {"notebook": "01", "parameters": {"n": 3, "threads": 1}, "profile": "tutorial"}
    return made | context | changes


@pytest.mark.parametrize(
    ("here", "committed", "agrees"),
    [
        (record(1.0), record(1.0 + 1e-12), True),
        (record(1.0), record(1.1), None),
        (record(1.0, 0.8, 1.2), record(1.3, 1.2, 1.4), True),
        (record(1.0, 0.8, 1.2), record(1.5, 1.3, 1.7), False),
        (record(1.0, 1.0, 1.0, "c", "holds"), record(2.0, 2.0, 2.0, "c", "holds"), True),
        (record(1.0, 1.0, 1.0, "c", "fails"), record(2.0, 2.0, 2.0, "c", "holds"), False),
        (record(0.0), record(0.0), True),
    ],
)
def test_records_agree_by_value_interval_or_verdict(here, committed, agrees):
    (found,) = verify.agreements([here], [committed])
    assert found.agrees is agrees


def test_only_what_has_the_same_setting_is_compared():
    other = record(parameters={"n": 4, "threads": 1})
    threads = record(parameters={"n": 3, "threads": 2})
    assert not verify.agreements([record()], [other, record(notebook="02"), record(claim="c")])
    assert len(verify.agreements([record()], [threads])) == 1
    assert not verify.agreements([record(math.nan)], [record()])
    assert not verify.agreements([record()], [record(math.nan)])


def test_a_difference_is_relative_to_the_reference():
    differences = [
        verify.agreements([record(here)], [record(there)])[0].difference
        for here, there in ((1.5, 1.0), (-1.0, -2.0), (0.0, 0.0), (1.0, 0.0))
    ]
    assert differences == [0.5, 0.5, 0.0, math.inf]


@pytest.fixture
def greenai_verify(small_project, monkeypatch, capsys):
    """Call ``greenai verify`` on the small project: exit code and what was printed."""
    monkeypatch.setenv(project.ROOT_VARIABLE, str(small_project))
    monkeypatch.setattr(sys, "argv", ["greenai", "verify"])
    project.root.cache_clear()

    def call():
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        return exit_.value.code or 0, capsys.readouterr().out

    yield call
    project.root.cache_clear()


@pytest.mark.parametrize(("at_least", "code", "said"), [(2, 0, "1 holds"), (9, 1, "1 fails")])
def test_verify_exits_with_1_where_a_claim_fails(greenai_verify, small_project, at_least, code, said):
    claim = {
        "id": "c", "sentence": "s", "source": "ours", "notebook": "01_works", "metric": "n", "unit": "",
        "provenance": "counted", "judged_at": ["tutorial"], "at_least": at_least,
    }  # fmt: skip
    (small_project / "claims.yaml").write_text(json.dumps([claim]))
    out = small_project / "results" / "tutorial"
    out.mkdir(parents=True)
    verdict = "holds" if at_least < 3 else "fails"
    made = record(3.0, 3.0, 3.0, "c", verdict) | {"notebook": "01_works"}
    (out / "records.jsonl").write_text(json.dumps(made) + "\n")
    got, printed = greenai_verify()
    assert got == code and said in printed


def test_the_reference_are_the_records_of_published_notebooks(tmp_path):
    data = {records.MIME: [records.new("n", 3, "", "counted")]}
    shown = RECORD | {"outputs": [{"output_type": "display_data", "data": data, "metadata": {}}]}
    stamp = {"profile": "tutorial", "parameters": {"n": 5}, "time_s": 2.0, "peak_ram_mb": 3.0}
    write_notebook(tmp_path / "01_done.ipynb", PARAMETERS, shown, greenai=stamp)
    write_notebook(tmp_path / "02_never.ipynb", PARAMETERS, shown)
    found = verify.reference(plan.lessons(tmp_path))
    assert [(each["name"], each["value"]) for each in found] == [
        ("n", 3.0),
        ("time_s", 2.0),
        ("peak_ram_mb", 3.0),
    ]
    assert all(
        each["notebook"] == "01_done" and each["parameters"] == {"threads": 1, "n": 5} for each in found
    )


def test_seconds_and_estimated_joules_are_told_and_a_zero_has_a_floor():
    joules = record(9.0, 8.0, 10.0) | {"provenance": "estimated", "unit": "J"}
    more = joules | {"value": 90.0, "lo": 80.0, "hi": 100.0}
    assert verify.agreements([joules], [more])[0].agrees is None
    assert verify.agreements([joules | {"provenance": "measured"}], [more])[0].agrees is None
    (tiny,) = verify.agreements([record(0.0)], [record(4.7e-15)])
    assert tiny.agrees and tiny.difference == 0


@pytest.mark.parametrize(
    ("here", "committed", "reason", "departs", "compared"),
    [
        ("holds", "holds", None, 0, 1),
        ("fails", "fails", None, 0, 1),
        ("fails", "holds", None, 1, 1),
        ("holds", "fails", None, 1, 1),
        ("undecided", "holds", None, 1, 1),
        ("undecided", "holds", "the machine was busy", 0, 0),
        ("recorded", "holds", None, 0, 0),
        ("fails", None, None, 1, 0),
        ("undecided", None, None, 0, 0),
    ],
)
def test_a_verdict_departs_from_the_committed_one(here, committed, reason, departs, compared):
    ours = [record(1.0, 1.0, 1.0, "c", here, reason=reason, parameters={"n": 8})]
    theirs = [record(1.0, 1.0, 1.0, "c", committed)] if committed else []
    theirs += [record(1.0, 1.0, 1.0, "c", "undecided", profile="paper")]
    said, count = verify.departures(ours, theirs)
    assert (len(said), count) == (departs, compared)
    assert all(here in sentence and "c:" in sentence for sentence in said)
