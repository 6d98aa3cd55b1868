"""A sweep: one notebook at many settings, on the workers of a Dask cluster.

A run is named by its fingerprint, which covers notebook, parameters, package and lock. What the store
holds is not run again, so a sweep that was cut off goes on where it was. Workers with another notebook,
package or lock are found before anything runs, and one that joins later refuses: it computes the
fingerprint itself. A worker that dies costs its own run, which another worker takes over.
"""

import functools
import itertools
import json
import platform
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greenai_nb import machine
from greenai_nb.checks import UsageError
from greenai_nb.lesson import project
from greenai_nb.lesson.parameters import resolve
from greenai_nb.suite.run import fingerprint, plan, runner
from greenai_nb.suite.run.kernel import DONE, FAILED, Limits, NotebookProcess, Order
from greenai_nb.suite.sweep.store import RECEIPT, RUNS, Store

if TYPE_CHECKING:
    from distributed import Client

KEPT, REFUSED = "kept", "refused"
SCHEDULER_LOST = "the scheduler is gone; what is finished is kept, the same command goes on"
LIVES = 3  # workers that may die in a run before it counts as failed

Watcher = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Task:
    """What a worker is told: all it needs to run a notebook of its own checkout."""

    notebook: str
    parameters: Mapping[str, Any]
    origin: Mapping[str, str]
    fingerprint: str
    profile: str
    store: str
    limits: Limits


def tasks(
    lesson: plan.Lesson,
    points: Sequence[Mapping[str, Any]],
    profile: str,
    shared: Mapping[str, Any],
    store: str,
    limits: Limits,
) -> list[Task]:
    """The tasks of a sweep. Raises ``UsageError`` for a lesson that reads other runs' records.

    ``shared`` are the profile's values, as ``plan.read_profile`` gives them. Each run has one thread
    unless the points say otherwise: a default from the machine would make other runs elsewhere.
    """
    if lesson.reads_records:
        raise UsageError(f"{lesson.name} is made from the records of others: there is nothing to sweep")
    found = []
    for point in points:
        parameters = plan.effective(lesson, shared, point, threads=1)
        origin = plan.origin(lesson, shared, point)
        mark = _fingerprint(lesson, parameters, profile)
        found.append(Task(lesson.name, parameters, origin, mark, profile, store, limits))
    return found


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
        "distributed.scheduler.allowed-failures": LIVES,
        "distributed.worker.daemon": False,
        "distributed.comm.timeouts.connect": "10s",
    }
    with dask.config.set(settings):
        if scheduler:
            try:
                client = Client(scheduler, timeout="10s")
            except (OSError, ValueError, TimeoutError) as error:
                raise UsageError(f"no scheduler answers at {scheduler}: {error}") from error
            with client:
                yield client
        else:
            options = {"threads_per_worker": 1, "processes": True, "memory_limit": 0}
            place = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
            with (
                LocalCluster(n_workers=workers, silence_logs=50, **options, **place) as own,
                Client(own) as client,
            ):
                yield client


def run(client: "Client", todo: Sequence[Task], watch: Watcher) -> list[dict[str, Any]]:
    """Run the tasks on a cluster's workers and tell of each end; gives how each ended.

    An end has ``fingerprint``, ``status`` (done, kept, failed or refused), ``error`` and, for a run,
    ``time_s``. Raises ``UsageError`` where a worker has another checkout, before anything runs, and
    where the scheduler is lost; the store keeps what is finished.
    """
    from distributed.client import ClosedClientError

    try:
        _compare_checkouts(client, {task.notebook for task in todo})
        return _run(client, todo, watch)
    except (OSError, ClosedClientError) as error:
        raise UsageError(SCHEDULER_LOST) from error


def _compare_checkouts(client: "Client", notebooks: Set[str]) -> None:
    """Raise ``UsageError`` unless all workers have these notebooks, this package and this lock."""
    client.wait_for_workers(1)
    for notebook in notebooks:
        here = checkout(notebook)
        there = client.run(checkout, notebook, on_error="return")
        apart = sorted(address for address, mark in there.items() if mark != here)
        if apart:
            raise UsageError(
                f"{len(apart)} of {len(there)} workers have another {notebook}, package or lock: "
                f"{', '.join(apart)}. Nothing was run; bring their checkouts to the version of this one."
            )


def checkout(notebook: str) -> str:
    """A hash of all that a notebook's runs depend on in this checkout, whatever their parameters."""
    lesson = plan.lesson_named(project.notebooks(), notebook)
    return plan.fingerprint_of(lesson, {}, project.root())


def _run(client: "Client", todo: Sequence[Task], watch: Watcher) -> list[dict[str, Any]]:
    from distributed import as_completed

    waiting, ends = iter(todo), list[dict[str, Any]]()
    running: Any = as_completed(loop=client.loop)

    def feed() -> None:
        """Give every free thread of a worker a run: none waits behind another while a third idles."""
        free = max(1, sum(client.nthreads().values())) - running.count()
        for task in itertools.islice(waiting, max(0, free)):
            running.add(client.submit(work, task, key=f"run-{task.fingerprint}", pure=False))

    feed()
    for future in running:
        if future.cancelled():
            raise UsageError(SCHEDULER_LOST)
        problem = future.exception()
        failed = {"status": FAILED, "error": f"{type(problem).__name__}: {problem}"}
        end = {"fingerprint": future.key.removeprefix("run-")}
        end |= failed if problem else future.result()
        future.release()
        ends.append(end)
        feed()
        watch(end)
    return ends


def work(task: Task) -> dict[str, Any]:
    """Run a task in this worker's checkout and keep the result in the store; says how it ended."""
    store = Store(task.store)
    if store.has(task.fingerprint):
        return {"status": KEPT, "error": ""}
    lesson = plan.lesson_named(project.notebooks(), task.notebook)
    parameters = resolve(lesson.parameters, task.parameters, lesson.name)
    job = plan.Job(lesson, parameters, _fingerprint(lesson, parameters, task.profile), None)
    if job.fingerprint != task.fingerprint:
        return {"status": REFUSED, "error": f"{platform.node()} has another notebook, package or lock"}
    started = datetime.now(UTC).isoformat(timespec="seconds")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        end = _execute(job, task, folder)
        kind = RUNS if end["event"] == DONE else FAILED
        receipt = {
            "notebook": job.name,
            "fingerprint": job.fingerprint,
            "profile": task.profile,
            "parameters": job.parameters,
            "origin": task.origin,
            "started": started,
            "machine": machine.card(),
            "revision": _revision(),
            "lock": fingerprint.of_text((project.root() / "requirements.lock").read_text()),
        }
        receipt |= {key: value for key, value in end.items() if key != "event"}
        (folder / RECEIPT).write_text(json.dumps(receipt, indent=1) + "\n")
        try:
            store.keep(folder, job.fingerprint, kind)
        except OSError as error:
            return {"status": FAILED, "error": f"the store took nothing: {error}"}
    if kind == RUNS:
        store.forget(job.fingerprint)
    return {"status": end["event"], "error": end.get("error", ""), "time_s": end.get("time_s")}


def _execute(job: plan.Job, task: Task, folder: Path) -> dict[str, Any]:
    """Execute a job into a folder: the notebook, and its records where it ended well."""
    output = folder / f"{job.name}.ipynb"
    threads = int(job.parameters.get(plan.THREADS, 1))
    order = Order(job.lesson.path, output, job.injected, threads, folder, task.profile)
    with (folder / "log.txt").open("w") as log:
        *_, end = NotebookProcess(order, log, task.limits).events()
    if end["event"] == DONE:
        notebook = runner.stamped(output, job, task.profile, end)
        output.write_text(json.dumps(notebook, indent=1) + "\n")
        lines = [
            json.dumps(each) + "\n" for each in runner.run_records(notebook, job.name, task.profile)
        ]
        (folder / "records.jsonl").write_text("".join(lines))
    return end


@functools.cache
def _revision() -> str | None:
    command = ["git", "-C", str(project.root()), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
