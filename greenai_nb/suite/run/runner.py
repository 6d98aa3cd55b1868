"""Run notebooks side by side, each in a kernel of its own, and store what is finished.

A folder of results never holds half a notebook. A failing notebook does not stop the others.
"""

import json
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import nbformat
from filelock import FileLock, Timeout

from greenai_nb.checks import UsageError
from greenai_nb.files import write_atomic
from greenai_nb.lesson import records
from greenai_nb.lesson.project import STAMP, TRAINED_SINCE_VARIABLE
from greenai_nb.suite.run import kernel
from greenai_nb.suite.run.plan import Job, Outcome, Status
from greenai_nb.suite.run.progress import Board

COSTS = ("time_s", "s"), ("peak_ram_mb", "MB")


def results_folder(out: Path) -> AbstractContextManager[Any]:
    """Take a folder for one run alone. Raises ``UsageError`` where it is taken or cannot be written."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        return FileLock(out / ".lock").acquire(blocking=False)
    except Timeout:
        busy = f"another run is writing to {out}"
        raise UsageError(f"{busy}. Wait for it, or choose a folder with --out.") from None
    except OSError as error:
        closed = f"cannot write results to {out} ({error.strerror})"
        raise UsageError(f"{closed}. Choose a folder with --out.") from error


def run(
    jobs: Sequence[Job], out: Path, profile: str, side_by_side: int, board: Board, anew: bool = False
) -> list[Outcome]:
    """Run jobs, and write ``records.jsonl`` from all that the folder holds.

    A run that is ``anew`` uses no training of before. Ctrl-C ends the running notebooks, leaves the
    finished ones in place and is raised again.
    """
    outcomes: list[Outcome] = []
    since = {TRAINED_SINCE_VARIABLE: str(time.time())} if anew else {}

    def run_one(job: Job) -> Outcome:
        outcome = kernel.execute(
            job, out, profile, variables=since, stop=stop, on_cell=lambda *at: board.cell(job, *at)
        )
        if not stop.is_set() or not outcome.error:
            store(outcome, out)
        board.end(job, outcome.status)
        return outcome

    for reads_records in (False, True):
        stop = threading.Event()
        with ExitStack() as ending:  # also after Ctrl-C: kernels first, then their threads, then records
            ending.callback(write_records, out)
            pool = ending.enter_context(ThreadPoolExecutor(side_by_side))
            ending.callback(stop.set)
            batch = [job for job in jobs if job.lesson.reads_records is reads_records]
            outcomes += pool.map(run_one, batch)
    return outcomes


def store(outcome: Outcome, out: Path) -> None:
    """Write a finished notebook, or a failed one with its traceback; the result of before goes."""
    finished, failed = out / f"{outcome.name}.ipynb", out / Status.FAILED / f"{outcome.name}.ipynb"
    here, gone = (failed, finished) if outcome.error else (finished, failed)
    write_atomic(here, nbformat.writes(outcome.notebook) + "\n")
    gone.unlink(missing_ok=True)


def write_records(out: Path) -> None:
    """Gather the records of every executed notebook of the folder into ``records.jsonl``."""
    lines = [
        json.dumps(record) + "\n"
        for path in sorted(out.glob("*.ipynb"))
        for record in run_records(json.loads(path.read_bytes()), path.stem)
    ]
    write_atomic(out / "records.jsonl", "".join(lines))


def run_records(notebook: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """The records of a stamped notebook, with those of its whole time and memory."""
    stamp = notebook["metadata"][STAMP]
    costs = [records.new(cost, stamp[cost], unit, "measured") for cost, unit in COSTS]
    run = (name, stamp["parameters"], stamp["profile"])
    return records.extract(notebook, *run) + records.complete(costs, *run)
