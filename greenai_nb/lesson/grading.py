"""Try a reader's function on cases, and compare it with functions that are known."""

import contextlib
import copy
import io
import math
import reprlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from greenai_nb.lesson.sandbox import Say, Stopped, messages

Function = Callable[..., Any]
Case = tuple[Any, ...]

TOLERANCE = 1e-9
MOST_PRINTED = 2000  # characters for each case
MAX_CHARS = 200  # characters of an error or of a result


@dataclass(frozen=True)
class CaseResult:
    """What a function did on one case, in words, and which of the known functions do the same."""

    case: Case
    did: str
    agrees: frozenset[int]
    printed: str


@dataclass(frozen=True)
class Raised:
    """An error in place of a result."""

    kind: str
    words: str


def run_cases(
    answer: Function, known: Sequence[Function], cases: Sequence[Case], seconds: float
) -> list[CaseResult]:
    """Try a function on cases in order, as far as it gets within a time.

    It is compared with the ``known`` functions, the right one first. The last entry is of the case in
    which it was stopped, or ended the child, if it did.
    """

    def work(say: Say) -> None:
        for case in cases:
            say(_compared(answer, known, case, say))

    tried: list[CaseResult] = []
    printed = ""
    with contextlib.closing(messages(work, seconds)) as heard:
        try:
            for message in heard:
                printed += message.get("printed", "")
                if "did" in message:
                    case, agrees = cases[len(tried)], frozenset(message["agrees"])
                    tried.append(CaseResult(case, message["did"], agrees, printed))
                    printed = ""
        except Stopped as stopped:
            at = min(len(tried), len(cases) - 1)
            tried.append(CaseResult(cases[at], str(stopped), frozenset(), printed))
    return tried


def same(got: Any, expected: Any) -> bool:
    """Whether two results are equal, numbers up to rounding; lists, tuples and arrays are alike."""
    if isinstance(got, Raised) or isinstance(expected, Raised):
        return getattr(got, "kind", None) == getattr(expected, "kind", None)
    try:
        if isinstance(expected, bool):
            return isinstance(got, bool | np.bool_) and bool(got) == expected
        if isinstance(expected, str) or isinstance(got, str | bytes | dict | set):
            return type(got) is type(expected) and bool(got == expected)
        if isinstance(expected, list | tuple):
            return len(got) == len(expected) and all(map(same, got, expected))
        return np.shape(got) == () and math.isclose(
            float(got), expected, rel_tol=TOLERANCE, abs_tol=TOLERANCE
        )
    except Exception:  # a result may be anything, and its methods may do anything
        return False


def _compared(answer: Function, known: Sequence[Function], case: Case, say: Say) -> dict[str, Any]:
    given = copy.deepcopy(case)
    listener = _Listener(say)
    with contextlib.redirect_stdout(listener), contextlib.redirect_stderr(listener):
        got = _result(answer, given)
        right, *others = (_result(each, copy.deepcopy(case)) for each in known)
        agrees = [at for at, each in enumerate((right, *others)) if same(got, each)]
        did = _did(got, right)
    if 0 in agrees and not same(given, case):
        changed = ", ".join(map(_shown, given))
        did = f"gave the right result, but turned what it got into ({changed}): work on a copy"
        agrees = []
    return {"did": did, "agrees": agrees}


def _result(function: Function, case: Case) -> Any:
    try:
        return function(*case)
    except BaseException as error:  # a SystemExit is an answer, too
        return Raised(type(error).__name__, _words(error))


def _words(error: BaseException) -> str:
    try:
        return " ".join(str(error).split())[:MAX_CHARS]
    except Exception:  # its class may be the reader's own
        return ""


def _did(got: Any, right: Any) -> str:
    if isinstance(got, Raised):
        return f"raised {got.kind}" + (f": {got.words}" if got.words else "")
    one, other = _shown(got), _shown(right)
    if got is None:
        return f"gave None, should be {other}: does every way through it end with a return?"
    if one == other:
        one, other = (f"{each!r:.{MAX_CHARS}} ({type(each).__name__})" for each in (got, right))
    return f"gave {one}, should be {other}"


def _shown(value: Any) -> str:
    return " ".join(_Short().repr(value).split())


class _Short(reprlib.Repr):
    """Results in a line: floats with six digits, and long things cut."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlist = self.maxtuple = self.maxdict = 20
        self.maxstring = self.maxother = MAX_CHARS

    def repr_float(self, number: float, _: int) -> str:
        return repr(float(f"{number:.6g}"))


class _Listener(io.TextIOBase):
    """Takes what a function prints, and passes the beginning on."""

    def __init__(self, say: Say) -> None:
        self.say, self.left = say, MOST_PRINTED

    def write(self, text: str) -> int:
        if heard := text[: self.left]:
            self.say({"printed": heard})
            self.left -= len(heard)
        return len(text)
