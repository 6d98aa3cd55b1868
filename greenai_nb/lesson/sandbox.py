"""Run a function in another process with limits on time and memory, and stream its messages.

Where the system can fork, the process is a fork, which knows what this one knows and costs milliseconds.
Elsewhere, as on Windows, a new interpreter gets a copy of the function. Messages come over a pipe, in
JSON. Memory is limited on Linux alone.
"""

import builtins
import contextlib
import faulthandler
import functools
import gc
import json
import multiprocessing
import os
import pickle
import signal
import sys
import time
import warnings
from collections.abc import Callable, Generator
from multiprocessing.connection import Connection
from typing import Any, NoReturn

import psutil

Send = Callable[[dict[str, Any]], None]
Work = Callable[[Send], None]

MAX_MEMORY = 512 * 2**20  # bytes beyond what this process holds already
START_S = 60.0  # for a new interpreter and its imports
READY, DONE = {"ready": True}, dict[str, Any]()


class Stopped(Exception):  # noqa: N818 - an ending, and not always an error
    """The function did not come to its end; the message says why."""


def messages(work: Work, seconds: float) -> Generator[dict[str, Any], None, None]:
    """The messages that ``work`` sends, as it sends them; none of them is empty.

    Raises ``Stopped`` when the time is over, or when the process ended before the work did.
    """
    forks = "fork" in multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("fork" if forks else "spawn")
    job = work if forks else _copy(work)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(job, sender))
    mention_memory()
    with warnings.catch_warnings():  # of Python 3.12, about threads: the fork uses none of them
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    try:
        sender.close()
        if not forks:
            _next(receiver, time.monotonic() + START_S)
        end = time.monotonic() + seconds
        while message := _next(receiver, end):
            yield message
    except TimeoutError:
        raise Stopped(f"had no answer after {seconds:g} s: does a loop in it never end?") from None
    except (EOFError, OSError):
        raise Stopped("ended the process in which it was tried") from None
    finally:
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError, PermissionError):  # no group yet, or no longer
                os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.join()
        process.close()
        receiver.close()


@functools.cache
def mention_memory() -> None:
    """Say once where a system sets no limit on memory."""
    if sys.platform != "linux":
        print("On this system the memory of a function that is tried is not limited, only its time.")


def _copy(work: Work) -> bytes:
    import cloudpickle

    try:
        return bytes(cloudpickle.dumps(work))
    except Exception as error:  # whatever the reader's objects raise
        raise Stopped(f"needs what cannot be copied ({error}): take all from the arguments") from None


def _next(receiver: Connection, end: float) -> dict[str, Any]:
    if not receiver.poll(max(0.0, end - time.monotonic())):
        raise TimeoutError
    message: dict[str, Any] = json.loads(receiver.recv_bytes())
    return message


def _run(job: Work | bytes, sender: Connection) -> NoReturn:
    """Do the work in the other process, and end without what a kernel does at its end."""

    def send(message: dict[str, Any]) -> None:
        sender.send_bytes(json.dumps(message).encode())

    try:
        _cut_off_from_the_kernel()
        if isinstance(job, bytes):
            work: Work = pickle.loads(job)
            send(READY)
        else:
            work = job
        work(send)
        send(DONE)
    finally:
        os._exit(0)


def _cut_off_from_the_kernel() -> None:
    if hasattr(os, "setsid"):
        os.setsid()  # what the work starts ends with it
    gc.freeze()  # the kernel's sockets are not the fork's to collect
    faulthandler.disable()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it interrupts the kernel, which ends this process
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nowhere, standard)
    builtins.input = _no_input
    _limit_memory()
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)  # OpenMP's threads do not survive a fork: work for them would wait


def _limit_memory() -> None:
    if sys.platform == "linux":
        import resource

        limit = psutil.Process().memory_info().data + MAX_MEMORY
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        with contextlib.suppress(ValueError):  # a lower limit holds already
            resource.setrlimit(resource.RLIMIT_DATA, (limit, most))


def _no_input(*_: object) -> NoReturn:
    raise EOFError("nobody can type here: take all values from the arguments")
