"""The runner, on a small project: what it keeps, what it says, and with which exit code."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser

import pytest
from notebook_files import PARAMETERS, cell, write_notebook

from greenai_nb.lesson import claims, project


def stamps(folder):
    return {
        path.stem: json.loads(path.read_text())["metadata"]["greenai"] for path in folder.glob("*.ipynb")
    }


def test_a_run_leaves_notebooks_records_and_a_page_and_the_next_does_nothing(greenai, small_project):
    code, said = greenai("run")
    out = small_project / "results" / "tutorial"
    assert code == 0, said
    assert {path.name for path in out.iterdir()} == {
        ".lock", "01_works.ipynb", "02_may_fail.ipynb", "90_reads.ipynb", "index.html", "records.jsonl",
    }  # fmt: skip
    records = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
    names = {(record["notebook"], record["name"]) for record in records}
    assert {
        ("01_works", "n"),
        ("01_works", "time_s"),
        ("01_works", "peak_ram_mb"),
        ("90_reads", "seen"),
    } <= names
    assert all(record["parameters"]["n"] == 3 for record in records)
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.ipynb")}
    code, said = greenai("run")
    assert code == 0 and "0 of 3 notebooks to run" in said
    assert before == {path: path.stat().st_mtime_ns for path in out.glob("*.ipynb")}

    (out / "02_may_fail.ipynb").unlink()
    code, said = greenai("run")
    assert code == 0 and "1 of 3 notebooks to run" in said
    after = {path: path.stat().st_mtime_ns for path in out.glob("*.ipynb")}
    assert {path.stem for path in after if after[path] != before[path]} == {"02_may_fail"}

    write_notebook(small_project / "notebooks" / "01_works.ipynb", PARAMETERS, cell("1 + 1"))
    assert "2 of 3 notebooks to run" in greenai("run")[1], "the changed one and the one that reads it"
    assert "3 of 3 notebooks to run" in greenai("run", "--force")[1]

    claim = dict.fromkeys(claims.Claim.__struct_fields__, "x") | {
        "notebook": "02_may_fail",
        "provenance": "counted",
        "clock": False,
        "equivalence": False,
        "judged_at": [],
        "at_least": 0,
        "at_most": 1,
        "amended": [],
        "datasets": [],
        "kind": "experiment",
    }
    (small_project / "claims.yaml").write_text(json.dumps([claim]))
    assert "2 of 3 notebooks to run" in greenai("run")[1], "the one whose claim changed and the reader"


def test_a_forced_run_asks_for_trainings_of_its_own(greenai, small_project):
    show = cell("import os; print('since', os.environ.get('GREENAI_TRAINED_SINCE'))")
    write_notebook(small_project / "notebooks" / "01_works.ipynb", PARAMETERS, show)
    out, start = small_project / "results" / "tutorial" / "01_works.ipynb", time.time()
    assert greenai("run", "01")[0] == 0 and "since None" in out.read_text()
    assert greenai("run", "01", "--force")[0] == 0
    assert float(re.search(r"since ([\d.]+)", out.read_text())[1]) >= start


def test_steps_are_drawn_for_the_notebooks_own_parameters_alone(greenai, small_project):
    """Other values may make a slider longer than a page can hold; such a run is not published."""
    draw = cell(
        "import matplotlib.pyplot as plt\nfrom greenai_nb.show import explore\n"
        "def draw(k):\n    return plt.figure(figsize=(1, 1)), f'a picture of {k}, and nothing else'\n"
        "explore(draw, [{'k': 0}], k=range(n if n < 9 else 99))"
    )
    write_notebook(small_project / "notebooks" / "01_works.ipynb", PARAMETERS, draw)
    steps = small_project / "results" / "tutorial" / "steps" / "01_works" / "1"
    assert greenai("run", "01")[0] == 0 and [*steps.glob("*.png")]
    code, said = greenai("run", "01", "-p", "n=9")
    assert code == 0 and not [*steps.glob("*.png")], said


def test_papermill_alone_runs_a_notebook_with_other_parameters(small_project):
    import papermill

    source, made = small_project / "notebooks" / "01_works.ipynb", small_project / "made.ipynb"
    options = {"kernel_name": "python3", "progress_bar": False}
    papermill.execute_notebook(str(source), str(made), {"n": 5}, **options)
    assert "record n: 5" in made.read_text()
    with pytest.raises(papermill.PapermillExecutionError, match=r"expected an int in \[0, 9\]"):
        papermill.execute_notebook(str(source), str(made), {"n": 77}, **options)


def test_a_failing_notebook_does_not_stop_the_others(greenai, small_project):
    out = small_project / "out"
    assert greenai("run", "--out", out)[0] == 0
    code, said = greenai("run", "--out", out, "-p", "n=7")
    assert code == 1
    assert "02_may_fail failed at cell" in said and "seven is not liked" in said
    assert set(stamps(out)) == {"01_works", "90_reads"}
    failed = json.loads((out / "failed" / "02_may_fail.ipynb").read_text())
    assert any(o["output_type"] == "error" for c in failed["cells"] for o in c.get("outputs", ()))
    assert "02_may_fail" in (out / "index.html").read_text()
    assert greenai("run", "--out", out)[0] == 0
    assert not list((out / "failed").iterdir())


def test_the_profile_and_the_parameters_reach_the_notebook(greenai, small_project):
    assert greenai("run", "--profile", "ci", "-p", "threads=2")[0] == 0
    found = stamps(small_project / "results" / "ci")
    assert found["01_works"]["parameters"] == {"threads": 2, "n": 3}
    assert found["02_may_fail"]["parameters"] == {"threads": 2, "n": 4}
    assert all(stamp["time_s"] > 0 and stamp["peak_ram_mb"] > 10 for stamp in found.values())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "-p", "m=1"], "has a parameter 'm'"),
        (["run", "-p", "n"], "name=value"),
        (["run", "-p", "n=x"], "expected an int"),
        (["run", "-p", "n=77"], "in [0, 9]"),
        (["run", "-p", "threads=0"], "in [1, 64]"),
        (["run", "01_work"], "Did you mean '01_works'"),
        (["run", "--profile", "pape"], "no profile 'pape'"),
        (["run", "--out", "/dev/null/results"], "Choose a folder with --out"),
        (["run", "--jobs", "0"], "--jobs"),
        (["walk"], "walk"),
        (["publish", "--out", "/nowhere"], "Run it first"),
    ],
)
def test_wrong_use_is_said_with_exit_code_2(greenai, small_project, arguments, said):
    code, printed = greenai(*arguments)
    assert code == 2 and said in " ".join(printed.split())
    assert not (small_project / "results").exists()


def test_a_corrupted_notebook_is_named(greenai, small_project):
    (small_project / "notebooks" / "01_works.ipynb").write_text("{half")
    code, said = greenai("run")
    assert code == 2 and "01_works.ipynb" in said


def program(root, out):
    """The command that runs the notebooks of a small project, in a process of its own."""
    code = (
        "import sys, pathlib; from greenai_nb.lesson import project; from greenai_nb.suite import cli; "
        f"project.root = lambda: pathlib.Path({str(root)!r}); "
        f"sys.argv = ['greenai', 'run', '--out', {str(out)!r}, '--jobs', '2']; cli.main()"
    )
    return [sys.executable, "-c", code]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_keeps_what_is_finished_and_leaves_nothing_half_written(small_project, how):
    write_notebook(
        small_project / "notebooks" / "03_sleeps.ipynb", PARAMETERS, cell("import time; time.sleep(60)")
    )
    out = small_project / "out"
    process = subprocess.Popen(
        program(small_project, out), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    deadline = time.monotonic() + 60
    while not {"01_works", "02_may_fail"} <= set(stamps(out) if out.exists() else ()):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.2)
    time.sleep(1)
    os.kill(process.pid, how)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 130 and "finished notebooks are kept" in said
    assert set(stamps(out)) == {"01_works", "02_may_fail"}
    assert {path.name for path in out.iterdir()} == {
        ".lock",
        "01_works.ipynb",
        "02_may_fail.ipynb",
        "records.jsonl",
    }


def test_a_killed_run_leaves_no_process_behind_and_can_go_on(greenai, small_project):
    mark = small_project / "alive"
    beat = (
        f"import pathlib, time\nmark = pathlib.Path({str(mark)!r})\n"
        "for _ in range(600):\n    mark.touch()\n    time.sleep(0.1)"
    )
    write_notebook(small_project / "notebooks" / "03_beats.ipynb", PARAMETERS, cell(beat))
    process = subprocess.Popen(program(small_project, small_project / "out"), stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not mark.exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.2)
    process.kill()
    process.wait()
    time.sleep(4)
    mark.unlink()
    time.sleep(1)
    assert not mark.exists(), "the kernel outlived its run"
    (small_project / "notebooks" / "03_beats.ipynb").unlink()
    assert greenai("run", "--out", small_project / "out")[0] == 0


def test_two_runs_do_not_write_to_one_folder(greenai, small_project):
    from greenai_nb.suite.run.runner import results_folder

    with results_folder(small_project / "out"):
        code, said = greenai("run", "--out", small_project / "out")
    assert code == 2 and "another run is writing" in said


def test_the_list_names_notebooks_and_parameters(greenai):
    code, said = greenai("list")
    assert code == 0 and "01_works" in said and "n=3" in said


class Page(HTMLParser):
    """Counts what a page holds and what it would fetch."""

    def __init__(self, text):
        super().__init__()
        self.pictures, self.fetched, self.ids, self.links = [], [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids.add(found.get("id"))
        if tag == "img":
            self.pictures.append(found.get("alt", ""))
        if tag in ("img", "script", "link", "iframe"):
            self.fetched += [found[name] for name in ("src", "href") if name in found]
        if tag == "a":
            self.links.append(found["href"])


def walk_at_ci_size(out):
    command = [sys.executable, "-m", "greenai_nb.suite", "run", "--profile", "ci", "--out", str(out)]
    trained_here = {"GREENAI_STORE": str(out.with_name("trained"))}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | trained_here
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out, done.stdout


@pytest.fixture(scope="session")
def ci_run(tmp_path_factory):
    """The walk of the repository at ci size, once for all tests."""
    return walk_at_ci_size(tmp_path_factory.mktemp("walk") / "ci")


def test_the_walk_runs_at_ci_size(ci_run):
    out, said = ci_run
    walk = {path.stem for path in project.notebooks().glob("[0-9]*.ipynb")}
    assert set(stamps(out)) == walk
    assert "holds" in said and "fails" not in said and "not run" not in said
    peaks = {name: stamp["peak_ram_mb"] for name, stamp in stamps(out).items()}
    assert max(peaks.values()) < 1000, peaks


def test_the_page_of_the_walk_opens_offline(ci_run):
    out, _ = ci_run
    page = Page((out / "index.html").read_text())
    assert len(page.pictures) >= 20 and all(len(alt.split()) >= 5 for alt in page.pictures)
    assert all(re.match("data:image/(png|svg[+]xml);base64,", source) for source in page.fetched)
    for link in page.links:
        assert (link[1:] in page.ids) if link.startswith("#") else (out / link).is_file(), link


def test_every_notebook_gives_a_receipt_with_provenance(ci_run):
    out, _ = ci_run
    records = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
    energy = {
        record["notebook"]: record["provenance"] for record in records if record["name"] == "energy_j"
    }
    assert set(energy) == set(stamps(out)) and set(energy.values()) <= {"measured", "estimated"}


MARK = "NBVAL_CHECK_OUTPUT"


def up_to_the_last_mark(path):
    """Leave out the cells of a copy that come after all that is compared; the walk has run them."""
    content = json.loads(path.read_text())
    marked = [at for at, each in enumerate(content["cells"]) if MARK in each["metadata"].get("tags", ())]
    content["cells"] = content["cells"][: marked[-1] + 1]
    path.write_text(json.dumps(content))


def test_marked_cells_of_copies_at_ci_size_pass_nbval(ci_run, tmp_path):
    """The committed outputs of the marked cells are compared, and the template runs."""
    import papermill

    out, _ = ci_run
    for name, stamp in stamps(out).items():
        source, copy = project.notebooks() / f"{name}.ipynb", tmp_path / f"{name}.ipynb"
        if MARK in source.read_text():
            papermill.execute_notebook(str(source), str(copy), stamp["parameters"], prepare_only=True)
            up_to_the_last_mark(copy)
    assert len(list(tmp_path.iterdir())) >= 2
    template = project.notebooks() / "_template.ipynb"
    (tmp_path / template.name).write_bytes(template.read_bytes())
    environment = {
        **os.environ,
        "GREENAI_RESULTS": str(out),
        "GREENAI_PROFILE": "ci",
        "GREENAI_INTERACTIVE": "0",
    }
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--nbval-lax",
        "-q",
        "-n",
        "2",
        "--dist",
        "loadscope",
        str(tmp_path),
    ]
    options = ["-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(tmp_path)]
    done = subprocess.run(
        [*command, *options], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stdout[-3000:]


OF_CLOCKS = {"s", "ms", "us", "J", "MB", "1/s"}
OF_ALL_RECORDS = "records_that_agree"
ABOUT_TIME = {
    "02_measure_energy_honestly",
    "22_where_is_the_speedup",
    "43_search_the_architecture",  # its search weighs latencies of this machine
    "51_energy_by_layer",
    "90_reproduce",
}


def reads_a_clock(record):
    """Whether a clock, a neighbour or the memory at hand has a part in a record."""
    counted = record["provenance"] in ("counted", "quoted") and record["name"] != OF_ALL_RECORDS
    ratio = record["unit"] == "times" and record["provenance"] in ("measured", "estimated")
    return record["unit"] in OF_CLOCKS or ratio or (record["notebook"] in ABOUT_TIME and not counted)


def numbers(out):
    lines = (out / "records.jsonl").read_text().splitlines()
    found = [record for record in map(json.loads, lines) if not reads_a_clock(record)]
    return {
        (each["notebook"], each["name"], each["claim"]): (each["value"], each["lo"], each["hi"])
        for each in found
    }


def test_the_same_seed_threads_and_lock_give_the_same_numbers_to_the_last_bit(ci_run, tmp_path):
    first, second = numbers(ci_run[0]), numbers(walk_at_ci_size(tmp_path / "again")[0])
    assert first.keys() == second.keys() and len(first) > 80
    apart = {key: (first[key], second[key]) for key in first if first[key] != second[key]}
    assert not apart, apart
