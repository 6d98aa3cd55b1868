"""Run notebooks side by side, each in a kernel of its own, and store what is finished.

A folder of results never holds half a notebook. A failing notebook does not stop the others.
"""

import json
import threading
import time
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import nbformat
from filelock import FileLock, Timeout

from greenai_nb.checks import UsageError
from greenai_nb.files import read_as, write_atomic
from greenai_nb.lesson import project, records
from greenai_nb.lesson.project import STAMP, TRAINED_SINCE_VARIABLE
from greenai_nb.machine import STEPS_VARIABLE
from greenai_nb.suite.run import kernel, plan
from greenai_nb.suite.run.plan import THREADS, Job, Outcome, Status
from greenai_nb.suite.run.progress import Board

LOCK = ".lock"


def results_folder(out: Path, names: Iterable[str] = ()) -> AbstractContextManager[Any]:
    """Reserve a folder for the results of one run.

    Raises ``UsageError`` if it is in use, cannot be written, or holds files that no run has made and
    that a run of the notebooks ``names`` would overwrite.
    """
    lessons = project.notebooks().resolve()
    if lessons in (out, *out.parents):
        raise UsageError(f"{out} belongs to the notebooks themselves. Choose a folder with --out.")
    ours = (out / LOCK).exists() or _holds_records(out)
    for name in (*(f"{name}.ipynb" for name in names), "index.html", records.RECORDS):
        path = out / name
        if path.exists() and not (ours and (path.suffix != ".ipynb" or _is_result(path))):
            kept = "which no run of greenai made; it is left as it is"
            raise UsageError(f"{out} holds {name}, {kept}. Choose another folder with --out.")
    try:
        out.mkdir(parents=True, exist_ok=True)
        return FileLock(out / LOCK).acquire(blocking=False)
    except Timeout:
        busy = f"another run is writing to {out}"
        raise UsageError(f"{busy}. Wait for it, or choose a folder with --out.") from None
    except OSError as error:
        closed = f"cannot write results to {out} ({error.strerror})"
        raise UsageError(f"{closed}. Choose a folder with --out.") from error


def run(
    jobs: Sequence[Job],
    out: Path,
    profile: str,
    side_by_side: int,
    board: Board,
    names: Collection[str],
    anew: bool = False,
) -> list[Outcome]:
    """Run jobs, and write ``records.jsonl`` from all results in the folder that have these names.

    Notebooks that read clocks come first, one at a time, and those that read records last. With
    ``anew`` no remembered training is used. Ctrl-C ends the running notebooks, leaves the finished ones
    in place and is raised again.
    """
    outcomes: list[Outcome] = []
    since = {TRAINED_SINCE_VARIABLE: str(time.time())} if anew else {}

    def run_one(job: Job) -> Outcome:
        steps = str(emptied_steps(out, job.name))
        around = since | {STEPS_VARIABLE: steps if publishable(job) else ""}
        outcome = kernel.execute(
            job, out, profile, variables=around, stop=stop, on_cell=lambda *at: board.cell(job, *at)
        )
        if not stop.is_set() or not outcome.error:
            store(outcome, out)
        board.end(job, outcome.status)
        return outcome

    readers = [job for job in jobs if job.lesson.reads_records]
    clocks = [job for job in jobs if job.lesson.runs_alone]
    others = [job for job in jobs if job not in (*readers, *clocks)]
    for batch, at_once in ((clocks, 1), (others, side_by_side), (readers, side_by_side)):
        stop = threading.Event()
        with ExitStack() as ending:  # also after Ctrl-C: kernels first, then their threads, then records
            ending.callback(write_records, out, names)
            pool = ending.enter_context(ThreadPoolExecutor(at_once))
            ending.callback(stop.set)
            outcomes += pool.map(run_one, batch)
    return outcomes


def store(outcome: Outcome, out: Path) -> None:
    """Write a finished notebook, or a failed one with its traceback, in place of an earlier result."""
    finished, failed = out / f"{outcome.name}.ipynb", out / Status.FAILED / f"{outcome.name}.ipynb"
    here, gone = (failed, finished) if outcome.error else (finished, failed)
    write_atomic(here, nbformat.writes(outcome.notebook) + "\n")
    gone.unlink(missing_ok=True)


def publishable(job: Job) -> bool:
    """Whether a job has the notebook's own parameters, threads aside: only then steps are drawn."""
    own = job.lesson.defaults
    return all(own.get(name) == value for name, value in job.parameters.items() if name != THREADS)


def emptied_steps(folder: Path, name: str) -> Path:
    """The folder beside a notebook for the steps of its explorers, emptied of earlier pictures."""
    home = folder / "steps" / name
    for picture in home.glob("[0-9]*/[0-9]*.png"):
        picture.unlink()
    return home


def write_records(out: Path, names: Iterable[str]) -> None:
    """Gather the records of all results in a folder that have these names into ``records.jsonl``."""
    lines = [
        json.dumps(record) + "\n"
        for name, result in plan.results(out, names).items()
        for record in records.of_run(result.content, name)
    ]
    write_atomic(out / records.RECORDS, "".join(lines))


def _holds_records(out: Path) -> bool:
    try:
        return bool(records.read(out))
    except UsageError:
        return False


def _is_result(path: Path) -> bool:
    """Whether a notebook has a runner's stamp, or is damaged and so of no use to anybody."""
    try:
        return STAMP in read_as(path, dict).get("metadata", {})
    except UsageError:
        return True
