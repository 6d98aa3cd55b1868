"""Work in a child process that can be stopped, whatever the work does, and is listened to meanwhile.

The child is a fork, so that it knows what the parent knows and costs milliseconds. Messages come over a
pipe, in JSON. Where a system cannot fork, all happens in this process, and no time limit holds.
"""

import builtins
import contextlib
import faulthandler
import gc
import json
import multiprocessing
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Generator
from multiprocessing.connection import Connection
from typing import Any, NoReturn

import psutil

Say = Callable[[dict[str, Any]], None]

MOST_MEMORY = 512 * 2**20  # bytes beyond what the parent holds already
DONE: dict[str, Any] = {}


class Stopped(Exception):  # noqa: N818 - an ending, and not always an error
    """The work did not come to its end; the words say why."""


def messages(work: Callable[[Say], None], seconds: float) -> Generator[dict[str, Any], None, None]:
    """What some work says, as it says it; none of it is an empty message.

    Raises ``Stopped`` when the time is over, or when the child ended before the work did.
    """
    if "fork" not in multiprocessing.get_all_start_methods():
        said: list[dict[str, Any]] = []
        work(said.append)
        yield from said
        return
    fork = multiprocessing.get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    process = fork.Process(target=_child, args=(work, sender))
    with warnings.catch_warnings():  # of Python 3.12, about threads: the child uses none of them
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    assert process.pid
    try:
        sender.close()
        end = time.monotonic() + seconds
        while message := _next(receiver, end):
            yield message
    except TimeoutError:
        raise Stopped(f"had no answer after {seconds:g} s: does a loop in it never end?") from None
    except (EOFError, OSError):
        raise Stopped("ended the process in which it was tried") from None
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # no group yet, or no longer
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.join()
        process.close()
        receiver.close()


def _next(receiver: Connection, end: float) -> dict[str, Any]:
    if not receiver.poll(max(0.0, end - time.monotonic())):
        raise TimeoutError
    message: dict[str, Any] = json.loads(receiver.recv_bytes())
    return message


def _child(work: Callable[[Say], None], sender: Connection) -> NoReturn:
    """Do some work in a copy of the kernel, and end without what a kernel does at its end."""

    def say(message: dict[str, Any]) -> None:
        sender.send_bytes(json.dumps(message).encode())

    try:
        _cut_off_from_the_kernel()
        work(say)
        say(DONE)
    finally:
        os._exit(0)


def _cut_off_from_the_kernel() -> None:
    os.setsid()  # what the work starts ends with it
    gc.freeze()  # the kernel's sockets are not the child's to collect
    faulthandler.disable()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the parent's, who ends the child
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

        most = psutil.Process().memory_info().data + MOST_MEMORY
        with contextlib.suppress(ValueError):  # a lower limit holds already
            resource.setrlimit(resource.RLIMIT_DATA, (most, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def _no_input(*_: object) -> NoReturn:
    raise EOFError("nobody can type here: take all values from the arguments")
