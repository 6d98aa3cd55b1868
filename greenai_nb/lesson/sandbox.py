"""Run a function in another process with limits on time and memory, and gather its messages.

Where the system can fork, the process is a fork, which has all that is in memory and starts at once.
Elsewhere, as on Windows, a new interpreter gets a copy of the function. Only Linux limits memory.
"""

import builtins
import contextlib
import faulthandler
import functools
import gc
import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

import cloudpickle
import psutil

from greenai_nb.machine import adopt_orphans

Send = Callable[[Any], None]
Work = Callable[[Send], None]

MAX_MEMORY = 512 * 2**20  # bytes beyond what this process holds already
DONE = None
START_S = 60.0  # for a new interpreter and its imports


def run(work: Work, seconds: float) -> tuple[list[Any], str]:
    """The messages that ``work`` sends (never None), and why it was stopped, or an empty text."""
    forks = "fork" in multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("fork" if forks else "spawn")
    try:
        load = (lambda: work) if forks else functools.partial(pickle.loads, cloudpickle.dumps(work))
    except Exception as error:  # whatever the reader's objects raise
        return [], f"needs what cannot be copied ({error}): take everything from the arguments"
    mention_memory()
    with tempfile.TemporaryDirectory() as place:
        messages = Path(place, "messages")
        ready, sender = context.Pipe(duplex=False)
        process = context.Process(target=_run, args=(load, sender, messages))
        with warnings.catch_warnings():  # of Python 3.12, about threads: the fork uses none of them
            warnings.simplefilter("ignore", DeprecationWarning)
            process.start()
        try:
            sender.close()
            ready.poll(START_S)
            process.join(seconds)
            late = process.is_alive()
        finally:
            _end_children(process.pid)
            if hasattr(os, "killpg"):
                with contextlib.suppress(ProcessLookupError, PermissionError):  # no group, or no longer
                    os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            process.join()
            process.close()
            ready.close()
        sent = [*_sent(messages)]
    if DONE in sent:
        return sent[: sent.index(DONE)], ""
    if late:
        return sent, f"had no answer after {seconds:g} s: does a loop in it never end?"
    return sent, "ended the process in which it ran"


@functools.cache
def mention_memory() -> None:
    """Say once that memory is not limited, on a system that sets no limit."""
    if sys.platform != "linux":
        print("On this system only the time of a tested function is limited, not its memory.")


def _sent(messages: Path) -> Iterator[Any]:
    """Messages as far as they can be read; the process may have been killed while it wrote one."""
    with contextlib.suppress(Exception), messages.open("rb") as file:
        while True:
            yield pickle.load(file)


def _run(load: Callable[[], Work], ready: Connection, messages: Path) -> NoReturn:
    """Do the work in the other process, and exit without the clean-up of a kernel."""
    try:
        _cut_off_from_the_kernel()
        work, first = load(), os.getpid()

        def send(message: Any) -> None:
            if os.getpid() == first:  # not in a fork that the work has made
                with messages.open("ab") as file:
                    pickle.dump(message, file)

        ready.close()
        work(send)
        _end_children(first)
        send(DONE)
    finally:
        os._exit(0)


def _end_children(pid: int | None) -> None:
    """Kill what a process has started, in any session; a process that has ended has no children."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(pid).children(recursive=True):
            child.kill()


def _cut_off_from_the_kernel() -> None:
    if hasattr(os, "setsid"):
        os.setsid()  # what the work starts ends with it
    adopt_orphans()
    gc.freeze()  # the kernel's sockets are not the fork's to collect
    faulthandler.disable()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it interrupts the kernel, which ends this process
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nowhere, standard)
    builtins.input = _no_input
    if sys.platform == "linux":
        import resource

        limit = psutil.Process().memory_info().data + MAX_MEMORY
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        with contextlib.suppress(ValueError):  # a lower limit is already set
            resource.setrlimit(resource.RLIMIT_DATA, (limit, most))
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)  # OpenMP's threads do not survive a fork: torch would wait for them


def _no_input(*_: object) -> NoReturn:
    raise EOFError("nobody can type here: take all values from the arguments")
