"""What may be wrong with a notebook that is committed with its outputs."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from greenai_nb.machine import STEPS_MIME
from greenai_nb.suite.run.fingerprint import code_cells
from greenai_nb.suite.run.plan import Lesson, is_fresh
from greenai_nb.suite.run.report import PICTURES, reading_minutes

MAX_CELLS = 45
MAX_LINES = 25
MAX_BYTES = 600_000
MAX_WORDS = 1500
READING = re.compile(r"read (\d+) minutes")
MACHINE_PATH = re.compile(r"(?<![\w.:/<])/(?:home|root|Users|tmp|work|mnt|var)/[\w.-]+/")


def faults(lesson: Lesson, walk: Mapping[str, Lesson], root: Path) -> list[str]:
    """What is wrong with a committed notebook, in words; an empty list if nothing is."""
    found = _form(lesson)
    cells = [cell for cell in lesson.content["cells"] if cell["cell_type"] == "code"]
    counts = [cell["execution_count"] for cell in cells]
    if counts != list(range(1, len(cells) + 1)):
        found.append("was not run once from top to bottom: cells are numbered " + repr(counts))
    if not is_fresh(lesson, walk, root):
        found.append("is stale: its outputs were made by other code; make publish")
    for number, cell in enumerate(lesson.content["cells"], 1):
        for output in cell.get("outputs", ()):
            found += [f"cell {number} {fault}" for fault in _output_faults(output)]
            if index := output.get("data", {}).get(STEPS_MIME):
                kept = {path.stem for path in (lesson.path.parent / index["folder"]).glob("*.png")}
                if kept != {str(step) for step in range(len(index["words"]))}:
                    found.append(f"cell {number} has an explorer whose steps are not all there")
        found += [
            f"cell {number} has metadata that a run leaves: {key}"
            for key in ("papermill", "execution")
            if key in cell["metadata"]
        ]
        if "NBVAL_CHECK_OUTPUT" in cell["metadata"].get("tags", ()) and not cell.get("outputs"):
            found.append(f"cell {number} is to be compared and has no output")
    return found


def _form(lesson: Lesson) -> list[str]:
    found = []
    cells = lesson.content["cells"]
    if len(cells) > MAX_CELLS:
        found.append(f"has {len(cells)} cells, at most {MAX_CELLS}")
    for text in code_cells(lesson.content):
        if len(text.splitlines()) > MAX_LINES:
            found.append(f"has a code cell of {len(text.splitlines())} lines: {text[:40]!r}")
    words = sum(len(cell["source"].split()) for cell in cells if cell["cell_type"] == "markdown")
    if words > MAX_WORDS:
        found.append(f"has {words} words, at most {MAX_WORDS}")
    said, minutes = READING.search(cells[0]["source"]), reading_minutes(lesson)
    if not said or int(said[1]) != minutes:
        found.append(f"must say in its first cell: read {minutes} minutes")
    size = lesson.path.stat().st_size
    if size > MAX_BYTES:
        found.append(f"has {size / 1000:.0f} kB, at most {MAX_BYTES / 1000:.0f}")
    if "widgets" in lesson.content["metadata"] or "papermill" in lesson.content["metadata"]:
        found.append("holds widget state or papermill's metadata")
    return found


def _output_faults(output: Mapping[str, Any]) -> list[str]:
    found = []
    if output["output_type"] == "error":
        found.append(f"ended in an error: {output['ename']}")
    if output["output_type"] == "stream" and output["name"] == "stderr":
        found.append(f"wrote to standard error: {output['text'][:80]!r}")
    data = output.get("data", {})
    for mime in PICTURES & data.keys():
        alt = output.get("metadata", {}).get(mime, {}).get("alt", "")
        if len(alt.split()) < 5:
            found.append("shows a picture without a description")
    texts = (output.get("text", ""), data.get("text/plain", ""), data.get("text/html", ""))
    if any(map(MACHINE_PATH.search, texts)):
        found.append("prints a path of one machine")
    return found
