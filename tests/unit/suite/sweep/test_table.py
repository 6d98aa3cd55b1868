import csv
import json
import warnings

import pandas as pd
import pytest
from sweep_runs import a_record, add, fail

from greenai_nb.checks import UsageError
from greenai_nb.suite.sweep import report, table
from greenai_nb.suite.sweep.store import Store


def test_a_table_has_a_row_a_record_and_a_column_a_parameter(tmp_path):
    parameters = {"threads": 2, "rate": 0.5, "seeds": [7], "sizes": [1, 2], "extra": "a"}
    own = a_record("accuracy", 90.0, claim="c", lo=88.0, hi=92.0, verdict="holds", seed=[7], unit="%")
    add(tmp_path, 1, parameters, [a_record(value=3), own])
    add(tmp_path, 2, {"threads": 1, "rate": 1}, [a_record(value=4.0, provenance="estimated")])
    frame = table.collect(tmp_path)
    assert list(frame) == [
        "run", "notebook", "p.threads", "p.rate", "p.seeds", "p.sizes", "p.extra", "metric", "value",
        "unit", "provenance", "claim", "lo", "hi", "verdict", "seed", "reason", "profile", "versions",
        "processor", "threads", "revision", "lock", "time_s", "peak_ram_mb", "started",
    ]  # fmt: skip
    assert frame["run"].tolist() == [f"{1:016x}"] * 2 + [f"{2:016x}"]
    assert frame["metric"].tolist() == ["speed", "accuracy", "speed"]
    assert frame["value"].tolist() == [3.0, 90.0, 4.0]
    assert frame["p.rate"].tolist() == [0.5, 0.5, 1.0] and frame["threads"].tolist() == [2, 2, 1]
    assert frame["p.seeds"].tolist()[:2] == [7, 7] and pd.isna(frame["p.seeds"][2])
    assert frame["p.sizes"].tolist()[:2] == ["[1, 2]", "[1, 2]"]
    assert frame["provenance"].tolist() == ["measured", "measured", "estimated"]
    second = frame.iloc[1]
    assert (second["claim"], second["lo"], second["hi"], second["seed"]) == ("c", 88.0, 92.0, 7)
    assert json.loads(second["versions"]) == {"python": "3.11.9", "torch": "2.0", "numpy": "1.0"}
    assert (second["processor"], second["time_s"]) == ("Fast 1", 10.0)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("run.json", '{"notebook": "41'),
        ("run.json", ""),
        ("run.json", "[]"),
        ("run.json", b"\xff\xfe\x00"),
        ("run.json", '{"notebook": "41_prune"}'),
        ("records.jsonl", None),
        ("records.jsonl", ""),
        ("records.jsonl", json.dumps(a_record()) + '\n{"notebook": "4'),
        ("records.jsonl", '{"name": "speed"}\n'),
        ("records.jsonl", json.dumps(a_record(value="nan"))),
    ],
)
def test_a_damaged_run_is_left_out_with_one_warning(tmp_path, name, content):
    add(tmp_path, 1, {"n": 1}, [a_record(value=5.0)])
    path = add(tmp_path, 2, {"n": 2}, [a_record(), a_record("time_s")]) / name
    path.unlink()
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.warns(UserWarning, match=f"{2:016x}") as caught:
        frame = table.collect(tmp_path)
    assert len(caught) == 1
    assert frame["value"].tolist() == [5.0]


def test_what_is_unfinished_is_not_counted_and_no_runs_is_an_error(tmp_path):
    unfinished = tmp_path / "runs" / f"{1:016x}"
    unfinished.mkdir(parents=True)
    (unfinished / "records.jsonl").write_text(json.dumps(a_record()))
    with pytest.raises(UsageError, match=r"no runs in .*; greenai sweep makes them"):
        table.collect(tmp_path)
    add(tmp_path, 2, {}, [a_record()])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(table.collect(str(tmp_path))) == 1


def test_a_run_in_two_stores_counts_once(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    add(one, 1, {}, [a_record(value=1.0)])
    add(one, 2, {}, [a_record(value=2.0)])
    add(two, 2, {}, [a_record(value=2.0)])
    add(two, 3, {}, [a_record(value=3.0)])
    assert table.collect([one, two])["value"].tolist() == [1.0, 2.0, 3.0]
    (one / "runs" / f"{2:016x}" / "run.json").write_text("{")
    with pytest.warns(UserWarning, match="left out"):
        assert table.collect([one, two])["value"].tolist() == [1.0, 2.0, 3.0]


def test_only_corrupted_runs_make_an_empty_table_and_a_page(tmp_path):
    (add(tmp_path, 1, {}, [a_record()]) / "run.json").write_text("{")
    with pytest.warns(UserWarning):
        frame = table.collect(tmp_path)
    assert frame.empty and "value" in frame
    assert report.means(frame, report.QUANTITY).empty
    assert "0 runs finished" in report.page(tmp_path, frame, [], {})


def test_failures_are_sorted_and_corrupted_ones_warn(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    fail(one, 2, "late")
    fail(two, 2, "late")
    fail(two, 1, "early")
    (fail(two, 3, "lost") / "run.json").write_text("{")
    with pytest.warns(UserWarning, match=f"{3:016x}"):
        found = table.failures([one, two])
    assert [run.error for run in found] == ["early", "late"]
    assert table.failures(tmp_path / "absent") == []


@pytest.fixture
def mixed(tmp_path):
    """A store of runs whose seeds are numbers and lists, and whose claim, lo and hi are all absent."""
    add(tmp_path / "store", 1, {"seeds": [1], "flag": True}, [a_record()])
    add(tmp_path / "store", 2, {"seeds": [1, 2], "flag": False}, [a_record(value=0.1 + 0.2)])
    return tmp_path / "store"


def test_a_table_is_written_whole_and_read_by_another_engine(tmp_path, mixed):
    table.write(mixed, tmp_path / "table.csv")
    frame = table.collect(mixed)
    with (tmp_path / "table.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == list(frame)
    for row, known in zip(rows, frame.itertuples(index=False), strict=True):
        for text, value in zip(row, known, strict=True):
            if isinstance(value, float) and not pd.isna(value):
                assert float(text) == value
            else:
                assert text == ("" if pd.isna(value) else str(value))
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["table.csv"]


@pytest.mark.parametrize("name", ["table.xlsx", "table.parquet", "file/table.csv", "folder.csv"])
def test_a_table_that_cannot_be_written_is_said(tmp_path, mixed, name):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=name.partition("/")[0]):
        table.write(mixed, tmp_path / name)
    assert {path.name for path in tmp_path.iterdir()} == {"folder.csv", "file", "store"}


def test_a_store_elsewhere_is_read_as_a_folder_is(tmp_path):
    add(tmp_path / "store", 1, {"n": 1}, [a_record()])
    away = Store("memory://collected")
    (folder,) = (tmp_path / "store" / "runs").iterdir()
    away.put(folder, folder.name)
    pd.testing.assert_frame_equal(table.collect("memory://collected"), table.collect(tmp_path / "store"))
    assert table.failures("memory://collected") == []
