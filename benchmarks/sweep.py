"""What a sweep costs beyond its runs, and how much a second worker helps.

1. A run by the engine against bare papermill, on one trivial notebook, in turn: the overhead of limits,
   records, receipt and store.
2. The same four runs of fifteen busy seconds on one worker and on two.
3. A thousand runs that are already done: the time for scheduling and for asking the store.
4. ``collect`` on 10,000 runs.
5. A projection to more workers, by a model with these figures; its assumptions are in docs/scale.md.
"""

import heapq
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from _report import Row, report

from greenai_nb.lesson import project
from greenai_nb.suite.run import plan
from greenai_nb.suite.run.kernel import Limits
from greenai_nb.suite.run.plan import Status
from greenai_nb.suite.sweep import cluster
from greenai_nb.suite.sweep.store import RECEIPT, RUNS, Store
from greenai_nb.suite.sweep.table import collect

REPEATS = 7
BUSY_S, BUSY_RUNS = 15.0, 4
SCHEDULED, COLLECTED = 1000, 10_000
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
PAPERMILL = """
import sys, papermill
papermill.execute_notebook(*sys.argv[1:3], progress_bar=False)
"""


def project_of(folder: Path) -> Path:
    """A checkout of two notebooks: one does nothing, one keeps a core busy for a number of seconds."""
    quiet = "threads: int = 1  # threads, in [1, 64]\nn: int = 0  # a number, in [0, 1_000_000]"
    busy = f"import time\nend = time.thread_time() + {BUSY_S}\nwhile time.thread_time() < end: pass"
    for name, code in (("01_quiet", "n"), ("02_busy", busy)):
        cells = [
            {"cell_type": "markdown", "id": "a", "metadata": {}, "source": f"# {name}"},
            {"cell_type": "code", "id": "b", "metadata": {"tags": ["parameters"]}, "source": quiet},
            {"cell_type": "code", "id": "c", "metadata": {}, "source": code},
        ]
        for cell in cells[1:]:
            cell |= {"execution_count": None, "outputs": []}
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        content = {
            "cells": cells,
            "metadata": {"kernelspec": kernel},
            "nbformat": 4,
            "nbformat_minor": 5,
        }
        (folder / "notebooks").mkdir(exist_ok=True)
        (folder / "notebooks" / f"{name}.ipynb").write_text(json.dumps(content))
    (folder / "requirements.lock").write_text("")
    (folder / "claims.yaml").write_text("[]")
    return folder


def tasks(name: str, count: int, store: Path) -> list[cluster.Task]:
    """Runs of a notebook that differ in ``n``."""
    lesson = plan.lesson_named(project.notebooks(), name)
    points = [{"n": n} for n in range(count)]
    return cluster.tasks(lesson, points, "ci", {}, str(store), Limits())


def overhead_s(folder: Path) -> float:
    """Median seconds of a run by the engine beyond bare papermill, in turn."""
    notebook = project.notebooks() / "01_quiet.ipynb"
    differences = []
    for task in tasks("01_quiet", REPEATS, folder / "overhead"):
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", PAPERMILL, notebook, folder / "out.ipynb"],
            check=True,
            capture_output=True,
        )
        middle = time.perf_counter()
        end = cluster.work(task)
        assert end.status == Status.DONE, end
        differences.append(time.perf_counter() - middle - (middle - start))
    return float(np.median(differences))


def busy_s(folder: Path, workers: int) -> float:
    """Seconds of the busy runs on a warm cluster of some workers."""
    todo = tasks("02_busy", BUSY_RUNS, folder / f"busy{workers}")
    with cluster.cluster(workers) as client:
        client.wait_for_workers(workers)
        start = time.perf_counter()
        ends = cluster.run(client, todo, lambda end: None)
        seconds = time.perf_counter() - start
    assert [end.status for end in ends] == [Status.DONE] * BUSY_RUNS
    return seconds


def multiply(store: Path, todo: list[cluster.Task]) -> None:
    """Copies of one finished run, as if all had been run."""
    cluster.work(todo[0])
    (pattern,) = (store / RUNS).iterdir()
    receipt = json.loads((pattern / RECEIPT).read_text())
    for task in todo[1:]:
        target = store / RUNS / task.fingerprint
        shutil.copytree(pattern, target)
        own = receipt | {"fingerprint": task.fingerprint, "parameters": dict(task.parameters)}
        (target / RECEIPT).write_text(json.dumps(own))


def scheduling_s(todo: list[cluster.Task]) -> float:
    """Seconds for runs that are already done, including the start of the cluster."""
    start = time.perf_counter()
    with cluster.cluster(2) as client:
        ends = cluster.run(client, todo, lambda end: None)
    assert {end.status for end in ends} == {Status.UNCHANGED} and len(ends) == len(todo)
    return time.perf_counter() - start


def efficiency(workers: int, runs: int, run_s: float, spread: float, dispatch_s: float) -> float:
    """Efficiency of a sweep in a model: one scheduler hands out runs one after another.

    Run times are lognormal with mean ``run_s``; the scheduler is busy for ``dispatch_s`` with each.
    """
    generator = np.random.default_rng(0)
    lasts = generator.lognormal(np.log(run_s) - spread**2 / 2, spread, runs)
    free, clock = [0.0] * workers, 0.0
    for seconds in lasts:
        clock = max(clock + dispatch_s, heapq.heappop(free))
        heapq.heappush(free, clock + seconds)
    return float(lasts.sum() / (workers * max(free)))


def main() -> None:
    """Measure on a small project, and write the table."""
    with tempfile.TemporaryDirectory() as place:
        folder = project_of(Path(place))
        os.environ[project.ROOT_VARIABLE] = place
        extra = overhead_s(folder)
        one, two = busy_s(folder, 1), busy_s(folder, 2)
        many = folder / "many"
        todo = tasks("01_quiet", COLLECTED, many)
        multiply(many, todo)
        assert len(Store(str(many)).fingerprints()) == COLLECTED
        scheduled = scheduling_s(todo[:SCHEDULED])
        start = time.perf_counter()
        frame = collect(many)
        collected = time.perf_counter() - start
        assert frame["run"].nunique() == COLLECTED
    dispatch = scheduled / SCHEDULED
    rows = [
        Row("overhead of a run over bare papermill", extra, "s", "under 0.5", extra < 0.5),
        Row("two workers over one", one / two, "times", "at least 1.8", one / two >= 1.8),
        Row("1,000 runs that are done", scheduled, "s", "under 30", scheduled < 30),
        Row("collect 10,000 runs", collected, "s", "under 5", collected < 5),
    ]
    for workers in (10, 100, 1000, 5000):
        share = efficiency(workers, 10 * workers, 150.0, 0.3, dispatch)
        rows.append(Row(f"efficiency, {workers} workers, a model", share, "", "projected", True))
    report(__file__, rows)


if __name__ == "__main__":
    main()
