"""Run a reader's function on cases, and compare its results with those of known functions."""

import contextlib
import copy
import io
import math
import reprlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from greenai_nb.lesson.sandbox import Send, run

Function = Callable[..., Any]
Case = tuple[Any, ...]

TOLERANCE = {"rel_tol": 1e-9, "abs_tol": 1e-9}
MAX_PRINTED = 2000  # characters for each case
MAX_CHARS = 200  # characters of an error or of a result


@dataclass(frozen=True)
class CaseResult:
    """What a function did on one case, in words, and which known functions it agrees with, by index."""

    outcome: str
    agrees_with: frozenset[int]
    printed: str = ""


@dataclass(frozen=True)
class Raised:
    """An error in place of a result."""

    kind: str
    message: str


def run_cases(
    answer: Function, known: Sequence[Function], cases: Sequence[Case], seconds: float
) -> list[CaseResult]:
    """Run a function on cases in order, as far as it gets within a time limit.

    It is compared with the ``known`` functions, the right one first. If it was stopped, or ended the
    process, the last result is of the case in which that happened.
    """

    def work(send: Send) -> None:
        for case in cases:
            send(_compared(answer, known, case, send))

    messages, stopped = run(work, seconds)
    if stopped:
        messages.append(CaseResult(stopped, frozenset()))
    results: list[CaseResult] = []
    printed = ""
    for message in messages:
        if isinstance(message, CaseResult):
            results.append(replace(message, printed=printed))
            printed = ""
        elif isinstance(message, str):
            printed += message
    return results[: len(cases)]  # ending the process after the last case changes nothing


def same(got: Any, expected: Any) -> bool:
    """Whether two results are equal, numbers up to rounding; lists, tuples and arrays count as alike."""
    if isinstance(got, Raised) or isinstance(expected, Raised):
        return getattr(got, "kind", None) == getattr(expected, "kind", None)
    try:
        if isinstance(expected, bool):
            return isinstance(got, bool | np.bool_) and bool(got) == expected
        if isinstance(expected, str) or isinstance(got, str | bytes | dict | set):
            return type(got) is type(expected) and bool(got == expected)
        if isinstance(expected, list | tuple):
            return len(got) == len(expected) and all(map(same, got, expected))
        return np.shape(got) == () and math.isclose(float(got), expected, **TOLERANCE)
    except Exception:  # a result may be anything, and its methods may do anything
        return False


def _compared(answer: Function, known: Sequence[Function], case: Case, send: Send) -> CaseResult:
    given, printer = copy.deepcopy(case), _Printer(send)
    with contextlib.redirect_stdout(printer), contextlib.redirect_stderr(printer):
        got = _result(answer, given)
        expected = [_result(function, copy.deepcopy(case)) for function in known]
        agrees_with = frozenset(index for index, right in enumerate(expected) if same(got, right))
        outcome = _outcome(got, expected[0])
    if 0 in agrees_with and not same(given, case):
        changed = ", ".join(map(_shown, given))
        outcome = f"gave the right result, but changed its arguments to ({changed}): work on a copy"
        agrees_with = frozenset()
    return CaseResult(outcome, agrees_with)


def _result(function: Function, case: Case) -> Any:
    try:
        return function(*case)
    except BaseException as error:  # a SystemExit is an answer, too
        message = ""
        with contextlib.suppress(Exception):  # its class may be the reader's own
            message = " ".join(str(error).split())[:MAX_CHARS]
        return Raised(type(error).__name__, message)


def _outcome(got: Any, right: Any) -> str:
    if isinstance(got, Raised):
        return f"raised {got.kind}" + (f": {got.message}" if got.message else "")
    shown, expected = _shown(got), _shown(right)
    if got is None:
        return f"gave None, should be {expected}: does every path through it end with a return?"
    if shown == expected:
        shown, expected = (f"{_shown(x, repr):.{MAX_CHARS}} ({type(x).__name__})" for x in (got, right))
    return f"gave {shown}, should be {expected}"


def _shown(value: Any, words: Callable[[Any], str] | None = None) -> str:
    try:
        return " ".join((words or _Short().repr)(value).split())
    except Exception:  # its own error, or that of a number with too many digits
        return f"something of type {type(value).__name__} that cannot be shown"


class _Short(reprlib.Repr):
    """Results in a line: floats with six digits, and long things cut."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlist = self.maxtuple = self.maxdict = 20
        self.maxstring = self.maxother = MAX_CHARS

    def repr_float(self, number: float, _: int) -> str:
        return repr(float(f"{number:.6g}"))


class _Printer(io.TextIOBase):
    """A stream that sends the beginning of what a function prints."""

    def __init__(self, send: Send) -> None:
        self.send, self.left = send, MAX_PRINTED

    def write(self, text: str) -> int:
        if beginning := "".join(text[: self.left]):  # bytes are a TypeError here, as in a text file
            self.send(beginning)
            self.left -= len(beginning)
        return len(text)
