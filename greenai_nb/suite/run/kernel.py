"""A notebook in a process of its own, with its threads, and with limits on memory and time.

The process and its kernel end with this one, whatever ends it: they wait on a pipe that closes then.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import psutil

from greenai_nb.lesson import project

DONE, FAILED = "done", "failed"
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
PATIENCE_S = 5.0
LOOK_EVERY_S = 0.25
KERNEL_ENVIRONMENT = {
    "JUPYTER_PLATFORM_DIRS": "1",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    # glibc returns large freed tensors to the system; left alone, it comes to keep up to 32 MB each.
    # Smaller ones come from a heap that grows and shrinks in large steps: small steps cost torch's
    # convolutions a third of their speed.
    "MALLOC_MMAP_THRESHOLD_": str(4 << 20),
    "MALLOC_TOP_PAD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}


@dataclass(frozen=True)
class Limits:
    """What a notebook may use: resident memory of process and kernel in MB, and wall seconds."""

    memory_mb: float | None = None
    time_s: float | None = None


@dataclass(frozen=True)
class Order:
    """A notebook to execute: where it lies, where the executed one goes, and what is injected."""

    notebook: Path
    output: Path
    injected: Mapping[str, Any]
    threads: int
    results: Path
    profile: str


class NotebookProcess:
    """Starts executing an order; ``events`` goes through what is said about it until the end.

    The last event is ``done``, with ``time_s`` and ``peak_ram_mb``, or ``failed``, with ``cell`` and
    ``error``. What the notebook's process writes besides goes to ``log``.
    """

    def __init__(self, order: Order, log: TextIO, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._broken = ""
        environment = {
            **os.environ,
            **KERNEL_ENVIRONMENT,
            **dict.fromkeys(THREAD_VARIABLES, str(order.threads)),
            project.RESULTS_VARIABLE: str(order.results.resolve()),
            project.PROFILE_VARIABLE: order.profile,
            project.NOTEBOOK_VARIABLE: order.notebook.stem,
            "GREENAI_INTERACTIVE": "0",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "greenai_nb.suite.run.execute"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment,
            start_new_session=True,
        )
        content = {"notebook": str(order.notebook), "output": str(order.output)}
        assert self._process.stdin
        print(json.dumps(content | {"parameters": order.injected}), file=self._process.stdin, flush=True)

    def events(self) -> Iterator[dict[str, Any]]:
        """What happens, event by event. Ends the process if the caller stops listening."""
        assert self._process.stdin and self._process.stdout
        if self._limits != Limits():
            threading.Thread(target=self._guard, daemon=True).start()
        last: dict[str, Any] = {"event": FAILED, "cell": None}
        try:
            for line in self._process.stdout:
                last = json.loads(line)
                if last["event"] != FAILED:
                    yield last
            self._process.wait()
        finally:
            self.stop(0.0)
            self._process.stdin.close()
        if last["event"] != DONE:
            error = self._broken or last.get("error", "the process ended early")
            yield {"event": FAILED, "cell": last["cell"], "error": error}

    def ask_to_end(self) -> None:
        """Ask the process to shut its kernel down."""
        self._process.send_signal(signal.SIGTERM)

    def stop(self, patience_s: float = PATIENCE_S) -> None:
        """Ask it to end, and insist after a while."""
        if self._process.poll() is None:
            self.ask_to_end()
            try:
                self._process.wait(max(patience_s, 0.0))
            except subprocess.TimeoutExpired:
                self._end()

    def _guard(self) -> None:
        """End everything when a limit is broken."""
        start, memory_mb = time.monotonic(), self._limits.memory_mb
        while self._process.poll() is None:
            if self._limits.time_s is not None and time.monotonic() - start > self._limits.time_s:
                self._broken = f"it took more than {self._limits.time_s:g} s and was stopped"
            if memory_mb is not None and (used := self._memory_mb()) > memory_mb:
                self._broken = f"it used {used:.0f} MB, more than {memory_mb:g} MB, and was stopped"
            if self._broken:
                self._end()
                return
            time.sleep(LOOK_EVERY_S)

    def _end(self) -> None:
        for each in self._family():
            try:
                each.kill()
            except psutil.NoSuchProcess:
                continue

    def _memory_mb(self) -> float:
        total = 0
        for each in self._family():
            try:
                total += each.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        return total / 1e6

    def _family(self) -> list[psutil.Process]:
        try:
            parent = psutil.Process(self._process.pid)
            return [*parent.children(recursive=True), parent]
        except psutil.NoSuchProcess:
            return []
