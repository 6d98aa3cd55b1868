"""What people do with the command line and its folders: nothing is lost, a fault is a sentence."""

import shutil
import subprocess
import sys

import pytest
from notebook_files import PARAMETERS, RECORD, cell, write_notebook

from greenai_nb import sources
from greenai_nb.checks import UsageError
from greenai_nb.lesson import project
from greenai_nb.suite.run import fingerprint, plan

MAGICS = (
    "%%time\nimport json\nx = 1",
    "!ls",
    "%matplotlib inline",
    "print?",
    "half = (",
    "?",
    "%%bash\nls",
)
BROKEN = (
    "",
    "{}",
    "[]",
    "null",
    '{"cells": []}',
    '{"cells": 3, "nbformat": 4}',
    "<<<<<<< HEAD\n{}",
    "\ufeff{}",
    '{"worksheets": [], "nbformat": 3, "nbformat_minor": 0, "metadata": {}}',
    "[" * 100_000,
    '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
    '{"nbformat": "x"}',
)


def test_cells_with_magics_run_and_their_imports_count(greenai, small_project):
    time = cell("%%time\nimport greenai_nb.checks\nprint('timed')")
    write_notebook(
        small_project / "notebooks" / "01_works.ipynb", PARAMETERS, RECORD, time, cell("!true")
    )
    code, said = greenai("run", "01")
    assert code == 0, said
    assert [path.name for path in sources.imported([time["source"]])] == ["checks.py"]
    for magic in MAGICS:
        assert sources.imported([magic]) == []


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_notebook_stops_only_what_needs_it(small_project, text):
    (small_project / "notebooks" / "02_may_fail.ipynb").write_text(text)
    walk = plan.lessons(small_project / "notebooks")
    assert [*plan.select(walk, ["01"])] == ["01_works"] and [*walk.broken] == ["02_may_fail"]
    for names in ([], ["02"]):
        with pytest.raises(UsageError, match=r"02_may_fail\.ipynb .*Restore it"):
            plan.select(walk, names)
    plan.read_profile(small_project / "notebooks", "ci", walk)


def test_a_folder_and_a_dead_link_are_no_notebooks(small_project):
    folder = small_project / "notebooks"
    (folder / "03_folder.ipynb").mkdir()
    (folder / "04_link.ipynb").symlink_to("nowhere")
    assert [*plan.lessons(folder).broken] == ["03_folder", "04_link"]


def test_copies_of_a_lesson_are_left_alone(greenai, small_project):
    folder = small_project / "notebooks"
    for name in ("01_works-Copy1", "01_works_old", "1_x", "01 works"):
        shutil.copy(folder / "01_works.ipynb", folder / f"{name}.ipynb")
    code, said = greenai("run", "01", "02", "--profile", "ci")
    assert code == 0 and "2 of 2 notebooks" in said and "01_works-Copy1.ipynb" in said
    out = small_project / "results" / "ci"
    shutil.copy(out / "01_works.ipynb", out / "01_works_mine.ipynb")
    (out / "03_notes.ipynb").write_text("{}")
    code, said = greenai("run", "01", "02", "--profile", "ci")
    assert code == 0 and "0 of 2" in said
    assert all(f"{name}.ipynb is not part of the walk" in said for name in ("01_works_mine", "03_notes"))
    assert '"01_works_mine"' not in (out / "records.jsonl").read_text()
    shutil.copy(folder / "01_works.ipynb", folder / "01_other.ipynb")
    with pytest.raises(UsageError, match="two notebooks 01: 01_other and 01_works"):
        plan.lessons(folder)


@pytest.mark.parametrize("inside", [".", "profiles", "new"])
def test_results_never_go_among_the_lessons(greenai, small_project, monkeypatch, inside):
    monkeypatch.chdir(small_project / "notebooks")
    before = {path: path.read_bytes() for path in small_project.rglob("*.ipynb")}
    code, said = greenai("run", "01", "--out", inside)
    assert code == 2 and "Choose a folder with --out" in said
    assert before == {path: path.read_bytes() for path in small_project.rglob("*.ipynb")}


@pytest.mark.parametrize("name", ["01_works.ipynb", "index.html", "records.jsonl"])
def test_what_a_run_did_not_make_is_not_overwritten(greenai, small_project, tmp_path, name):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_text('{"mine": 1}')
    code, said = greenai("run", "01", "--out", tmp_path / "mine")
    assert code == 2 and f"holds {name}" in said
    assert (tmp_path / "mine" / name).read_text() == '{"mine": 1}'


def test_a_damaged_result_is_named_and_made_again(greenai, small_project):
    assert greenai("run", "01", "02")[0] == 0
    out = small_project / "results" / "tutorial"
    for content in ('{"cells', "", "[]", '{"metadata": {"greenai": 3}, "cells": []}'):
        (out / "02_may_fail.ipynb").write_text(content)
        code, said = greenai("run", "01")
        assert code == 0 and "02_may_fail" in said
    (out / "records.jsonl").write_text('{"claim": "x"}\n')
    assert greenai("verify", out)[0] == 2
    code, said = greenai("run", "02")
    assert code == 0 and "1 of 1" in said


def test_an_entry_that_joins_a_folder_is_a_new_result(small_project, tmp_path, monkeypatch):
    given = cell(
        "n: int = 3  # a number, in [0, 9]\nfolder: str = ''  # a folder of entries",
        tags=("parameters",),
    )
    path = write_notebook(small_project / "notebooks" / "01_works.ipynb", given, RECORD)
    entries = tmp_path / "rec"
    entries.mkdir()
    monkeypatch.chdir(tmp_path)

    def mark(folder, profile="tutorial"):
        walk = {"01_works": plan.read_lesson(path)}
        (job,) = plan.make(walk, {}, {"folder": folder}, 1, small_project, tmp_path, profile)
        return job.fingerprint

    first = mark("rec")
    (entries / "ben.py").write_text("x = 1")
    second = mark("rec")
    (entries / "ben.py").write_text("x = 2; y = 3")
    third = mark("rec")
    assert len({first, second, third}) == 3 and mark("rec") == third != mark("rec", "ci")
    (tmp_path / "elsewhere" / "rec").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert mark("rec") != third, "a relative path is that of the folder of the call"
    solutions = small_project / "notebooks" / "solutions"
    solutions.mkdir()
    before = mark("")
    (solutions / "01_works.py").write_text("CASES = {}")
    assert mark("") != before


def test_a_module_beside_the_call_counts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = {"cells": [cell("import mine\nfrom ours import x")]}
    marks = {fingerprint.fingerprint(content, {}, tmp_path)}
    (tmp_path / "mine.py").write_text("a = 1")
    marks.add(fingerprint.fingerprint(content, {}, tmp_path))
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "__init__.py").write_text("x = 1")
    marks.add(fingerprint.fingerprint(content, {}, tmp_path))
    assert len(marks) == 3


def test_a_result_of_another_size_is_not_kept(greenai, small_project, tmp_path):
    out = tmp_path / "X"
    assert greenai("run", "01", "--profile", "ci", "--out", out)[0] == 0
    code, said = greenai("run", "01", "--out", out)
    assert code == 0 and "1 of 1" in said
    assert '"profile": "tutorial"' in (out / "records.jsonl").read_text()


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ("import os; os.kill(os.getpid(), 9)", r"at cell 4.*MB of the .* MB here"),
        ("import os; os._exit(0)", r"at cell 4.*ended itself"),
        ("import sys; sys.exit(0)", r"at cell 4.*SystemExit"),
    ],
)
def test_a_kernel_that_ends_names_its_cell_and_memory(greenai, small_project, last, said):
    import re

    write_notebook(
        small_project / "notebooks" / "01_works.ipynb", PARAMETERS, RECORD, cell(last), cell("1")
    )
    code, printed = greenai("run", "01")
    assert code == 1 and re.search(said, printed, re.DOTALL), printed


@pytest.mark.parametrize("root", ["nowhere", "~/nowhere", "."])
def test_a_root_without_a_walk_is_named(tmp_path, monkeypatch, root):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(project.ROOT_VARIABLE, root)
    project.root.cache_clear()
    with pytest.raises(UsageError, match=r"GREENAI_ROOT is .*unset it"):
        project.root()
    project.root.cache_clear()


def test_nothing_found_is_no_success(greenai, small_project, tmp_path):
    assert greenai("report", tmp_path / "nosuch")[0] == 2
    (small_project / "results" / "tutorial").mkdir(parents=True)
    (small_project / "results" / "tutorial" / "records.jsonl").write_text("")
    code, said = greenai("verify")
    assert code == 2 and "no records" in said


def test_what_is_given_twice_or_read_by_nobody_is_said(greenai, small_project):
    assert greenai("run", "01", "-p", "n=1", "-p", "n=2")[0] == 2
    assert greenai("sweep", "01", "-p", "n=1", "-p", "n=2")[0] == 2
    path = write_notebook(small_project / "notebooks" / "01_works.ipynb", PARAMETERS, cell("1 + 1"))
    assert fingerprint.unused(plan.read_lesson(path).content, ["n", "other"]) == ["n"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("check: int = 3  # a number", "name of an import"),
        ("np: int = 3  # a number", "name of an import"),
        ("n: int = 3  # in (0, 9]", r"write \[lowest, highest\]"),
        ("n: int = 3  # in [a, b]", "a literal value and a range"),
        ("n: int = 3  # one of {a, b}", "a literal value and a range"),
        ("n: int = 3  # in [9, 0]", "a literal value and a range"),
        ("n: int = 3  # x\nn: int = 4  # y", "stands twice"),
        ("seeds: list[int] = []  # seeds", "is empty"),
        ("seeds: list[int] = [0, 0]  # seeds", "Each seed counts once"),
        ("n: int = (  # x", "was never closed"),
    ],
)
def test_a_fault_in_the_parameters_names_the_notebook(tmp_path, line, said):
    imports = cell("import numpy as np\nfrom greenai_nb.lesson import check, record")
    path = write_notebook(tmp_path / "01_x.ipynb", imports, cell(line, tags=("parameters",)))
    with pytest.raises(UsageError, match=said) as error:
        plan.read_lesson(path)
    assert "01_x.ipynb" in str(error.value)


@pytest.mark.parametrize(
    "text",
    ["all:\n", "01_works:\n", "a: [", "\tx: 1", "- 1", "3", "all: {m: 1}", "01_works: {n: 1, n: 2}"],
)
def test_a_fault_in_a_profile_is_a_sentence(small_project, text):
    (small_project / "notebooks" / "profiles" / "ci.yaml").write_text(text + "\n")
    walk = plan.lessons(small_project / "notebooks")
    with pytest.raises(UsageError, match="ci"):
        plan.read_profile(small_project / "notebooks", "ci", walk)


def test_notebooks_with_clocks_run_alone_and_first(greenai, small_project):
    show = cell("import time; print('at', time.time()); time.sleep(0.2)")
    for name in ("03_clock", "04_clock"):
        write_notebook(small_project / "notebooks" / f"{name}.ipynb", PARAMETERS, show, runs_alone=True)
    assert greenai("run", "--jobs", "4")[0] == 0
    out = small_project / "results" / "tutorial"
    starts = {
        name: plan.read_result(out / f"{name}.ipynb").stamp["started"]
        for name in ("01_works", "02_may_fail", "03_clock", "04_clock", "90_reads")
    }
    assert starts["03_clock"] <= starts["04_clock"] <= min(starts["01_works"], starts["02_may_fail"])


def test_the_recorder_is_a_command(tmp_path):
    command = [sys.executable, "-m", "greenai_nb.suite", "record-trace", str(tmp_path / "trace")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "NVIDIA" in done.stderr and "Traceback" not in done.stderr


def test_a_full_disk_is_a_sentence(greenai, small_project, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "index.html")

    monkeypatch.setattr("greenai_nb.suite.cli.write_atomic", full)
    code, said = greenai("run", "01")
    assert code == 1 and "No space left on device" in said and "index.html" in said
