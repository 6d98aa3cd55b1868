"""Exercises that answer: not started, wrong with the smallest counter-example, or right.

The solutions of a notebook are functions in ``notebooks/solutions/<notebook>.py``, with the hint as
their docstring; the cases to try, smallest first, are listed beside them in ``CASES``.
"""

import copy
import importlib.util
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from greenai_nb.suite.errors import UsageError, nearest
from greenai_nb.suite.project import notebooks

TOLERANCE = 1e-9


def exercise(notebook: str, answer: Callable[..., Any]) -> None:
    """Try a reader's function on the cases of its exercise and print what came out."""
    print(verdict(notebook, answer))


def verdict(notebook: str, answer: Callable[..., Any]) -> str:
    """The sentence for a reader's function. An error in it is an answer, not a failure here."""
    solution, cases = _solution(notebook, answer.__name__)
    for case in cases:
        shown = ", ".join(map(repr, case))
        expected = solution(*copy.deepcopy(case))
        try:
            got = answer(*copy.deepcopy(case))
        except Exception as error:
            return f"wrong: {answer.__name__}({shown}) raised {type(error).__name__}: {error}"
        if got is None or got is Ellipsis:
            return f"not started: fill in the gap of {answer.__name__} and run the cell again"
        if not _same(got, expected):
            return f"wrong: {answer.__name__}({shown}) gave {got!r}, should be {expected!r}"
    return f"right: {len(cases)} cases agree"


def hint(notebook: str, name: str) -> None:
    """Print the hint of an exercise."""
    print(inspect.getdoc(_solution(notebook, name)[0]))


def solution(notebook: str, name: str) -> None:
    """Print the solution of an exercise."""
    print(inspect.getsource(_solution(notebook, name)[0]))


def load(notebook: str) -> ModuleType:
    """The solutions of a notebook. Raises ``UsageError`` where it has none."""
    path = notebooks() / "solutions" / f"{notebook}.py"
    if not path.is_file():
        known = [each.stem for each in path.parent.glob("*.py")]
        raise UsageError(f"no solutions for {notebook!r}. {nearest(notebook, known)}")
    spec = importlib.util.spec_from_file_location(f"solutions_{notebook}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _solution(notebook: str, name: str) -> tuple[Callable[..., Any], list[tuple[Any, ...]]]:
    module = load(notebook)
    if name not in module.CASES:
        raise UsageError(f"{notebook} has no exercise {name!r}. {nearest(name, module.CASES)}")
    return getattr(module, name), module.CASES[name]


def _same(got: Any, expected: Any) -> bool:
    if isinstance(expected, bool | str):
        return type(got) is type(expected) and bool(got == expected)
    try:
        return np.shape(got) == np.shape(expected) and bool(
            np.allclose(np.asarray(got, float), expected, rtol=TOLERANCE, atol=TOLERANCE)
        )
    except (TypeError, ValueError):
        return False
