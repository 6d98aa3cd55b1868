"""Take the committed outputs from a run at tutorial size, clean them, and stamp them.

Only the runner's outputs are published, so the stamp says which code made them.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

import nbformat

from greenai_nb.checks import UsageError
from greenai_nb.files import write_atomic
from greenai_nb.lesson.project import DEFAULT_PROFILE, STAMP, home
from greenai_nb.lesson.records import extract
from greenai_nb.suite.run.fingerprint import code_cells
from greenai_nb.suite.run.plan import Lesson, committed_fingerprint, read_result
from greenai_nb.suite.run.runner import emptied_steps

CARD = ("processor", "instructions", "cores", "memory_mb", "python", "torch")
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def publish(lesson: Lesson, walk: Mapping[str, Lesson], root: Path, out: Path) -> None:
    """Write the outputs of a run into the repository's notebook.

    Raises ``UsageError`` if the run has no result for it, or one from other code or parameters.
    """
    if home() != root:
        raise UsageError(f"{root} came with the package. Publish from a checkout of greenai-nb.")
    path = out / f"{lesson.name}.ipynb"
    if not path.is_file():
        raise UsageError(f"{out} holds no {path.name}. Run it first: greenai run {lesson.name}")
    result = read_result(path)
    executed, stamp = result.content, result.stamp
    if (stamp["profile"], stamp["parameters"]) != (DEFAULT_PROFILE, lesson.defaults):
        raise UsageError(f"{path} was run at another size than the notebook's own: greenai run")
    for record in extract(executed, lesson.name, stamp["parameters"], stamp["profile"]):
        if record["reason"]:
            doubt = f"claim {record['claim']} could not be judged: {record['reason']}"
            raise UsageError(f"{path} cannot be published: {doubt}. Run it again: greenai run --force")
    if code_cells(executed) != code_cells(lesson.content):
        raise UsageError(f"{path} was run with other code. Run it again: greenai run {lesson.name}")
    executed.metadata = {
        **{key: value for key, value in lesson.content.metadata.items() if key != "widgets"},
        "kernelspec": KERNEL,
        "language_info": {"name": "python"},
        STAMP: {
            **stamp,
            "machine": {name: stamp["machine"][name] for name in CARD},
            "fingerprint": committed_fingerprint(lesson, walk, root),
        },
    }
    for cell, written in zip(executed.cells, lesson.content.cells, strict=True):
        cell.source, cell.metadata = written.source, written.metadata
    write_atomic(lesson.path, nbformat.writes(executed) + "\n")
    made, kept = out / "steps" / lesson.name, emptied_steps(lesson.path.parent, lesson.name)
    if made.is_dir():
        shutil.copytree(made, kept, dirs_exist_ok=True)
