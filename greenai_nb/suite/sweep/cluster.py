"""A sweep: one notebook at many settings, on the workers of a Dask cluster.

A run is named by its fingerprint, which covers notebook, parameters, package and lock. What the store
holds is not run again, so a sweep that was cut off goes on where it was. Workers with another notebook,
package or lock are named before anything runs, and one that joins later refuses: it computes the
fingerprint itself. A worker that dies costs its own run, which another worker takes over.
"""

import functools
import itertools
import json
import platform
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import nbformat

from greenai_nb import machine
from greenai_nb.checks import UsageError
from greenai_nb.lesson import project
from greenai_nb.lesson.parameters import resolve
from greenai_nb.suite.run import fingerprint, kernel, plan, runner
from greenai_nb.suite.run.plan import Status
from greenai_nb.suite.sweep.store import FAILED, RECEIPT, RECORDS, RUNS, Receipt, Store

if TYPE_CHECKING:
    from distributed import Client

REFUSED = "refused"
SCHEDULER_LOST = "the scheduler is gone; what is finished is stored, the same command goes on"
MAX_WORKER_DEATHS = 3  # in one run, before it counts as failed
MAX_MEMORY_FRACTION = 0.9  # of the machine's memory, that runs side by side may be predicted to take
HISTORY = 100  # runs of a store that tell what the next ones will take


@dataclass(frozen=True)
class Task:
    """What a worker needs to know to run a notebook of its own checkout."""

    notebook: str
    parameters: Mapping[str, Any]
    origin: Mapping[str, str]
    fingerprint: str
    profile: str
    store: str
    limits: kernel.Limits


@dataclass(frozen=True)
class End:
    """How a run ended: done, unchanged (it was done before), failed or refused."""

    fingerprint: str
    status: str
    error: str = ""


@dataclass(frozen=True)
class Sweep:
    """The runs of one notebook at one size, their store, and how many go side by side."""

    lesson: plan.Lesson
    profile: str
    tasks: Sequence[Task]
    store: Store
    workers: int

    def cost(self) -> tuple[float, float] | None:
        """Seconds and MB of a run: of those in the store, or as published; None where nobody knows."""
        costs = [
            (receipt.time_s, receipt.peak_ram_mb)
            for receipt in self.store.receipts(HISTORY)
            if (receipt.notebook, receipt.profile) == (self.lesson.name, self.profile)
        ]
        if costs:
            times, peaks = zip(*costs, strict=True)
            return statistics.median(times), max(peaks)
        stamp = self.lesson.stamp
        is_published = stamp.get("profile") == self.profile
        return (stamp["time_s"], stamp["peak_ram_mb"]) if is_published else None

    def check_memory(self) -> None:
        """Raise ``UsageError`` where the runs side by side may take more memory than there is."""
        limit_mb, cost = machine.memory_limit_mb(), self.cost()
        need_mb = self.workers * (self.tasks[0].limits.memory_mb or (cost[1] if cost else 0))
        if need_mb > MAX_MEMORY_FRACTION * limit_mb:
            raise UsageError(
                f"{self.workers} runs of {self.lesson.name} side by side may take {need_mb:.0f} MB, and "
                f"this machine has {limit_mb:.0f}. Take fewer --workers, or insist with --force."
            )

    def missing(self, retry: bool) -> tuple[list[Task], list[Task]]:
        """The tasks to do, and those to leave out because they failed before."""
        done, failed = self.store.fingerprints(), self.store.fingerprints(FAILED)
        missing = [task for task in self.tasks if task.fingerprint not in done]
        left_out = [task for task in missing if task.fingerprint in failed and not retry]
        return [task for task in missing if task not in left_out], left_out


def tasks(
    lesson: plan.Lesson,
    points: Sequence[Mapping[str, Any]],
    profile: str,
    shared: Mapping[str, Any],
    store: str,
    limits: kernel.Limits,
) -> list[Task]:
    """The tasks of a sweep. Raises ``UsageError`` for a lesson that reads other runs' records.

    ``shared`` are the profile's values, as ``plan.read_profile`` gives them. Each run has one thread
    unless the points say otherwise: a default from the machine would make other runs elsewhere.
    """
    if lesson.reads_records:
        raise UsageError(f"{lesson.name} is made from the records of others: there is nothing to sweep")
    tasks = []
    for point in points:
        parameters = plan.effective(lesson, shared, point, threads=1)
        origin = plan.origin(lesson, shared, point)
        name = _fingerprint(lesson, parameters, profile)
        tasks.append(Task(lesson.name, parameters, origin, name, profile, store, limits))
    return tasks


def _fingerprint(lesson: plan.Lesson, parameters: Mapping[str, Any], profile: str) -> str:
    """A run's name in a store, which may hold several sizes: claims are judged at some of them only."""
    return plan.fingerprint_of(lesson, parameters, project.root(), [profile])


@contextmanager
def cluster(workers: int, scheduler: str | None = None) -> Iterator["Client"]:
    """A client of a new local cluster, or of one that runs already at ``scheduler``.

    Raises ``UsageError`` where no scheduler answers.
    """
    import dask
    from distributed import Client, LocalCluster

    settings = {
        "distributed.scheduler.allowed-failures": MAX_WORKER_DEATHS,
        "distributed.worker.daemon": False,
        "distributed.comm.timeouts.connect": "10s",
    }
    local: dict[str, Any] = {"threads_per_worker": 1, "memory_limit": 0, "silence_logs": 50}
    local |= {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    with dask.config.set(settings):
        if scheduler:
            try:
                client = Client(scheduler, timeout="10s")
            except (OSError, ValueError, TimeoutError) as error:
                raise UsageError(f"no scheduler answers at {scheduler}: {error}") from error
            with client:
                yield client
        else:
            with LocalCluster(n_workers=workers, processes=True, **local) as own, Client(own) as client:
                yield client


def run(client: "Client", todo: Sequence[Task], watch: Callable[[End], None]) -> list[End]:
    """Run the tasks on a cluster's workers, and hand on each end as it comes.

    Raises ``UsageError`` where a worker has another checkout, before anything runs, and where the
    scheduler is lost; the store holds what is finished.
    """
    from distributed import as_completed
    from distributed.client import ClosedClientError

    waiting, ends = iter(todo), list[End]()
    running: Any = as_completed(loop=client.loop)

    def feed() -> None:
        """Give every free thread of a worker a run: none waits behind another while a third idles."""
        free = max(1, sum(client.nthreads().values())) - running.count()
        for task in itertools.islice(waiting, max(0, free)):
            running.add(client.submit(work, task, key=f"run-{task.fingerprint}", pure=False))

    try:
        _compare_checkouts(client, {task.notebook for task in todo})
        feed()
        for future in running:
            if future.cancelled():
                raise UsageError(SCHEDULER_LOST)
            name, problem = future.key.removeprefix("run-"), future.exception()
            failed = End(name, Status.FAILED, f"{type(problem).__name__}: {problem}")
            ends.append(failed if problem else future.result())
            future.release()
            feed()
            watch(ends[-1])
    except (OSError, ClosedClientError) as error:
        raise UsageError(SCHEDULER_LOST) from error
    return ends


def _compare_checkouts(client: "Client", notebooks: Set[str]) -> None:
    """Raise ``UsageError`` unless all workers have these notebooks, this package and this lock."""
    client.wait_for_workers(1)
    for notebook in notebooks:
        here = checkout(notebook)
        there = client.run(checkout, notebook, on_error="return")
        differing = sorted(address for address, theirs in there.items() if theirs != here)
        if differing:
            raise UsageError(
                f"{len(differing)} of {len(there)} workers have another {notebook}, package or lock: "
                f"{', '.join(differing)}. Nothing was run; bring their checkouts to this one's version."
            )


def checkout(notebook: str) -> str:
    """A hash of all that a notebook's runs depend on in this checkout, whatever their parameters."""
    lesson = plan.lesson_named(project.notebooks(), notebook)
    return plan.fingerprint_of(lesson, {}, project.root())


def work(task: Task) -> End:
    """Run a task in this worker's checkout, and put the result into the store."""
    store, end = Store(task.store), functools.partial(End, task.fingerprint)
    if store.has(task.fingerprint):
        return end(Status.UNCHANGED)
    lesson = plan.lesson_named(project.notebooks(), task.notebook)
    parameters = resolve(lesson.parameters, task.parameters, lesson.name)
    job = plan.Job(lesson, parameters, _fingerprint(lesson, parameters, task.profile), None)
    if job.fingerprint != task.fingerprint:
        return end(REFUSED, f"{platform.node()} has another notebook, package or lock")
    with tempfile.TemporaryDirectory() as temporary:
        error = _execute(job, task, Path(temporary))
        try:
            store.put(Path(temporary), job.fingerprint, FAILED if error else RUNS)
        except OSError as problem:
            return end(Status.FAILED, f"the store took nothing: {problem}")
    if error:
        return end(Status.FAILED, error)
    store.remove(job.fingerprint, FAILED)
    return end(Status.DONE)


def _execute(job: plan.Job, task: Task, folder: Path) -> str:
    """Execute a job, and write all that a run has into a folder; gives the error, if it failed."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    with (folder / "log.txt").open("w") as log:
        environment = kernel.environment(job, folder, task.profile)
        execution = kernel.execute(job, environment, limits=task.limits, log=log)
    if not execution.error:
        notebook = runner.stamped(execution, job, task.profile)
        records = runner.run_records(notebook, job.name, task.profile)
        (folder / RECORDS).write_text("".join(json.dumps(record) + "\n" for record in records))
    (folder / f"{job.name}.ipynb").write_text(nbformat.writes(execution.notebook) + "\n")
    receipt = Receipt(
        notebook=job.name,
        fingerprint=job.fingerprint,
        profile=task.profile,
        parameters=dict(job.parameters),
        origin=dict(task.origin),
        started=started,
        machine=machine.card(),
        revision=_revision(),
        lock=fingerprint.of_text((project.root() / "requirements.lock").read_text()),
        time_s=execution.time_s,
        peak_ram_mb=execution.peak_ram_mb,
        cell=execution.cell if execution.error else None,
        error=execution.error,
    )
    (folder / RECEIPT).write_bytes(msgspec.json.format(msgspec.json.encode(receipt), indent=1))
    return execution.error


@functools.cache
def _revision() -> str | None:
    command = ["git", "-C", str(project.root()), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
