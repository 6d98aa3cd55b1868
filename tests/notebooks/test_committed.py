"""The notebooks in the repository: their outputs belong to their code, and are fit to be read."""

import ast
import copy

import nbformat
import pytest
from notebook_faults import faults

from greenai_nb.lesson import project
from greenai_nb.lesson.claims import load_claims
from greenai_nb.machine import STEPS_MIME
from greenai_nb.suite.run import plan
from greenai_nb.suite.run.fingerprint import code_cells

WALK = plan.lessons(project.notebooks())
TEMPLATE = project.notebooks() / "_template.ipynb"


@pytest.mark.parametrize("name", WALK)
def test_committed_notebooks_have_no_faults(name):
    assert faults(WALK[name], WALK, project.root()) == []


def test_every_claim_is_tested_by_its_notebook_and_no_other():
    tested = {(name, claim_id) for name, lesson in WALK.items() for claim_id in _claims_called(lesson)}
    assert tested == {(claim.notebook, claim.id) for claim in load_claims().values()}


def _claims_called(lesson):
    for text in code_cells(lesson.content):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "claim":
                yield node.args[0].value


ANATOMY = (
    "**What you will do.**",
    "**What you will learn.**",
    "**What you need.**",
    "**The knobs.**",
    "P = check(globals())",
    "**Predict.**",
    "predict(",
    "settle(",
    "explore(",
    "**What you should see.**",
    "exercise(",
    "limits",
    "## The receipt",
    "receipt(",
    "**Further reading.**",
    "**Next:**",
)


@pytest.mark.parametrize(
    "path", [*(each.path for each in WALK.values()), TEMPLATE], ids=lambda p: p.stem
)
def test_notebooks_follow_the_anatomy(path):
    content = nbformat.read(path, as_version=4)
    text = "\n".join(cell.source for cell in content.cells)
    positions = [text.find(part) for part in ANATOMY]
    assert -1 not in positions, ANATOMY[positions.index(-1)]
    ordered = [
        text.find(part)
        for part in ("**What you will do.**", "P = check", "**Predict.**", "receipt(meter", "**Next:**")
    ]
    assert ordered == sorted(ordered)


@pytest.fixture
def lesson():
    """A committed lesson whose content can be changed."""
    first = WALK["21_xnor_layers"]
    return plan.Lesson(
        first.name, first.path, first.title, copy.deepcopy(first.content), first.parameters
    )


def first_output(lesson, kind):
    return next(
        output
        for cell in lesson.content["cells"]
        for output in cell.get("outputs", ())
        if output["output_type"] == kind
    )


def spoil_code(lesson):
    lesson.content.cells[2].source = "import os\n" + lesson.content.cells[2].source


def spoil_order(lesson):
    codes = [cell for cell in lesson.content["cells"] if cell["cell_type"] == "code"]
    codes[1]["execution_count"] = 99


def spoil_error(lesson):
    error = {"output_type": "error", "ename": "ValueError", "evalue": "", "traceback": []}
    next(cell for cell in lesson.content["cells"] if cell.get("outputs"))["outputs"].append(error)


def spoil_description(lesson):
    output = next(
        output
        for cell in lesson.content["cells"]
        for output in cell.get("outputs", ())
        if "image/png" in output.get("data", {})
    )
    output["metadata"] = {}


def spoil_description_of_a_diagram(lesson):
    picture = {"data": {"image/svg+xml": "<svg/>"}, "metadata": {"image/svg+xml": {"alt": "a chain"}}}
    lesson.content["cells"][2]["outputs"] = [{"output_type": "display_data", **picture}]


def spoil_metadata(lesson):
    lesson.content["cells"][2]["metadata"]["execution"] = {"iopub.status.busy": "now"}


def spoil_papermill(lesson):
    lesson.content["metadata"]["papermill"] = {}


def spoil_path(lesson):
    first_output(lesson, "stream")["text"] = "/ho" + "me/someone/greenai/file.py\n"


def spoil_stderr(lesson):
    first_output(lesson, "stream")["name"] = "stderr"


def spoil_length(lesson):
    lesson.content["cells"][2]["source"] = "x = 1\n" * 30


def spoil_count(lesson):
    lesson.content["cells"].extend(copy.deepcopy(lesson.content["cells"][:1]) * 30)


def spoil_words(lesson):
    lesson.content["cells"][1]["source"] = "many words " * 800


def spoil_minutes(lesson):
    first = lesson.content["cells"][0]
    first["source"] = first["source"].replace("read ", "skim ")


def spoil_steps(lesson):
    for cell in lesson.content["cells"]:
        for output in cell.get("outputs", ()):
            if index := output.get("data", {}).get(STEPS_MIME):
                index["words"].append("one more")


def spoil_marked(lesson):
    marked = next(
        cell
        for cell in lesson.content["cells"]
        if "NBVAL_CHECK_OUTPUT" in cell["metadata"].get("tags", ())
    )
    marked["outputs"] = []


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (spoil_code, "stale"),
        (spoil_order, "top to bottom"),
        (spoil_error, "ended in an error"),
        (spoil_description, "without a description"),
        (spoil_description_of_a_diagram, "without a description"),
        (spoil_metadata, "metadata that a run leaves"),
        (spoil_papermill, "papermill's metadata"),
        (spoil_path, "path of one machine"),
        (spoil_stderr, "standard error"),
        (spoil_length, "code cell of 30 lines"),
        (spoil_count, "cells, at most 45"),
        (spoil_marked, "has no output"),
        (spoil_words, "words, at most 1500"),
        (spoil_minutes, "must say in its first cell: read"),
        (spoil_steps, "steps are not all there"),
    ],
)
def test_each_fault_is_found(lesson, spoil, said):
    spoil(lesson)
    assert any(said in fault for fault in faults(lesson, WALK, project.root()))


def test_an_oversized_notebook_is_found(lesson, tmp_path):
    big = tmp_path / "big.ipynb"
    big.write_bytes(b" " * 700_000)
    lesson = plan.Lesson(lesson.name, big, lesson.title, lesson.content, lesson.parameters)
    assert any("700 kB" in fault for fault in faults(lesson, WALK, project.root()))
