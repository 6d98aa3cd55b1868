"""Execute a notebook in a kernel of its own, with limits on threads, memory and time.

Papermill injects the parameters and nbclient executes the cells. A kernel ends when this process does,
for whatever reason, because ipykernel watches its parent. Ctrl-C does not reach the kernel.
"""

import functools
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import nbformat
import psutil
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from greenai_nb import compiled
from greenai_nb.lesson import project
from greenai_nb.machine import INTERACTIVE_VARIABLE, MB, card, memory_limit_mb
from greenai_nb.suite.run.plan import THREADS, Job, Outcome, Status

THREAD_VARIABLES = tuple(f"{name}_NUM_THREADS" for name in ("OMP", "MKL", "OPENBLAS", "NUMBA"))
KERNEL_ENVIRONMENT = {
    "JUPYTER_PLATFORM_DIRS": "1",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    # So glibc returns large freed tensors to the system; by default it keeps up to 32 MB of each. Others
    # come from one heap for all threads, which grows in large steps: small ones slow torch by a third.
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(4 << 20),
    "MALLOC_TOP_PAD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}
if compiled.config.CPU_FEATURES:  # so all kernels find the same machine code, whatever they import first
    KERNEL_ENVIRONMENT["NUMBA_CPU_FEATURES"] = compiled.config.CPU_FEATURES
KILLED = (
    "DeadKernelError: the kernel was killed, or ended itself, after using {peak:.0f} MB of the "
    "{limit:.0f} MB here; perhaps the machine's memory ran out"
)
CHECK_EVERY_S = 0.25


@dataclass(frozen=True)
class Limits:
    """What a notebook may use: resident memory of its kernel and subprocesses, and wall seconds."""

    memory_mb: float | None = None
    time_s: float | None = None


def execute(
    job: Job,
    results: Path,
    profile: str,
    *,
    variables: Mapping[str, str] | None = None,
    on_cell: Callable[[int, int], None] = lambda cell, of: None,
    limits: Limits | None = None,
    stop: threading.Event | None = None,
    log: IO[str] | int = subprocess.DEVNULL,
) -> Outcome:
    """Execute a job's notebook from top to bottom, or to the first cell that fails, and stamp it.

    ``variables`` are added to the kernel's environment. ``on_cell`` gets the index of each cell that
    begins, and the number of cells. Setting ``stop`` kills the kernel. What the kernel writes outside
    its cells goes to ``log``.
    """
    notebook = _prepared(job)
    guard = _Guard(limits or Limits(), stop or threading.Event())
    began: int | None = None

    def begin_cell(cell: Any, cell_index: int) -> None:
        nonlocal began
        began = cell_index
        on_cell(cell_index, len(notebook.cells))

    sockets = tempfile.TemporaryDirectory(prefix="greenai-")
    client: Any = NotebookClient(
        notebook,
        kernel_name="python3",
        raise_on_iopub_timeout=True,
        record_timing=False,
        store_widget_state=False,
        on_notebook_start=lambda notebook: guard.begin(psutil.Process(client.km.provisioner.pid)),
        on_cell_start=begin_cell,
        on_cell_executed=lambda **_: guard.measure(),
    )
    if os.name == "posix":  # kernels that start together may choose the same TCP port, and wait for ever
        client.config.KernelManager.update(transport="ipc", ip=f"{sockets.name}/kernel")
    around = _environment(job, results, profile) | dict(variables or {})
    error, start, started = "", time.perf_counter(), datetime.now(UTC)
    try:
        with sockets:
            client.execute(env=around, stdout=log, stderr=log)
    except CellExecutionError as problem:
        error = f"{problem.ename}: {problem.evalue}"
    except DeadKernelError:
        error = guard.reason or KILLED.format(peak=guard.peak_mb, limit=memory_limit_mb())
    except Exception as problem:
        error = f"{type(problem).__name__}: {problem}"
    notebook.metadata[project.STAMP] = {
        "fingerprint": job.fingerprint,
        "profile": profile,
        "parameters": job.parameters,
        "time_s": round(time.perf_counter() - start, 2),
        "peak_ram_mb": round(guard.peak_mb, 1),
        "started": started.isoformat(timespec="seconds"),
        "machine": card(),
        "revision": revision(),
    }
    return Outcome(job.name, Status.FAILED if error else Status.DONE, error, began, notebook)


@functools.cache
def revision() -> str | None:
    """The commit of the checkout; None outside one."""
    command = ["git", "-C", str(project.root()), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _environment(job: Job, results: Path, profile: str) -> dict[str, str]:
    """The environment of a job's kernel: its threads, and what a lesson needs to know of its run."""
    return {
        **os.environ,
        **KERNEL_ENVIRONMENT,
        **dict.fromkeys(THREAD_VARIABLES, str(job.parameters.get(THREADS, 1))),
        project.RESULTS_VARIABLE: str(results.resolve()),
        project.PROFILE_VARIABLE: profile,
        project.NOTEBOOK_VARIABLE: job.name,
        INTERACTIVE_VARIABLE: "0",
    }


def _prepared(job: Job) -> nbformat.NotebookNode:
    """The notebook with a job's parameters, without outputs and without what another run left."""
    notebook = load_notebook_node(str(job.lesson.path))
    if job.injected:
        notebook = parameterize_notebook(notebook, job.injected)
    for part in (notebook, *notebook.cells):
        for key in ("papermill", "execution"):
            part.metadata.pop(key, None)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


class _Guard:
    """Measures a running kernel, and kills it and its children when a limit is broken, with a reason."""

    def __init__(self, limits: Limits, stop: threading.Event) -> None:
        self.peak_mb, self.reason = 0.0, ""
        self._limits, self._stop = limits, stop

    def begin(self, kernel: psutil.Process) -> None:
        """Watch a kernel from now on, until it ends."""
        self._kernel, self._start = kernel, time.monotonic()
        threading.Thread(target=self._watch, daemon=True).start()

    def measure(self) -> None:
        """Note the peak of resident memory: as the system tells it, or else the largest value seen."""
        with suppress(psutil.NoSuchProcess):
            memory = self._kernel.memory_info()
            peak_mb = getattr(memory, "peak_wset", memory.rss) / MB
            with suppress(OSError, IndexError):  # not on Linux, or the kernel has ended
                status = Path(f"/proc/{self._kernel.pid}/status").read_text()
                peak_mb = float(status.partition("VmHWM:")[2].split()[0]) * 1024 / MB
            self.peak_mb = max(self.peak_mb, peak_mb)

    def _watch(self) -> None:
        while self._kernel.is_running() and not self.reason:
            self._stop.wait(CHECK_EVERY_S)
            self.measure()
            with suppress(psutil.NoSuchProcess):  # a process has just ended
                self.reason = self._broken()
        with suppress(psutil.NoSuchProcess):
            for process in self._family() if self.reason else ():
                with suppress(psutil.NoSuchProcess):
                    process.kill()

    def _broken(self) -> str:
        """Which limit is broken, in words; an empty text if none is."""
        most_s, most_mb = self._limits.time_s, self._limits.memory_mb
        if self._stop.is_set():
            return "it was stopped"
        if most_s is not None and time.monotonic() - self._start > most_s:
            return f"it took more than {most_s:g} s and was stopped"
        if most_mb is not None:
            used_mb = sum(process.memory_info().rss for process in self._family()) / MB
            if used_mb > most_mb:
                return f"it used {used_mb:.0f} MB, more than {most_mb:g} MB, and was stopped"
        return ""

    def _family(self) -> list[psutil.Process]:
        return [*self._kernel.children(recursive=True), self._kernel]
