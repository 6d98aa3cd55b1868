"""Run a sweep: one notebook at many settings, on the workers of a Dask cluster.

A run is named by its fingerprint, which covers notebook, parameters, package and lock. What the store
holds is not run again, so an interrupted sweep resumes where it stopped. Workers with another notebook,
package or lock are named before anything runs, and one that joins later refuses its runs, because it
computes the fingerprint itself. If a worker dies, another worker repeats the run that it was at.
"""

import functools
import hashlib
import itertools
import json
import platform
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dask
import nbformat
from distributed import Client, LocalCluster, as_completed
from distributed.client import ClosedClientError

from greenai_nb import machine
from greenai_nb.checks import UsageError
from greenai_nb.lesson import project
from greenai_nb.suite.run import kernel, plan, runner
from greenai_nb.suite.run.kernel import Limits
from greenai_nb.suite.run.plan import Lesson, Outcome, Status, Values
from greenai_nb.suite.sweep.store import FAILED, RECEIPT, RUNS, Store

SCHEDULER_LOST = "the scheduler is gone; what is finished is stored, the same command goes on"
MAX_WORKER_DEATHS = 3  # in one run, before it counts as failed
MAX_MEMORY_FRACTION = 0.9  # of the machine's memory, for runs side by side as predicted
WORKER_WAIT_S = 60.0
HISTORY = 100  # stored runs from which the cost of the next is predicted


@dataclass(frozen=True)
class Task:
    """All that a worker needs to know of a run, whatever its checkout."""

    notebook: str
    parameters: Values
    fingerprint: str
    profile: str
    store: str
    limits: Limits


def tasks(
    lesson: Lesson, points: Sequence[Values], profile: str, shared: Values, store: str, limits: Limits
) -> list[Task]:
    """The tasks of a sweep. Raises ``UsageError`` for a lesson that reads other runs' records.

    ``shared`` are the profile's values, as ``plan.read_profile`` gives them. Each run has one thread
    unless the points say otherwise: a default from the machine would make different runs elsewhere. The
    profile is part of a fingerprint, since claims are judged at some sizes only.
    """
    if lesson.reads_records:
        raise UsageError(f"{lesson.name} is made from the records of others: there is nothing to sweep")
    tasks = []
    for point in points:
        parameters = plan.effective(lesson, shared, point, threads=1)
        fingerprint = plan.fingerprint_of(lesson, parameters, project.root(), [profile])
        tasks.append(Task(lesson.name, parameters, fingerprint, profile, store, limits))
    return tasks


def cost(lesson: Lesson, profile: str, store: Store) -> tuple[float, float]:
    """Seconds and MB of a run: from those in the store, or as published; 0 if neither is known."""
    costs = [
        (receipt.time_s, receipt.peak_ram_mb)
        for receipt in store.receipts(HISTORY)
        if (receipt.notebook, receipt.profile) == (lesson.name, profile)
    ]
    if costs:
        times, peaks = zip(*costs, strict=True)
        return statistics.median(times), max(peaks)
    stamp = lesson.stamp
    return (stamp["time_s"], stamp["peak_ram_mb"]) if stamp.get("profile") == profile else (0.0, 0.0)


def check_memory(workers: int, run_mb: float) -> None:
    """Raise ``UsageError`` where runs side by side may take more memory than there is."""
    limit_mb = machine.memory_limit_mb()
    if workers * run_mb > MAX_MEMORY_FRACTION * limit_mb:
        sizes = f"{workers * run_mb:.0f} MB, and this machine has {limit_mb:.0f}"
        mend = "Use fewer --workers, or insist with --force."
        raise UsageError(f"{workers} runs side by side may take {sizes}. {mend}")


@contextmanager
def cluster(workers: int, scheduler: str | None = None) -> Iterator[Client]:
    """A client of a new local cluster, or of the one that is running at ``scheduler``.

    Raises ``UsageError`` if no scheduler answers.
    """
    settings = {
        "distributed.scheduler.allowed-failures": MAX_WORKER_DEATHS,
        "distributed.worker.daemon": False,
        "distributed.comm.timeouts.connect": "10s",
    }
    local: dict[str, Any] = {"threads_per_worker": 1, "memory_limit": 0, "silence_logs": 50}
    local |= {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    with dask.config.set(settings):
        own = nullcontext(scheduler) if scheduler else LocalCluster(n_workers=workers, **local)
        with own as address:
            try:
                client = Client(address, timeout="10s")
            except (OSError, ValueError, TimeoutError) as error:
                raise UsageError(f"no scheduler answers at {scheduler}: {error}") from error
            with client:
                yield client


def run(client: Client, todo: Sequence[Task], watch: Callable[[Outcome], None]) -> list[Outcome]:
    """Run the tasks of a sweep on a cluster's workers, and pass on each outcome as it comes.

    Raises ``UsageError`` if a worker has another checkout, before anything runs, and if the scheduler
    is lost; finished runs are then in the store.
    """
    waiting, outcomes = iter(todo), list[Outcome]()
    named = {task.fingerprint: task for task in todo}
    running: Any = as_completed(loop=client.loop)

    def feed() -> None:
        """Give every free worker thread a run, so that no run waits while a worker is idle."""
        free = max(1, sum(client.nthreads().values())) - running.count()
        for task in itertools.islice(waiting, max(0, free)):
            running.add(client.submit(work, task, key=f"run-{task.fingerprint}", pure=False))

    try:
        _compare_checkouts(client, todo[0].notebook)
        feed()
        for future in running:
            if future.cancelled():
                raise UsageError(SCHEDULER_LOST)
            name, problem = future.key.removeprefix("run-"), future.exception()
            failed = Outcome(name, Status.FAILED, f"{type(problem).__name__}: {problem}")
            if problem:
                _store_death(named[name], failed.error)
            outcomes.append(failed if problem else future.result())
            future.release()
            feed()
            watch(outcomes[-1])
    except (OSError, ClosedClientError) as error:
        raise UsageError(SCHEDULER_LOST) from error
    return outcomes


def _compare_checkouts(client: Client, notebook: str) -> None:
    """Raise ``UsageError`` unless all workers have this notebook, this package and this lock."""
    try:
        client.wait_for_workers(1, WORKER_WAIT_S)
    except TimeoutError:
        raise UsageError(f"no worker has joined in {WORKER_WAIT_S:g} s: start one there first") from None
    here, there = checkout(notebook), client.run(checkout, notebook, on_error="return")
    differing = sorted(address for address, theirs in there.items() if theirs != here)
    if differing:
        raise UsageError(
            f"{len(differing)} of {len(there)} workers have another {notebook}, package or lock: "
            f"{', '.join(differing)}. Nothing was run; bring their checkouts to the version of this one."
        )


def checkout(notebook: str) -> str:
    """A hash of all that a notebook's runs depend on in this checkout, whatever their parameters."""
    lesson = plan.lesson_named(project.notebooks(), notebook)
    return plan.fingerprint_of(lesson, lesson.defaults, project.root())


def work(task: Task) -> Outcome:
    """Run a task in this worker's checkout, and put the result into the store."""
    store, end = Store(task.store), functools.partial(Outcome, task.fingerprint)
    if store.has(task.fingerprint):
        return end(Status.UNCHANGED)
    lesson = plan.lesson_named(project.notebooks(), task.notebook)
    if tasks(lesson, [task.parameters], task.profile, {}, task.store, task.limits) != [task]:
        return end(Status.REFUSED, f"{platform.node()} has another notebook, package or lock")
    with tempfile.TemporaryDirectory() as temporary:
        error = _execute(plan.Job(lesson, task.parameters, task.fingerprint), task, Path(temporary))
        try:
            store.put(Path(temporary), task.fingerprint, FAILED if error else RUNS)
        except OSError as problem:
            return end(Status.FAILED, f"nothing was stored: {problem}")
    if error:
        return end(Status.FAILED, error)
    store.forget_failure(task.fingerprint)
    return end(Status.DONE)


def _execute(job: plan.Job, task: Task, folder: Path) -> str:
    """Execute a job, and write all files of the run to a folder; returns the error, if it failed."""
    with (folder / "log.txt").open("w") as log:
        outcome = kernel.execute(job, folder, task.profile, limits=task.limits, log=log)
    nbformat.write(outcome.notebook, folder / f"{job.name}.ipynb")
    if not outcome.error:
        runner.write_records(folder, [job.name])
    stamp, cell = outcome.notebook.metadata[project.STAMP], outcome.cell if outcome.error else None
    (folder / RECEIPT).write_bytes(_receipt(job.name, stamp, outcome.error, cell))
    return outcome.error


def _receipt(notebook: str, stamp: Values, error: str, cell: int | None = None) -> bytes:
    lock = hashlib.sha256((project.root() / "requirements.lock").read_bytes()).hexdigest()[:16]
    receipt = {"notebook": notebook, **stamp, "lock": lock, "cell": cell, "error": error}
    return json.dumps(receipt, indent=1).encode() + b"\n"


def _store_death(task: Task, error: str) -> None:
    """Store the failure of a run whose workers died, since they could not do so themselves."""
    stamp: dict[str, Any] = {"fingerprint": task.fingerprint, "profile": task.profile}
    stamp |= {"parameters": task.parameters, "time_s": 0.0, "peak_ram_mb": 0.0}
    stamp |= {"started": datetime.now(UTC).isoformat(timespec="seconds")}
    stamp |= {"machine": machine.card(), "revision": kernel.revision()}
    content = _receipt(task.notebook, stamp, error)
    Store(task.store).write(f"{FAILED}/{task.fingerprint}/{RECEIPT}", content)
