"""Run notebooks side by side, each in a process of its own, and keep what is finished.

A result is written aside and renamed, so that a folder of results never holds half a notebook. A
failing notebook does not stop the others.
"""

import fcntl
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from greenai_nb.checks import UsageError
from greenai_nb.files import write_atomic
from greenai_nb.lesson import records
from greenai_nb.suite.run.kernel import DONE, FAILED, PATIENCE_S, NotebookProcess, Order
from greenai_nb.suite.run.plan import STAMP, Job, is_done

PARTIAL = ".partial"
LOCK = ".lock"
Watcher = Callable[[Job, Mapping[str, Any]], None]


@dataclass(frozen=True)
class Outcome:
    """How a job ended: ``done``, ``kept`` (it was done before) or ``failed`` with cell and error."""

    job: Job
    status: str
    cell: int | None = None
    error: str = ""


@contextmanager
def results_folder(out: Path) -> Iterator[Path]:
    """Make sure that the folder can be written and that no other run is using it."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock: TextIO = (out / LOCK).open("w")
    except OSError as error:
        raise UsageError(
            f"cannot write results to {out} ({error.strerror}). Choose a folder with --out."
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(
                f"another run is writing to {out}. Wait for it, or choose a folder with --out."
            ) from None
        shutil.rmtree(out / PARTIAL, ignore_errors=True)
        (out / PARTIAL).mkdir()
        try:
            yield out
        finally:
            shutil.rmtree(out / PARTIAL, ignore_errors=True)


def run(
    jobs: Sequence[Job], out: Path, profile: str, side_by_side: int, force: bool, watch: Watcher
) -> list[Outcome]:
    """Run the jobs that are not done, and write ``records.jsonl`` from all that the folder holds.

    Ctrl-C ends the running notebooks, keeps the finished ones and is raised again.
    """
    waiting = [job for job in jobs if force or not is_done(job, out)]
    outcomes = [Outcome(job, "kept") for job in jobs if job not in waiting]
    processes = _Processes(out, profile)
    try:
        for last in (False, True):
            batch = [job for job in waiting if job.lesson.reads_records is last]
            with ThreadPoolExecutor(side_by_side) as pool:
                futures = [pool.submit(processes.run, job, watch) for job in batch]
                try:
                    outcomes += [future.result() for future in futures]
                except KeyboardInterrupt:
                    pool.shutdown(wait=False, cancel_futures=True)
                    processes.stop()
                    raise
            write_records(out, profile)
    except KeyboardInterrupt:
        write_records(out, profile)
        raise
    return outcomes


def write_records(out: Path, profile: str) -> None:
    """Gather the records of every executed notebook of the folder into ``records.jsonl``."""
    lines = []
    for path in sorted(out.glob("*.ipynb")):
        found = run_records(json.loads(path.read_text()), path.stem, profile)
        lines += [json.dumps(record) + "\n" for record in found]
    write_atomic(out / "records.jsonl", "".join(lines))


class _Processes:
    """The processes of a run, so that Ctrl-C can end them all."""

    def __init__(self, out: Path, profile: str) -> None:
        self.out, self.profile = out, profile
        self.stopped = False
        self.alive: set[NotebookProcess] = set()
        self.guard = threading.Lock()

    def run(self, job: Job, watch: Watcher) -> Outcome:
        partial = self.out / PARTIAL / f"{job.name}.ipynb"
        threads = int(job.parameters.get("threads", 1))
        order = Order(job.lesson.path, partial, job.injected, threads, self.out, self.profile)
        with (self.out / PARTIAL / f"{job.name}.log").open("w") as log:
            process = self._start(order, log)
            if process is None:
                return Outcome(job, FAILED, None, "stopped")
            for event in process.events():
                last = event
                watch(job, event)
            with self.guard:
                self.alive.discard(process)
        if last["event"] == DONE:
            self._keep(job, partial, last)
            return Outcome(job, DONE)
        self._keep_failure(job, partial)
        return Outcome(job, FAILED, last["cell"], last["error"])

    def _start(self, order: Order, log: TextIO) -> NotebookProcess | None:
        with self.guard:
            if self.stopped:
                return None
            process = NotebookProcess(order, log)
            self.alive.add(process)
            return process

    def stop(self) -> None:
        """Ask the processes to end, so that they shut their kernels down; insist after a while."""
        with self.guard:
            self.stopped = True
            alive = list(self.alive)
        for process in alive:
            process.ask_to_end()
        deadline = time.monotonic() + PATIENCE_S
        for process in alive:
            process.stop(max(0.0, deadline - time.monotonic()))

    def _keep(self, job: Job, partial: Path, end: Mapping[str, Any]) -> None:
        notebook = stamped(partial, job, self.profile, end)
        write_atomic(self.out / f"{job.name}.ipynb", json.dumps(notebook, indent=1) + "\n")
        (self.out / FAILED / f"{job.name}.ipynb").unlink(missing_ok=True)

    def _keep_failure(self, job: Job, partial: Path) -> None:
        """Keep the failed notebook with its traceback; a result of before no longer counts."""
        if self.stopped:
            return
        (self.out / f"{job.name}.ipynb").unlink(missing_ok=True)
        if partial.is_file():
            (self.out / FAILED).mkdir(exist_ok=True)
            partial.replace(self.out / FAILED / f"{job.name}.ipynb")


def stamped(executed: Path, job: Job, profile: str, end: Mapping[str, Any]) -> dict[str, Any]:
    """An executed notebook, without what differs in every run, and with what it was made from."""
    notebook: dict[str, Any] = json.loads(executed.read_text())
    strip_run_metadata(notebook)
    notebook["metadata"][STAMP] = {
        "fingerprint": job.fingerprint,
        "profile": profile,
        "parameters": job.parameters,
        "time_s": round(end["time_s"], 2),
        "peak_ram_mb": round(end["peak_ram_mb"], 1),
    }
    return notebook


def run_records(notebook: Mapping[str, Any], name: str, profile: str) -> list[dict[str, Any]]:
    """The records of a stamped notebook, with those of its whole time and memory."""
    stamp = notebook["metadata"][STAMP]
    costs = [
        records.entry("time_s", stamp["time_s"], "s", "measured"),
        records.entry("peak_ram_mb", stamp["peak_ram_mb"], "MB", "measured"),
    ]
    cost = {"outputs": [{"data": {records.MIME: costs}}]}
    cells = {"cells": [*notebook["cells"], cost]}
    return records.extract(cells, name, stamp["parameters"], profile)


def strip_run_metadata(notebook: dict[str, Any]) -> None:
    """Remove papermill's paths and times, in place: they differ in every run."""
    notebook["metadata"].pop("papermill", None)
    for cell in notebook["cells"]:
        for key in ("papermill", "execution"):
            cell["metadata"].pop(key, None)
