"""Run notebooks side by side, each in a kernel of its own, and store what is finished.

A folder of results never holds half a notebook. A failing notebook does not stop the others.
"""

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
from filelock import FileLock, Timeout

from greenai_nb.checks import UsageError
from greenai_nb.files import write_atomic
from greenai_nb.lesson import records
from greenai_nb.lesson.project import STAMP, TRAINED_SINCE_VARIABLE
from greenai_nb.suite.run import kernel
from greenai_nb.suite.run.plan import Job, Status

if TYPE_CHECKING:
    from greenai_nb.suite.run.progress import Board

LOCK = ".lock"


@dataclass(frozen=True)
class Outcome:
    """How a job ended; one that failed has the error and the cell where it stopped."""

    job: Job
    status: Status
    cell: int | None = None
    error: str = ""


@contextmanager
def results_folder(out: Path) -> Iterator[Path]:
    """Make sure that the folder can be written and that no other run is using it."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / LOCK).acquire(blocking=False)
    except Timeout:
        raise UsageError(
            f"another run is writing to {out}. Wait for it, or choose a folder with --out."
        ) from None
    except OSError as error:
        raise UsageError(
            f"cannot write results to {out} ({error.strerror}). Choose a folder with --out."
        ) from error
    with lock:
        yield out


def run(
    jobs: Sequence[Job], out: Path, profile: str, side_by_side: int, board: "Board", anew: bool = False
) -> list[Outcome]:
    """Run jobs, and write ``records.jsonl`` from all that the folder holds.

    A run that is ``anew`` uses no training of before. Ctrl-C ends the running notebooks, leaves the
    finished ones in place and is raised again.
    """
    outcomes: list[Outcome] = []
    since = {TRAINED_SINCE_VARIABLE: str(time.time())} if anew else {}

    def run_one(job: Job) -> Outcome:
        execution = kernel.execute(
            job,
            kernel.environment(job, out, profile) | since,
            on_cell=lambda cell, of: board.cell(job, cell, of),
            stop=stop,
        )
        if not stop.is_set() or not execution.error:
            store(execution, job, out, profile)
        status = Status.FAILED if execution.error else Status.DONE
        board.end(job, status)
        return Outcome(job, status, execution.cell, execution.error)

    for reads_records in (False, True):
        stop = threading.Event()
        with ExitStack() as ending:  # also after Ctrl-C: kernels first, then their threads, then records
            ending.callback(write_records, out, profile)
            pool = ending.enter_context(ThreadPoolExecutor(side_by_side))
            ending.callback(stop.set)
            batch = [job for job in jobs if job.lesson.reads_records is reads_records]
            outcomes += pool.map(run_one, batch)
    return outcomes


def store(execution: kernel.Execution, job: Job, out: Path, profile: str) -> None:
    """Write a finished notebook, or a failed one with its traceback; the result of before goes."""
    finished, failed = out / f"{job.name}.ipynb", out / Status.FAILED / f"{job.name}.ipynb"
    if execution.error:
        finished.unlink(missing_ok=True)
        write_atomic(failed, nbformat.writes(execution.notebook) + "\n")
    else:
        write_atomic(finished, nbformat.writes(stamped(execution, job, profile)) + "\n")
        failed.unlink(missing_ok=True)


def stamped(execution: kernel.Execution, job: Job, profile: str) -> nbformat.NotebookNode:
    """An executed notebook with what it was made from and what it took."""
    execution.notebook.metadata[STAMP] = {
        "fingerprint": job.fingerprint,
        "profile": profile,
        "parameters": job.parameters,
        "time_s": round(execution.time_s, 2),
        "peak_ram_mb": round(execution.peak_ram_mb, 1),
    }
    return execution.notebook


def write_records(out: Path, profile: str) -> None:
    """Gather the records of every executed notebook of the folder into ``records.jsonl``."""
    lines = [
        json.dumps(record) + "\n"
        for path in sorted(out.glob("*.ipynb"))
        for record in run_records(json.loads(path.read_text()), path.stem, profile)
    ]
    write_atomic(out / "records.jsonl", "".join(lines))


def run_records(notebook: Mapping[str, Any], name: str, profile: str) -> list[dict[str, Any]]:
    """The records of a stamped notebook, with those of its whole time and memory."""
    stamp = notebook["metadata"][STAMP]
    costs = [
        records.new("time_s", stamp["time_s"], "s", "measured"),
        records.new("peak_ram_mb", stamp["peak_ram_mb"], "MB", "measured"),
    ]
    found = records.extract(notebook, name, stamp["parameters"], profile)
    return found + records.complete(costs, name, stamp["parameters"], profile)
